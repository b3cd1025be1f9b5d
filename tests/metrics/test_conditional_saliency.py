import numpy as np
import pytest

from neurovis.metrics.conditional_saliency import convert_auc_to_hat, score_next_fixations


@pytest.fixture
def maps(rng):
    values = rng.gamma(1.0, size=(6, 20, 30))
    return np.log(values / values.sum(axis=(1, 2), keepdims=True))


@pytest.fixture
def xy(rng):
    return rng.uniform((0, 0), (30, 20), (6, 2))


def test_equals_loops(maps, xy, rng):
    prior = rng.gamma(1.0, size=(20, 30))
    prior = np.log(prior / prior.sum())
    found = score_next_fixations(iter(maps), xy, baseline=prior)
    for values, (x, y), own in zip(maps, xy, found.itertuples(), strict=True):
        row, column = int(y), int(x)
        density = np.exp(values)
        gain = (values[row, column] - prior[row, column]) / np.log(2)
        assert own.information_gain == pytest.approx(gain)
        assert own.nss == pytest.approx((density[row, column] - density.mean()) / density.std())
        higher = (density >= density[row, column]).sum() - 1
        assert own.auc == pytest.approx(1 - higher / (density.size - 1))
        # HAT: the trapezia of (0, 0), (fp, 1), (1, 1).
        fp = higher / (density.size - 1)
        assert convert_auc_to_hat(own.auc) == pytest.approx(fp / 2 + (1 - fp))


def test_chance(xy, rng):
    """Of maps that know nothing the area is 0.5, in HAT's convention 0.75."""
    values = rng.random((2000, 20, 30))
    values /= values.sum(axis=(1, 2), keepdims=True)
    places = rng.uniform((0, 0), (30, 20), (2000, 2))
    auc = score_next_fixations(np.log(values), places)["auc"]
    assert auc.mean() == pytest.approx(0.5, abs=0.03)
    assert convert_auc_to_hat(auc).mean() == pytest.approx(0.75, abs=0.015)
    uniform = np.full((20, 30), -np.log(600))
    assert score_next_fixations([uniform] * 6, xy).mean().tolist() == pytest.approx([0, 0, 0.5])


def test_wrong_input_is_refused(maps, xy):
    with pytest.raises(ValueError, match="must be 6, one per fixation, got 5"):
        score_next_fixations(maps[:5], xy)
    with pytest.raises(ValueError, match="got more"):
        score_next_fixations(maps, xy[:5])
    with pytest.raises(ValueError, match=r"log_densities\[0\] must be the natural logarithm"):
        score_next_fixations(np.exp(maps), xy)
