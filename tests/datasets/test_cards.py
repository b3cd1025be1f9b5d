import pytest

from neurovis.datasets import cards


@pytest.fixture
def miniature(tmp_path, monkeypatch):
    """A card `toy` with one file whose hash is known, and the folder that it describes."""
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "toy.yaml").write_text(
        "name: toy\nfolder: toy_folder\ntitle: t\nsource: https://example.org\nlicence: CC0\ncitation: c\n"
        "answers: a\nsubjects: [1]\nfiles:\n"
        "  a.txt: ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\n"
    )
    (tmp_path / "shared" / "toy_folder").mkdir(parents=True)
    (tmp_path / "shared" / "toy_folder" / "a.txt").write_text("a")
    monkeypatch.setattr(cards, "_FOLDERS", (tmp_path / "cards",))
    monkeypatch.delenv("NEUROVIS_SHARED", raising=False)
    monkeypatch.setenv("NEUROVIS_DATA", str(tmp_path / "nowhere"))
    return tmp_path


def test_root_then_shared_then_data(miniature, monkeypatch):
    want = miniature / "shared" / "toy_folder"
    assert cards.find_dataset("toy", miniature / "shared") == want
    monkeypatch.setenv("NEUROVIS_DATA", str(miniature / "shared"))
    assert cards.find_dataset("toy") == want
    other = miniature / "other" / "toy_folder"
    other.mkdir(parents=True)
    monkeypatch.setenv("NEUROVIS_SHARED", str(other.parent))
    assert cards.find_dataset("toy") == other


def test_missing_data_names_places_source_and_licence(miniature):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*https://example\.org.*CC0.*NEUROVIS_SHARED"):
        cards.find_dataset("toy")


def test_changed_and_missing_files_are_named(miniature):
    root = miniature / "shared"
    assert cards.check_dataset_files("toy", root) == [root / "toy_folder" / "a.txt"]
    (root / "toy_folder" / "a.txt").write_text("b")
    with pytest.raises(ValueError, match=r"differ.*a\.txt"):
        cards.check_dataset_files("toy", root)
    (root / "toy_folder" / "a.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"lacks 1 of 1.*a\.txt"):
        cards.check_dataset_files("toy", root)


def test_incomplete_card_and_unknown_name_are_refused(miniature):
    (miniature / "cards" / "poor.yaml").write_text("name: poor\n")
    with pytest.raises(ValueError, match="'licence'"):
        cards.read_card("poor")
    with pytest.raises(FileNotFoundError, match=r"nobody\.yaml"):
        cards.read_card("nobody")


CARDS = sorted(path.stem for path in cards._FOLDERS[0].glob("*.yaml"))


@pytest.mark.parametrize("name", CARDS)
def test_every_card_is_complete_and_matches_the_files(name, shared_data):
    card = cards.read_card(name)
    assert card.name == name
    assert all((card.title, card.source, card.licence, card.citation, card.answers, card.subjects))
    if not (shared_data / card.folder).is_dir():
        pytest.skip(f"{card.folder} is not among the real data at {shared_data}")
    assert len(cards.check_dataset_files(name, shared_data)) == len(card.files)
