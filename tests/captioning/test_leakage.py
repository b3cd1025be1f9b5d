import hashlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.captioning.leakage import (
    _count_bits,
    _find_near,
    compute_fingerprint,
    find_leaks,
    remove_leaks,
)
from neurovis.core import StimulusSet
from neurovis.stimuli.world import make_scene


@pytest.fixture
def make_set(tmp_path):
    def make(images):
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / f"stimulus-{i}.png")
        names = [f"stimulus-{i}" for i in range(len(images))]
        table = pd.DataFrame({"path": [f"{name}.png" for name in names]}, index=names)
        return StimulusSet("evaluation", table, tmp_path, (8.0, 8.0))

    return make


@pytest.fixture(scope="module")
def scenes():
    return np.stack([make_scene(5, i).image for i in range(48)])


def test_copies_are_found_by_kind(make_bank, make_set, scenes, embed):
    bank = make_bank(images=scenes[:40])
    brighter = np.clip(scenes[7].astype(float) * 1.04 + 2, 0, 255).astype(np.uint8)
    smaller = np.asarray(Image.fromarray(scenes[21]).resize((48, 48), Image.Resampling.BICUBIC))
    stimuli = make_set([scenes[3], brighter, smaller, *scenes[40:]])
    leaks = find_leaks(bank, stimuli)
    pairs = set(zip(leaks["bank_row"], leaks["stimulus_id"], leaks["kind"], strict=True))
    assert pairs == {
        (3, "stimulus-0", "exact"), (7, "stimulus-1", "perceptual"), (21, "stimulus-2", "perceptual")
    }  # fmt: skip
    assert set(leaks["image_id"]) == {"listed-0003", "listed-0007", "listed-0021"}
    # Mean colours of quarters hardly change with size or tone.
    by_embedding = find_leaks(bank, stimuli, embed=embed, max_distance=None, min_cosine=0.9995)
    found = by_embedding[by_embedding["kind"] == "embedding"]
    assert {(3, "stimulus-0"), (7, "stimulus-1"), (21, "stimulus-2")} <= set(
        zip(found["bank_row"], found["stimulus_id"], strict=True)
    )
    slow = embed(scenes[:40]) / np.linalg.norm(embed(scenes[:40]), axis=1, keepdims=True)
    own = embed([stimuli.load(i) for i in stimuli.stimulus_ids])
    own /= np.linalg.norm(own, axis=1, keepdims=True)
    assert len(found) == ((slow @ own.T) >= 0.9995).sum()


def test_a_clean_bank_has_no_leaks(make_bank, make_set, scenes):
    bank = make_bank(images=scenes[:40])
    leaks = find_leaks(bank, make_set(scenes[40:]))
    assert len(leaks) == 0
    assert remove_leaks(bank, leaks) is bank


def test_leaks_are_refused_dropped_or_kept(make_bank, make_set, scenes):
    bank = make_bank(images=scenes[:40])
    leaks = find_leaks(bank, make_set(scenes[[3, 9]]))
    with pytest.raises(ValueError, match=r"got 2 of 40 rows that match 2 stimuli, the first 'listed-0003'"):
        remove_leaks(bank, leaks)
    clean = remove_leaks(bank, leaks, policy="drop")
    assert len(clean) == 38
    assert len(find_leaks(clean, make_set(scenes[[3, 9]]))) == 0
    assert remove_leaks(bank, leaks, policy="keep") is bank
    with pytest.raises(ValueError, match="policy must be 'refuse', 'drop' or 'keep'"):
        remove_leaks(bank, leaks, policy="ignore")
    with pytest.raises(ValueError, match="max_distance must be at most 16"):
        find_leaks(bank, make_set(scenes[:1]), max_distance=40)
    with pytest.raises(ValueError, match=r"shape \(1, 12\)"):
        find_leaks(bank, make_set(scenes[:1]), embed=lambda images: np.ones((1, 5)))


@pytest.mark.parametrize("distance", [0, 1, 4, 9])
def test_near_hashes_equal_comparing_all_pairs(distance):
    rng = np.random.default_rng(0)
    left = rng.integers(0, 2**63, 200, dtype=np.uint64)
    right = left[:50].copy()
    for row in range(50):
        for bit in rng.choice(64, size=rng.integers(0, 12), replace=False):
            right[row] ^= np.uint64(1) << np.uint64(bit)
    slow = {
        (a, b, bin(int(x) ^ int(y)).count("1"))
        for a, x in enumerate(left) for b, y in enumerate(right)
        if bin(int(x) ^ int(y)).count("1") <= distance
    }  # fmt: skip
    found = list(_find_near(left, right, distance))
    assert set(found) == slow
    assert len(found) == len(slow)
    assert _count_bits(np.array([0, 2**64 - 1, 5], dtype=np.uint64)).tolist() == [0, 64, 2]


def test_the_fingerprint_holds_the_sha_of_the_pixels(scenes):
    first, second, _ = compute_fingerprint(scenes[0])
    whole = hashlib.sha256(b"(64, 64, 3)" + scenes[0].tobytes()).digest()
    assert first.to_bytes(8, "big") + second.to_bytes(8, "big") == whole[:16]


def test_perceptual_hashes_of_other_scenes_are_far(scenes):
    hashes = np.array([compute_fingerprint(scene)[2] for scene in scenes], dtype=np.uint64)
    bits = [int(_count_bits(np.array([a ^ b]))[0]) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(bits) > 8
    assert 28 < np.mean(bits) < 36
