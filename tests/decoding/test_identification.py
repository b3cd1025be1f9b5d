"""Identification of stimuli: exact ranks, chance, and a simulated encoder."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from neurovis.decoding.identification import cross_validate_identification, identify_stimuli


def test_ranks_written_out(rng):
    measured, predicted = rng.normal(size=(2, 12, 20))
    predicted += 0.3 * measured
    r = np.array([[np.corrcoef(m, p)[0, 1] for p in predicted] for m in measured])
    found = identify_stimuli(measured, predicted)
    np.testing.assert_array_equal(found.rank, [1 + (r[i] > r[i, i]).sum() for i in range(12)])
    beaten = [np.mean(np.delete(r[i], i) < r[i, i]) for i in range(12)]
    np.testing.assert_allclose(found.pairwise_accuracy, np.mean(beaten))
    np.testing.assert_allclose(found.accuracy, np.mean(r.argmax(1) == np.arange(12)))
    assert found.chance == 1 / 12


def test_perfect_and_empty_predictions(rng):
    measured = rng.normal(size=(10, 5))
    assert identify_stimuli(measured, measured).accuracy == 1
    # The same prediction for every image ties all candidates: chance, not success.
    constant = identify_stimuli(measured, np.tile(measured[:1], (10, 1)))
    assert constant.pairwise_accuracy == 0.5
    assert constant.accuracy == 0


def test_an_encoder_identifies_and_noise_does_not(rng):
    X = rng.normal(size=(100, 10))
    y = X @ rng.normal(size=(10, 40)) + 3 * rng.normal(size=(100, 40)) + 100
    found = cross_validate_identification(Ridge(), X, y)
    assert found.pairwise_accuracy > 0.9
    assert found.accuracy > 5 * found.chance
    np.testing.assert_array_equal(found.n_candidates, 20)
    noise = cross_validate_identification(Ridge(), rng.permutation(X), y)
    assert 0.4 < noise.pairwise_accuracy < 0.6


def test_groups_stay_together(rng):
    X, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 6))
    groups = np.repeat(np.arange(5), 6)
    found = cross_validate_identification(Ridge(), X, y, n_folds=5, groups=groups)
    np.testing.assert_array_equal(found.n_candidates, 6)


def test_bad_input(rng):
    X, y = rng.normal(size=(8, 3)), rng.normal(size=(8, 4))
    with pytest.raises(ValueError, match="got 5 folds for 8 and 8 rows"):
        cross_validate_identification(Ridge(), X, y)
    with pytest.raises(ValueError, match="at least 2 neuroids to correlate patterns, got 1"):
        identify_stimuli(y[:, :1], y[:, :1])
    with pytest.raises(ValueError, match="prediction must have the shape of truth"):
        identify_stimuli(y, y[:5])
