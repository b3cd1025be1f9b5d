import numpy as np
import pytest

from neurovis.metrics.trials import zscore_trials


def test_equals_a_loop_over_neuroids(rng):
    trials = rng.normal(3, 2, size=(20, 1500)).astype(np.float32)
    trials[:, 7] = 1.1
    reference = rng.random(20) < 0.7
    z, varies = zscore_trials(trials, reference)
    assert z.dtype == np.float32
    assert np.flatnonzero(~varies).tolist() == [7]
    for neuroid in (0, 1023, 1024, 1499):
        column = trials[:, neuroid].astype(float)
        used = column[reference]
        np.testing.assert_allclose(z[:, neuroid], (column - used.mean()) / used.std(), rtol=1e-5, atol=1e-6)
    assert not z[:, 7].any()


def test_only_reference_trials_set_the_scale(rng):
    trials = rng.normal(size=(12, 3))
    reference = np.arange(12) < 8
    changed = trials + np.where(reference, 0, 50)[:, None]
    np.testing.assert_array_equal(
        zscore_trials(trials, reference)[0][reference], zscore_trials(changed, reference)[0][reference]
    )


@pytest.mark.parametrize("reference", [np.ones(4), np.ones(3, dtype=bool), np.arange(4) < 1])
def test_unusable_references_are_refused(rng, reference):
    with pytest.raises(ValueError, match=r"boolean mask of the 4 trials.*got"):
        zscore_trials(rng.normal(size=(4, 2)), reference)
