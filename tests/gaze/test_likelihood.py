import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp

from neurovis.core import StimulusSet
from neurovis.core.fixations import make_fixations
from neurovis.gaze.likelihood import (
    compute_log_density,
    make_blank_image,
    sample_scanpaths,
    score_gaze_model,
)
from neurovis.gaze.models import UniformModel

SIZE = (48, 64)


def make_gaussian(row=20.0, column=30.0, sigma=6.0):
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    log = -((y - row) ** 2 + (x - column) ** 2) / (2 * sigma**2)
    return log - logsumexp(log)


class OneMethod:
    """A user's own class: nothing but the method."""

    def __init__(self, log_density):
        self.map = log_density

    def log_density(self, image, history, *, target=None):
        return self.map


class Near:
    """Uses the history: close to the last fixation; asks for its order."""

    def __init__(self):
        self.histories = []

    def log_density(self, image, history, *, target=None):
        self.histories.append(history[["x_px", "y_px"]].to_numpy().tolist())
        if len(history) == 0:
            return np.full(SIZE, -math.log(SIZE[0] * SIZE[1]))
        return make_gaussian(history["y_px"].iloc[-1], history["x_px"].iloc[-1], 3.0)


@pytest.fixture
def stimuli(tmp_path):
    table = pd.DataFrame({"path": "", "height_px": SIZE[0], "width_px": SIZE[1]}, index=["a", "b"])
    return StimulusSet("two", table, tmp_path, (10, 10))


def draw_fixations(density, n, seed=0, stimulus_id="a", subject="s"):
    flat = np.random.default_rng(seed).choice(density.size, size=n, p=np.exp(density).ravel())
    rows, columns = np.divmod(flat, SIZE[1])
    return make_fixations(
        np.column_stack([columns + 0.5, rows + 0.5]), subject=subject, stimulus_id=stimulus_id
    )


def score(model, stimuli, fixations, **options):
    return score_gaze_model(
        model, stimuli, fixations, load_image=partial(make_blank_image, stimuli), **options
    )


def test_reference_values_of_the_true_density(stimuli):
    truth = make_gaussian()
    model = OneMethod(truth)
    model.uses_history = False
    table = score(model, stimuli, draw_fixations(truth, 2000))
    entropy = -(np.exp(truth) * truth).sum() / math.log(2)
    expected = math.log2(truth.size) - entropy
    assert abs(expected - 2.324) < 1e-3
    error = table["information_gain_bits"].std() / math.sqrt(2000)
    assert abs(table["information_gain_bits"].mean() - expected) < 4 * error
    # Computed independently for this map and these 2000 fixations.
    assert abs(table["information_gain_bits"].mean() - 2.273) < 2e-3
    assert abs(table["auc"].mean() - 0.9239) < 2e-4
    assert abs(table["nss"].mean() - 2.368) < 2e-3


def test_uniform_gains_nothing_and_ranks_by_chance(stimuli):
    table = score(UniformModel(), stimuli, draw_fixations(make_gaussian(), 50))
    assert (table["information_gain_bits"].abs() < 1e-12).all()
    assert (table["auc"] == 0.5).all()
    assert (table["nss"] == 0).all()
    np.testing.assert_allclose(table["log_likelihood"], -math.log(48 * 64))


def test_gain_is_counted_from_the_baseline(stimuli):
    truth, other = make_gaussian(), make_gaussian(sigma=14.0)
    fixations = draw_fixations(truth, 200)
    plain = [score(OneMethod(x), stimuli, fixations)["information_gain_bits"] for x in (truth, other)]
    beyond = score(OneMethod(truth), stimuli, fixations, baseline=OneMethod(other))
    np.testing.assert_allclose(beyond["information_gain_bits"], plain[0] - plain[1])
    itself = score(OneMethod(other), stimuli, fixations, baseline=OneMethod(other))
    assert (itself["information_gain_bits"] == 0).all()


