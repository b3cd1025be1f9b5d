import nibabel
import numpy as np
import pytest

from neurovis.datasets import fsaverage_retinotopy as module
from neurovis.datasets.fsaverage_retinotopy import load_fsaverage_retinotopy


@pytest.fixture
def miniature(tmp_path, monkeypatch):
    """The true layout (unit axes, big-endian, NaN medial wall) on a surface of 12 vertices."""
    monkeypatch.setattr(module, "N_VERTICES", {"fsaverage": 12, "fsaverage5": 6})
    folder = tmp_path / "fsaverage_retinotopy" / "fsaverage" / "surf"
    folder.mkdir(parents=True)
    values = {
        "benson14_angle.v4_0": np.linspace(0, 180, 12),
        "benson14_eccen.v4_0": np.linspace(0, 20, 12),
        "benson14_sigma.v4_0": np.ones(12),
        "benson14_varea.v4_0": np.arange(12) % 4,
        "wang15_mplbl.v1_0": np.arange(12) * 2,
        "rosenke18_vcatlas.v1_0": np.zeros(12),
        "glasser16_atlas.v1_0": np.where(np.arange(12) < 2, np.nan, 7),
    }
    for prefix in ("lh", "rh"):
        for name, column in values.items():
            image = nibabel.MGHImage(column.reshape(1, 1, 12).astype("f4"), np.eye(4))
            nibabel.save(image, folder / f"{prefix}.{name}.mgz")
    return tmp_path


def test_labels_become_names_and_outside_is_empty(miniature):
    table = load_fsaverage_retinotopy(root=miniature, mesh="fsaverage")
    assert len(table) == 24
    assert table["benson"].tolist()[:5] == ["", "V1", "V2", "V3", ""]
    assert table["wang"].tolist()[:3] == ["", "V1d", "V2d"]
    assert table["glasser"].tolist()[:3] == [0, 0, 7]
    assert table["eccentricity_dva"].isna().equals(table["benson"] == "")
    assert table["vertex"].tolist()[12] == 0
    assert table["hemisphere"].tolist()[12] == "right"


def test_fsaverage5_is_the_first_part(miniature):
    table = load_fsaverage_retinotopy(root=miniature)
    whole = load_fsaverage_retinotopy(root=miniature, mesh="fsaverage")
    assert table["wang"].tolist() == whole["wang"].tolist()[:6] + whole["wang"].tolist()[12:18]


def test_broken_files_are_refused(miniature):
    path = miniature / "fsaverage_retinotopy/fsaverage/surf/lh.wang15_mplbl.v1_0.mgz"
    content = path.read_bytes()
    path.write_bytes(content[:50])
    with pytest.raises(ValueError, match=r"lh\.wang15_mplbl.*truncated or not an MGZ"):
        load_fsaverage_retinotopy(root=miniature)
    nibabel.save(nibabel.MGHImage(np.zeros((1, 1, 5), "f4"), np.eye(4)), path)
    with pytest.raises(ValueError, match="one value for each of 12 vertices"):
        load_fsaverage_retinotopy(root=miniature)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"lh\.wang15"):
        load_fsaverage_retinotopy(root=miniature)
    with pytest.raises(ValueError, match="mesh must be"):
        load_fsaverage_retinotopy(root=miniature, mesh="fsaverage6")


def test_published_counts(shared_data):
    table = load_fsaverage_retinotopy(root=shared_data, mesh="fsaverage")
    left = table[table["hemisphere"] == "left"]
    assert (left["benson"] != "").sum() == 17332
    assert (left["wang"] != "").sum() == 13505
    assert (left["rosenke"] != 0).sum() == 14179
