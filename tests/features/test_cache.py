"""The feature cache: hits, misses, staleness, kills and broken files."""

import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from neurovis.features import cache
from neurovis.features.cache import compute_feature_key, extract_cached, join_layers
from neurovis.features.pixels import PixelFeatures
from neurovis.features.worldnet import make_worldnet


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
    # Two of three parts were kept.
    assert resumed.n_images == 2


def test_a_truncated_part_is_made_again(stimuli, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract_cached(Counting(fail_after=8), stimuli, root=tmp_path / "cache")
    part = sorted((tmp_path / "cache").rglob("*.npz"))[1]
    part.write_bytes(part.read_bytes()[:-40])
    resumed = Counting()
    _check(extract_cached(resumed, stimuli, root=tmp_path / "cache"), stimuli)
    assert resumed.n_images == 4 + 2


def test_a_part_with_a_flipped_bit_is_made_again(stimuli, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        extract_cached(Counting(fail_after=8), stimuli, root=tmp_path / "cache")
    part = sorted((tmp_path / "cache").rglob("*.npz"))[0]
    content = bytearray(part.read_bytes())
    content[300] ^= 1
    part.write_bytes(content)
    _check(extract_cached(Counting(), stimuli, root=tmp_path / "cache"), stimuli)


SCRIPT = """
import sys, time
import pandas as pd
from neurovis.core import StimulusSet
from neurovis.features import cache
from neurovis.features.pixels import PixelFeatures

cache.PART_SIZE = 4
root, out, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])

class Slow:
    name, layers, inner = "slow", PixelFeatures.layers, PixelFeatures(4, 4)
    describe = inner.describe

    def __call__(self, stimuli, *, layers=None, **options):
        print("part", *stimuli.stimulus_ids, flush=True)
        time.sleep(pause)
        return self.inner(stimuli, layers=layers)

ids = [f"image-{row:03d}" for row in range(10)]
table = pd.DataFrame({"path": [f"{i}.png" for i in ids]}, index=pd.Index(ids, name="stimulus_id"))
cache.extract_cached(Slow(), StimulusSet("test", table, root, (8.0, 8.0)), root=out)
print("done", flush=True)
"""


def _start(stimuli, out, pause):
    command = [sys.executable, "-c", SCRIPT, str(stimuli.root), str(out), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_process_killed_in_the_middle_loses_one_part(stimuli, tmp_path):
    process = _start(stimuli, tmp_path / "cache", pause=0.5)
    while "image-004" not in process.stdout.readline():
        pass
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    resumed = Counting()
    resumed.name = "slow"
    features = extract_cached(resumed, stimuli, root=tmp_path / "cache")
    _check(features, stimuli)
    assert resumed.n_images == 6


def test_two_processes_at_once_share_the_work(stimuli, tmp_path):
    processes = [_start(stimuli, tmp_path / "cache", pause=0.2) for _ in range(2)]
    lines = [line for process in processes for line in process.communicate()[0].splitlines()]
    assert lines.count("done") == 2
    assert sum(line.startswith("part") for line in lines) == 3
    reader = Counting()
    reader.name = "slow"
    _check(extract_cached(reader, stimuli, root=tmp_path / "cache"), stimuli)
    assert reader.n_images == 0


def test_parts_of_wide_layers_hold_fewer_stimuli(stimuli, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "PART_BYTES", 2 * 4 * (16 + 48))
    seen = []

    class Watching(Counting):
        def __call__(self, part, **options):
            seen.append(len(part))
            return super().__call__(part, **options)

    _check(extract_cached(Watching(), stimuli, root=tmp_path, batch_size=1), stimuli)
    assert seen == [1, 2, 2, 2, 2, 1]


def test_half_precision_on_request(stimuli, tmp_path):
    exact = extract_cached(Counting(), stimuli, root=tmp_path)["grey"]
    half = extract_cached(Counting(), stimuli, root=tmp_path, dtype="float16")["grey"]
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, exact, rtol=2**-10)
    assert extract_cached(Counting(), stimuli, root=tmp_path)["grey"].dtype == np.float32

    class Large(Counting):
        def __call__(self, part, **options):
            return {k: v * 1e6 for k, v in super().__call__(part, **options).items()}

    with pytest.raises(ValueError, match=r"within 65504 for float16, got up to \d+; store them as float32"):
        extract_cached(Large(side=3), stimuli, root=tmp_path, dtype="float16")
    with pytest.raises(ValueError, match="dtype must be"):
        extract_cached(Counting(), stimuli, root=tmp_path, dtype="int8")


def test_places_and_extent_are_kept(stimuli, tmp_path):
    extractor = make_worldnet(layers=("stage4",), pool=2)
    direct = extractor(stimuli)["stage4"]
    for _ in range(2):
        stored = extract_cached(extractor, stimuli, root=tmp_path)["stage4"]
        assert stored.attrs == direct.attrs
        assert set(stored.coords) == {"stimulus_id", "channel", "row", "column"}
        for key, coord in direct.coords.items():
            np.testing.assert_array_equal(stored[key], coord)
        np.testing.assert_allclose(stored, direct, atol=1e-5)


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
