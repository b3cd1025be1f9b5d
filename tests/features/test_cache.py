"""The feature cache: hits, misses, staleness, kills and broken files."""

import shutil

import numpy as np
import pytest
from PIL import Image

from neurovis.features import cache
from neurovis.features.cache import compute_feature_key, extract_cached, join_layers
from neurovis.features.pixels import PixelFeatures


class Counting:
    """Pixels that count how many images they were asked for, and may fail after some."""

    name = "counting"
    layers = PixelFeatures.layers

    def __init__(self, side=4, fail_after=None):
        self.inner, self.n_images, self.fail_after = PixelFeatures(side, side), 0, fail_after

    def describe(self):
        return self.inner.describe()

    def __call__(self, stimuli, *, layers=None, batch_size=32, device="cpu"):
        if self.fail_after is not None and self.n_images >= self.fail_after:
            raise KeyboardInterrupt
        self.n_images += len(stimuli)
        return self.inner(stimuli, layers=layers)


@pytest.fixture
def stimuli(make_stimuli, monkeypatch):
    monkeypatch.setattr(cache, "PART_SIZE", 4)
    rng = np.random.default_rng(0)
    return make_stimuli(rng.integers(0, 256, (10, 12, 12, 3), dtype=np.uint8))


def _check(features, stimuli, side=4):
    expected = PixelFeatures(side, side)(stimuli)
    for layer, array in features.items():
        np.testing.assert_array_equal(array, expected[layer])
        assert list(array["stimulus_id"].values) == stimuli.stimulus_ids


def test_second_call_extracts_nothing(stimuli, tmp_path):
    extractor = Counting()
    features = extract_cached(extractor, stimuli, root=tmp_path / "cache")
    _check(features, stimuli)
    assert extractor.n_images == 10
    again = extract_cached(extractor, stimuli, root=tmp_path / "cache")
    _check(again, stimuli)
    assert extractor.n_images == 10
    assert not list((tmp_path / "cache").rglob("parts-*"))
    base = again["grey"].values
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)


def test_a_new_layer_extracts_only_itself(stimuli, tmp_path):
    extractor = Counting()
    extract_cached(extractor, stimuli, layers=["grey"], root=tmp_path)
    seen = []
    original = extractor.inner.__class__.__call__

    class Watching(Counting):
        def __call__(self, part, *, layers=None, **options):
            seen.append(tuple(layers))
            return original(self.inner, part, layers=layers)

    both = extract_cached(Watching(), stimuli, root=tmp_path)
    _check(both, stimuli)
    assert set(seen) == {("colour",)}


def test_anything_that_decides_the_numbers_changes_the_key(stimuli, tmp_path, monkeypatch):
    keys = {compute_feature_key(Counting(), stimuli), compute_feature_key(Counting(side=5), stimuli)}
    keys.add(compute_feature_key(Counting(), stimuli.subset(stimuli.stimulus_ids[::-1])))
    assert compute_feature_key(Counting(), stimuli) in keys
    Image.fromarray(np.zeros((12, 12, 3), dtype=np.uint8)).save(stimuli.path("image-003"))
    keys.add(compute_feature_key(Counting(), stimuli))
    monkeypatch.setattr(cache, "compute_fingerprint", lambda *parts: "edited")
    keys.add(compute_feature_key(Counting(), stimuli))
    assert len(keys) == 5


def test_changed_pixels_under_old_names_are_never_stale(stimuli, tmp_path):
    extract_cached(Counting(), stimuli, root=tmp_path / "cache")
    Image.fromarray(np.zeros((12, 12, 3), dtype=np.uint8)).save(stimuli.path("image-003"))
    features = extract_cached(Counting(), stimuli, root=tmp_path / "cache")
    _check(features, stimuli)
    assert float(features["grey"][3].max()) == 0.0


def test_a_killed_run_goes_on(stimuli, tmp_path):
    killed = Counting(fail_after=8)
    with pytest.raises(KeyboardInterrupt):
        extract_cached(killed, stimuli, root=tmp_path / "cache")
    resumed = Counting()
    features = extract_cached(resumed, stimuli, root=tmp_path / "cache")
    _check(features, stimuli)
    # The first part gives the coordinates and is made again, the second is kept, the third was missing.
    assert resumed.n_images == 4 + 2


def test_a_truncated_part_is_made_again(stimuli, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract_cached(Counting(fail_after=8), stimuli, root=tmp_path / "cache")
    part = sorted((tmp_path / "cache").rglob("*.npz"))[1]
    part.write_bytes(part.read_bytes()[:-40])
    _check(extract_cached(Counting(), stimuli, root=tmp_path / "cache"), stimuli)


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove"])
def test_a_damaged_file_is_extracted_again_with_a_warning(stimuli, tmp_path, damage):
    extract_cached(Counting(), stimuli, root=tmp_path / "cache")
    path = next((tmp_path / "cache").rglob("grey*.npy"))
    content = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "truncate":
        path.write_bytes(content[:-8])
    else:
        content[-1] ^= 1
        path.write_bytes(content)
    extractor = Counting()
    with pytest.warns(UserWarning, match="not what was written"):
        features = extract_cached(extractor, stimuli, root=tmp_path / "cache")
    _check(features, stimuli)
    assert extractor.n_images == 10


def test_an_extractor_without_description_is_refused(stimuli, tmp_path):
    def extractor(stimuli, **options):
        return PixelFeatures()(stimuli)

    with pytest.raises(TypeError, match=r"must have describe\(\)"):
        extract_cached(extractor, stimuli, layers=["grey"], root=tmp_path)


def test_join_layers(stimuli):
    joined = join_layers(PixelFeatures(4, 2)(stimuli))
    assert joined.shape == (10, 16 + 12)
    assert list(joined["layer"].values) == ["grey"] * 16 + ["colour"] * 12
    with pytest.raises(ValueError, match="at least one layer"):
        join_layers({})


def test_files_move_with_the_folder(stimuli, tmp_path):
    extract_cached(Counting(), stimuli, root=tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "b")
    extractor = Counting()
    _check(extract_cached(extractor, stimuli, root=tmp_path / "b"), stimuli)
    assert extractor.n_images == 0