def test_every_fixation_is_predicted_from_its_own_past_only(stimuli):
    one = make_fixations([[3, 4], [5, 6], [7, 8]], subject="s", stimulus_id="a")
    two = make_fixations([[30, 31], [32, 33]], subject="t", stimulus_id="a")
    model = Near()
    table = score(model, stimuli, pd.concat([two, one]), first_index=1)
    assert model.histories == [[[3, 4]], [[3, 4], [5, 6]], [[30, 31]]]
    assert table[["subject", "index"]].to_numpy().tolist() == [["s", 1], ["s", 2], ["t", 1]]
    expected = make_gaussian(4, 3, 3.0)[6, 5]
    assert abs(table["log_likelihood"][0] - expected) < 1e-12


def test_a_model_without_history_is_asked_once_per_image(stimuli):
    class Counting(OneMethod):
        uses_history = False
        n_calls = 0

        def log_density(self, image, history, *, target=None):
            self.n_calls += 1
            assert len(history) == 0
            return self.map

    truth = make_gaussian()
    fixations = pd.concat([draw_fixations(truth, 20, stimulus_id=name) for name in "ab"])
    model = Counting(truth)
    table = score(model, stimuli, fixations)
    assert model.n_calls == 2
    slow = score(OneMethod(truth), stimuli, fixations)
    pd.testing.assert_frame_equal(table, slow)


def test_samples_follow_the_density(stimuli):
    truth = make_gaussian()
    image = make_blank_image(stimuli, "a")
    static = OneMethod(truth)
    static.uses_history = False
    drawn = sample_scanpaths(static, image, 400, length=5, seed=3)
    assert drawn["index"].max() == 4
    assert drawn["trial"].nunique() == 400
    x, y = drawn["x_px"].to_numpy(), drawn["y_px"].to_numpy()
    p = np.exp(truth)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    for values, centre in ((x, (p * columns).sum()), (y, (p * rows).sum())):
        assert abs(values.mean() - centre) < 4 * 6 / math.sqrt(2000)
        assert abs(values.std() - 6) < 0.4
    # Being asked again for every fixation changes nothing.
    again = sample_scanpaths(OneMethod(truth), image, 30, length=5, seed=3)
    pd.testing.assert_frame_equal(drawn[drawn["trial"] < 30].reset_index(drop=True), again)


def test_samples_use_the_history_the_start_and_their_own_lengths(stimuli):
    drawn = sample_scanpaths(
        Near(), make_blank_image(stimuli, "a"), 3, length=[1, 4, 9], seed=0, start_px=(10.0, 12.0)
    )
    assert drawn.groupby("trial").size().tolist() == [1, 4, 9]
    starts = drawn[drawn["index"] == 0]
    assert (starts["x_px"] == 10).all()
    steps = drawn.groupby("trial")[["x_px", "y_px"]].diff().dropna()
    assert np.hypot(steps["x_px"], steps["y_px"]).max() < 3.0 * 5


def test_exchanged_coordinates_are_named(stimuli):
    swapped = make_fixations([[20.0, 60.0], [40.0, 50.0]], subject="s", stimulus_id="a")
    with pytest.raises(ValueError, match="exchanging x and y puts all of them inside"):
        score(UniformModel(), stimuli, swapped)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (make_gaussian() + 0.5, "whose exp sums to 1"),
        (make_gaussian().T, r"must have the image's shape \(height, width\) = \(48, 64\), got \(64, 48\)"),
        (np.where(make_gaussian() > -9, np.nan, make_gaussian()), "whose exp sums to 1"),
    ],
)
def test_what_is_no_density_is_refused(stimuli, answer, message):
    image, nothing = make_blank_image(stimuli, "a"), make_fixations([], subject="s", stimulus_id="a")
    with pytest.raises(ValueError, match=message):
        compute_log_density(OneMethod(answer), image, nothing)


def test_what_has_no_method_is_refused(stimuli):
    with pytest.raises(TypeError, match=r"must have a method log_density"):
        score(object(), stimuli, draw_fixations(make_gaussian(), 3))


def test_nothing_to_score_is_an_error(stimuli):
    with pytest.raises(ValueError, match="some from index 5 on"):
        score(UniformModel(), stimuli, draw_fixations(make_gaussian(), 3), first_index=5)
