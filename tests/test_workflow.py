import pytest

from neurovis import workflow


def test_fingerprint_follows_the_source(monkeypatch, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "a.py").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("y = 1\n")
    monkeypatch.setattr(workflow, "_PACKAGE", tmp_path)
    before = workflow.compute_fingerprint("features")
    (tmp_path / "other.py").write_text("y = 2\n")
    assert workflow.compute_fingerprint("features") == before
    (tmp_path / "features" / "a.py").write_text("x = 2\n")
    assert workflow.compute_fingerprint("features") != before
    both = workflow.compute_fingerprint("features", "other")
    assert both == workflow.compute_fingerprint("other", "features")
    with pytest.raises(FileNotFoundError):
        workflow.compute_fingerprint("missing")


def test_real_root_comes_from_config_then_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("NEUROVIS_SHARED", raising=False)
    with pytest.raises(FileNotFoundError, match=r"set NEUROVIS_SHARED or real\.root"):
        workflow.find_real_root({"real": {"root": None}})
    monkeypatch.setenv("NEUROVIS_SHARED", str(tmp_path))
    assert workflow.find_real_root({"real": {"root": None}}) == tmp_path.resolve()
    (tmp_path / "own").mkdir()
    assert workflow.find_real_root({"real": {"root": str(tmp_path / "own")}}).name == "own"
