import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import StimulusSet, compute_px_per_dva, make_grid_dva


@pytest.fixture
def stimuli(tmp_path, rng):
    pixels = rng.integers(0, 255, (2, 6, 8, 3), dtype="u1")
    Image.fromarray(pixels[0]).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", pixels)
    table = pd.DataFrame({"path": ["a.png", "b.npy"]}, index=["a", "b"])
    return StimulusSet("two", table, tmp_path, (6.0, 8.0)), pixels


def test_load_reads_images_and_movies(stimuli):
    stimulus_set, pixels = stimuli
    np.testing.assert_array_equal(stimulus_set.load("a"), pixels[0])
    np.testing.assert_array_equal(stimulus_set.load("b"), pixels)


def test_grey_images_come_as_rgb(stimuli):
    stimulus_set, pixels = stimuli
    Image.fromarray(pixels[0, :, :, 0]).save(stimulus_set.root / "a.png")
    assert stimulus_set.load("a").shape == (6, 8, 3)


def test_subset_keeps_order_and_names_the_missing(stimuli):
    stimulus_set, _ = stimuli
    assert stimulus_set.subset(["b", "a"]).stimulus_ids == ["b", "a"]
    with pytest.raises(KeyError, match="'c'"):
        stimulus_set.subset(["a", "c"])


def test_hash_follows_pixels_ids_and_size(stimuli):
    stimulus_set, _ = stimuli
    before = stimulus_set.compute_hash()
    assert before == stimulus_set.compute_hash()
    assert before != stimulus_set.subset(["b", "a"]).compute_hash()
    assert before != StimulusSet("two", stimulus_set.table, stimulus_set.root, (3.0, 4.0)).compute_hash()
    Image.new("RGB", (8, 6)).save(stimulus_set.root / "a.png")
    assert before != stimulus_set.compute_hash()


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (pd.DataFrame({"path": ["a", "b"]}, index=["x", "x"]), "'x' twice"),
        (pd.DataFrame({"path": ["a"]}, index=[0]), "stimulus_id strings"),
        (pd.DataFrame({"file": ["a"]}, index=["x"]), "column 'path'"),
    ],
)
def test_malformed_tables_are_refused(tmp_path, table, words):
    with pytest.raises(ValueError, match=words):
        StimulusSet("bad", table, tmp_path, (1.0, 1.0))


def test_missing_file_is_named(stimuli):
    stimulus_set, _ = stimuli
    (stimulus_set.root / "a.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        stimulus_set.load("a")


def test_grid_is_centred_and_y_points_up():
    x, y = make_grid_dva((4, 8), (2.0, 4.0))
    assert x.shape == y.shape == (4, 8)
    assert x.mean() == pytest.approx(0)
    assert y[0, 0] == pytest.approx(0.75)
    assert x[0, 0] == pytest.approx(-1.75)
    assert compute_px_per_dva((4, 8), (2.0, 4.0)) == pytest.approx(2)


def test_pixels_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match="square pixels"):
        compute_px_per_dva((64, 64), (8.0, 6.0))
