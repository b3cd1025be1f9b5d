import h5py
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


@pytest.mark.parametrize(
    ("size_dva", "fps"),
    [((0, 1), None), ((np.nan, 1), 12.0), ((1, 1), np.nan), ((1, 1), np.inf), ((1, 1), -1)],
)
def test_impossible_sizes_and_frame_rates_are_refused(tmp_path, size_dva, fps):
    table = pd.DataFrame({"path": ["a"]}, index=["x"])
    with pytest.raises(ValueError, match="size_dva and fps must be"):
        StimulusSet("bad", table, tmp_path, size_dva, fps)


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


@pytest.fixture
def brick(tmp_path, rng):
    """Six images in an HDF5 array, of which the set holds rows 4 and 1."""
    pixels = rng.integers(0, 255, (6, 5, 7, 3), dtype="u1")
    with h5py.File(tmp_path / "brick.hdf5", "w") as file:
        file["imgBrick"] = pixels
        file["grey"] = pixels[..., 0]
        file["float"] = pixels.astype("f4")
    table = pd.DataFrame({"path": ["brick.hdf5#imgBrick/4", "brick.hdf5#imgBrick/1"]}, index=["a", "b"])
    return StimulusSet("brick", table, tmp_path, (5.0, 7.0)), pixels


def test_rows_of_a_brick_are_images(brick, tmp_path):
    stimulus_set, pixels = brick
    np.testing.assert_array_equal(stimulus_set.load("a"), pixels[4])
    np.testing.assert_array_equal(stimulus_set.subset(["b"]).load("b"), pixels[1])
    written = stimulus_set.export("a", tmp_path / "out")
    assert written == tmp_path / "out" / "a.png"
    np.testing.assert_array_equal(np.asarray(Image.open(written)), pixels[4])
    with pytest.raises(ValueError, match=r"'a'.*imgBrick/4.*export\(\)"):
        stimulus_set.path("a")


def test_hash_of_a_brick_follows_the_rows_used_only(brick):
    stimulus_set, _ = brick
    before = stimulus_set.compute_hash()
    for row, same in ((0, True), (4, False)):
        with h5py.File(stimulus_set.root / "brick.hdf5", "a") as file:
            file["imgBrick"][row, 0, 0, 0] ^= 1
        assert (before == stimulus_set.compute_hash()) is same


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("brick.hdf5#imgBrick/6", ValueError, "a row 6, got uint8 and 6 rows"),
        ("brick.hdf5#float/0", ValueError, "must hold uint8 RGB"),
        ("brick.hdf5#grey/0", ValueError, r"'grey' \(n, height, width, 3\), got \(6, 5, 7\)"),
        ("brick.hdf5#nothing/0", ValueError, r"got the entries \['float', 'grey', 'imgBrick'\]"),
        ("absent.hdf5#imgBrick/0", FileNotFoundError, r"absent\.hdf5"),
        ("text.hdf5#imgBrick/0", ValueError, "not an HDF5 file"),
    ],
)
def test_broken_bricks_are_refused(brick, path, error, words):
    stimulus_set, _ = brick
    (stimulus_set.root / "text.hdf5").write_text("no")
    wrong = StimulusSet("wrong", pd.DataFrame({"path": [path]}, index=["a"]), stimulus_set.root, (5.0, 7.0))
    with pytest.raises(error, match=words):
        wrong.load("a")


def test_a_hash_sign_in_a_file_name_is_no_brick(stimuli):
    stimulus_set, pixels = stimuli
    name = "b.hdf5#x/1.npy"
    (stimulus_set.root / name).parent.mkdir()
    np.save(stimulus_set.root / name, pixels)
    table = pd.DataFrame({"path": [name]}, index=["a"])
    np.testing.assert_array_equal(StimulusSet("n", table, stimulus_set.root, (6.0, 8.0)).load("a"), pixels)


@pytest.mark.parametrize("empty", ["", np.nan])
def test_stimulus_without_a_file_says_so(tmp_path, empty):
    table = pd.DataFrame({"path": [empty]}, index=["a"])
    stimulus_set = StimulusSet("gaze only", table, tmp_path, (6.0, 8.0))
    for use in (stimulus_set.load, stimulus_set.path, lambda name: stimulus_set.export(name, tmp_path)):
        with pytest.raises(FileNotFoundError, match="'a' of 'gaze only' comes without its file"):
            use("a")
    with pytest.raises(FileNotFoundError, match="comes without its file"):
        stimulus_set.compute_hash()
    table.attrs["obtain"] = "ask the authors"
    with pytest.raises(FileNotFoundError, match=r"ask the authors\.$"):
        StimulusSet("gaze only", table, tmp_path, (6.0, 8.0)).load("a")
