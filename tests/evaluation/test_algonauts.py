"""The challenge's score against a loop over vertices, and where it must be 0 and 100."""

import numpy as np
import pytest
from scipy.stats import pearsonr

from neurovis.evaluation.algonauts import compute_challenge_score


@pytest.fixture
def case(rng):
    truth = rng.normal(size=(50, 30))
    prediction = 0.4 * truth + rng.normal(size=truth.shape)
    return truth, prediction, rng.uniform(0, 0.5, size=30)


def test_score_equals_a_loop(case):
    truth, prediction, ceiling = case
    ceiling[:3] = 0
    expected = []
    for vertex, own in enumerate(ceiling):
        r = max(pearsonr(truth[:, vertex], prediction[:, vertex])[0], 0)
        expected.append(min(100 * r**2 / (own if own else 1e-14), 100))
    score = compute_challenge_score(*case[:2], ceiling)
    np.testing.assert_allclose(score.values, expected)
    assert score.median == pytest.approx(np.median(expected))
    assert score.mean == pytest.approx(np.mean(expected))
    chosen = np.array(expected)[ceiling > 0.1]
    assert score.n_reliable == len(chosen) < 30
    assert score.median_reliable == pytest.approx(np.median(chosen))
    assert score.mean_reliable == pytest.approx(np.mean(chosen))


def test_bounds_and_scale(case):
    truth, prediction, ceiling = case
    assert compute_challenge_score(truth, truth, ceiling).values.min() == 100
    assert compute_challenge_score(truth, -truth, ceiling).values.max() == 0
    assert compute_challenge_score(truth, np.zeros_like(truth), ceiling).values.max() == 0
    scaled = compute_challenge_score(3 * truth + 7, 0.1 * prediction - 2, ceiling)
    np.testing.assert_allclose(scaled.values, compute_challenge_score(*case).values)


def test_none_reliable_and_percent_are_told(case):
    truth, prediction, ceiling = case
    score = compute_challenge_score(truth, prediction, ceiling, reliable=0.6)
    assert (score.n_reliable, score.median_reliable, score.mean_reliable) == (0, None, None)
    with pytest.raises(ValueError, match=r"noise_ceiling must be at most 1.*not percent"):
        compute_challenge_score(truth, prediction, 100 * ceiling)
    with pytest.raises(ValueError, match="noise_ceiling must have shape"):
        compute_challenge_score(truth, prediction, ceiling[:-1])
