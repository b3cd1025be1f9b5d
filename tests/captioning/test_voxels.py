from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from neurovis.captioning.bank import draw_repeats
from neurovis.captioning.decoding import Decoding
from neurovis.captioning.gates import gate_voxels, permute_weights
from neurovis.captioning.projection import compute_repeat_agreement, project_weights
from neurovis.captioning.voxels import caption_random_images, caption_voxels
from neurovis.core import OtherConfigurationError

DECODING = Decoding(width=2, max_tokens=8)


@pytest.fixture
def bank(make_bank):
    return make_bank(60, shard_images=25)


@pytest.fixture
def voxels():
    return pd.DataFrame({"subject": "01", "hemisphere": "left", "voxel": np.arange(9) * 3, "region": "FFA-1"})


@pytest.fixture
def weights():
    return np.random.default_rng(0).normal(size=(9, 12))


def test_captions_carry_the_place_of_their_voxel(weights, voxels, bank, captioner):
    repeats = draw_repeats(bank, 3)
    found = caption_voxels(weights, voxels, bank, captioner, repeats=repeats, decoding=DECODING)
    assert len(found.table) == 27
    assert found.table["voxel"].tolist() == [*voxels["voxel"]] * 3
    assert found.table["repeat"].tolist() == [0] * 9 + [1] * 9 + [2] * 9
    assert set(found.table["direction"]) == {"increase"}
    assert found.captions.shape == (3, 9)
    for k, rows in enumerate(repeats):
        projected = project_weights(weights, bank.iterate_tiles(rows), 150.0)
        assert np.allclose(found.embeddings[k], projected.embeddings[0])
        texts = captioner.caption(projected.embeddings[0], DECODING).texts
        assert found.captions[k].tolist() == texts
    assert np.allclose(found.agreement, compute_repeat_agreement(found.embeddings))


def test_suppression_captions_negate_the_weights(weights, voxels, bank, captioner):
    options = {"repeats": [bank.rows], "decoding": DECODING}
    lower = caption_voxels(weights, voxels, bank, captioner, suppression=True, **options)
    negated = caption_voxels(-weights, voxels, bank, captioner, **options)
    assert np.array_equal(lower.embeddings, negated.embeddings)
    assert set(lower.table["direction"]) == {"suppress"}
    assert np.isnan(lower.agreement).all()
    plain = caption_voxels(weights, voxels, bank, captioner, **options)
    assert not np.allclose(plain.embeddings, lower.embeddings)


def test_a_killed_run_keeps_finished_repeats(weights, voxels, bank, captioner, tmp_path, monkeypatch):
    calls = []

    def count(*args, **kwargs):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return project_weights(*args, **kwargs)

    monkeypatch.setattr("neurovis.captioning.voxels.project_weights", count)
    options = {"decoding": DECODING, "folder": tmp_path / "captions"}
    with pytest.raises(KeyboardInterrupt):
        caption_voxels(weights, voxels, bank, captioner, **options)
    found = caption_voxels(weights, voxels, bank, captioner, **options)
    assert len(calls) == 3 + 3
    monkeypatch.undo()
    straight = caption_voxels(weights, voxels, bank, captioner, decoding=DECODING)
    pd.testing.assert_frame_equal(found.table, straight.table)
    assert np.array_equal(found.embeddings, straight.embeddings)
    with pytest.raises(OtherConfigurationError, match="same weights, bank and settings"):
        caption_voxels(weights * 2 + 1, voxels, bank, captioner, **options)


def test_base_rates_are_captions_of_bank_images(bank, captioner):
    texts = caption_random_images(bank, captioner, n_images=1000, decoding=DECODING)
    assert len(texts) == 60
    every = captioner.caption(bank.read_embeddings(bank.rows), DECODING).texts
    assert sorted(texts) == sorted(every)
    some = caption_random_images(bank, captioner, n_images=7, seed=1, decoding=DECODING)
    assert len(some) == 7


def test_gates_say_why():
    table = gate_voxels(
        [0.5, 0.1, np.nan, 0.5, 0.5, 0.3], [0.8, 0.8, 0.8, 0.0, 0.8, np.nan], [0.95, 0.95, 1, 1, 0.5, 1]
    )
    assert table["reason"].tolist() == ["", "accuracy", "accuracy", "no ceiling", "agreement", "no ceiling"]
    assert table["passed"].tolist() == [True] + [False] * 5
    assert table["ceiled"][0] == pytest.approx(0.625)
    without = gate_voxels([0.5, 0.5], [0.8, 1.3], min_ceiled=0.5)
    assert without["passed"].tolist() == [True, False]
    with pytest.raises(ValueError, match=r"ceiling must have shape \(2\)"):
        gate_voxels([0.1, 0.2], [1.0])


def test_permuted_weights_keep_entries_and_lose_direction(weights):
    permuted = permute_weights(weights, seed=0)
    assert np.allclose(np.sort(permuted, axis=1), np.sort(weights, axis=1))
    large = np.random.default_rng(0).normal(size=(200, 100))
    cosine = (permute_weights(large) * large).sum(1) / (large**2).sum(1)
    assert abs(cosine.mean()) < 0.03
    assert not np.array_equal(permute_weights(weights, seed=1), permuted)


def test_bad_input_is_named(weights, voxels, bank, captioner):
    with pytest.raises(ValueError, match=r"weights must have shape \(any, 12\)"):
        caption_voxels(weights[:, :5], voxels, bank, captioner)
    with pytest.raises(ValueError, match=r"got 8 rows for 9 weight vectors and no \['region'\]"):
        caption_voxels(weights, voxels.drop(columns="region")[:8], bank, captioner)
    with pytest.raises(ValueError, match=r"must share one embedding, got 'mean-colours'.* and 'other'"):
        caption_voxels(weights, voxels, bank, replace(captioner, space="other"))
    with pytest.raises(ValueError, match="repeats must hold at least one"):
        caption_voxels(weights, voxels, bank, captioner, repeats=[])
