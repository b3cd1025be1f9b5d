import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from neurovis.datasets.macaque_v4 import load_macaque_v4


@pytest.fixture
def miniature(tmp_path):
    """Two sessions with the true layout: a folder in one archive, single repeats with NaN in the other."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "macaque_v4"
    for name in ("images", "responses_raw", "responses_repeat_averaged"):
        (folder / name).mkdir(parents=True)
    for session, prefix in (("190923", "images_190923/"), ("210325", "")):
        with zipfile.ZipFile(folder / "images" / f"images_{session}.zip", "w") as archive:
            for number in (2, 1, 3):
                buffer = io.BytesIO()
                Image.fromarray(np.full((112, 112, 3), 40 * number, "u1")).save(buffer, "jpeg")
                archive.writestr(f"{prefix}image{number:04d}.jpg", buffer.getvalue())
    counts = rng.poisson(3, (4, 3, 5)).astype(float)
    counts[:, 1, 3:] = np.nan
    np.save(folder / "responses_raw" / "responses_210325.npy", counts)
    np.save(folder / "responses_repeat_averaged" / "responses_210325.npy", np.nanmean(counts, 2))
    np.save(folder / "responses_repeat_averaged" / "responses_190923.npy", rng.random((2, 3)))
    return tmp_path, counts


def test_means_follow_the_sorted_image_names(miniature, tmp_path):
    root, _ = miniature
    stimuli, responses = load_macaque_v4(subject="190923", root=root, cache=tmp_path / "cache")
    assert stimuli.stimulus_ids == ["190923-0001", "190923-0002", "190923-0003"]
    assert [round(stimuli.load(i).mean() / 40) for i in stimuli.stimulus_ids] == [1, 2, 3]
    stored = np.load(root / "macaque_v4/responses_repeat_averaged/responses_190923.npy")
    np.testing.assert_allclose(responses.values, stored.T * 10)
    assert responses.attrs["units"] == "spikes/s"
    assert responses["subject"].values.tolist() == ["WE", "WE"]


def test_missing_repeats_are_left_out(miniature, tmp_path):
    root, counts = miniature
    _, responses = load_macaque_v4(subject="210325", root=root, cache=tmp_path / "cache")
    assert responses.dims[0] == "presentation"
    assert responses.shape == (13, 4)
    row = (responses["stimulus_id"].values == "210325-0003") & (responses["repeat"].values == 4)
    np.testing.assert_allclose(responses.values[row][0], counts[:, 2, 4] * 10)
    assert np.isfinite(responses.values).all()


def test_images_are_unpacked_once(miniature, tmp_path):
    root, _ = miniature
    first, _ = load_macaque_v4(root=root, cache=tmp_path / "cache")
    before = first.path(first.stimulus_ids[0]).stat().st_mtime_ns
    again, _ = load_macaque_v4(root=root, cache=tmp_path / "cache")
    assert again.path(again.stimulus_ids[0]).stat().st_mtime_ns == before


def test_broken_files_are_refused(miniature, tmp_path):
    root, _ = miniature
    responses = root / "macaque_v4/responses_repeat_averaged/responses_190923.npy"
    np.save(responses, np.zeros((2, 7)))
    with pytest.raises(ValueError, match="the 3 images of the archive, got 7"):
        load_macaque_v4(subject="190923", root=root, cache=tmp_path / "cache")
    responses.write_bytes(responses.read_bytes()[:40])
    with pytest.raises(ValueError, match="truncated or not a NumPy file"):
        load_macaque_v4(subject="190923", root=root, cache=tmp_path / "cache")
    archive = root / "macaque_v4/images/images_210325.zip"
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(ValueError, match="truncated or not a zip"):
        load_macaque_v4(subject="210325", root=root, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="subject must be"):
        load_macaque_v4(subject="1", root=root)


def test_published_sessions(shared_data, tmp_path):
    stimuli, responses = load_macaque_v4(subject="210325", root=shared_data, cache=tmp_path)
    assert responses.shape == (4840, 50)
    assert len(stimuli) == 640
    assert stimuli.load(stimuli.stimulus_ids[0]).shape == (112, 112, 3)
