"""Recovery scatter and forest plot show the numbers they are given."""

import numpy as np
import pytest

from neurovis.plotting import plot_intervals, plot_recovery


def test_recovery_shows_finite_pairs_on_equal_axes(rng):
    truth = rng.random(50)
    estimate = truth + 0.1
    estimate[7] = np.nan
    ax = plot_recovery(truth, estimate, label="ceiling (r)", tolerance=0.05)
    keep = np.isfinite(estimate)
    points = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([truth, estimate])[keep])
    assert ax.get_xlim() == ax.get_ylim()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true ceiling (r)", "estimated ceiling (r)")
    assert ax.texts[-1].get_text() == "r = 1.000\nmedian deviation = +0.1\nn = 49"


def test_recovery_of_many_cases_is_a_density_of_all(rng):
    truth = rng.random(5000)
    ax = plot_recovery(truth, truth)
    assert ax.collections[-1].get_array().sum() == 5000


def test_recovery_refuses_too_little():
    with pytest.raises(ValueError, match="two finite cases, got 1"):
        plot_recovery([0.1, np.nan], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"estimate must have shape \(2\)"):
        plot_recovery([0.1, 0.2], [0.1])


def test_recovery_of_a_constant_truth_has_no_correlation():
    assert "r = nan" in plot_recovery([1.0, 1.0], [0.9, 1.1]).texts[-1].get_text()


def test_intervals_run_from_top_to_bottom_with_targets():
    ax = plot_intervals(
        ["first", "second"], [0.5, 0.7], lower=[0.4, 0.6], upper=[0.6, 0.8], targets=[0.45, 0.9],
        chance=[0.1, 0.1], null_upper=[0.2, 0.3], passed=[True, False],
    )  # fmt: skip
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["first", "second"]
    bottom, top = ax.get_ylim()
    assert bottom > top
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines] == [(0.5, 0), (0.7, 1)]
    assert ax.lines[0].get_color() != ax.lines[1].get_color()
    np.testing.assert_allclose([patch.get_width() for patch in ax.patches], [0.1, 0.2])
    segments = next(c.get_segments() for c in ax.collections if c.get_label() == "target")
    np.testing.assert_allclose([segment[0, 0] for segment in segments], [0.45, 0.9])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": [0.5]}, r"values must have shape \(2\)"),
        ({"lower": [0.1, 0.1]}, "got no upper"),
        ({"lower": [0.6, 0.1], "upper": [0.4, 0.2]}, "lower must not exceed upper"),
        ({"passed": [True]}, "passed must have length 2"),
    ],
)
def test_intervals_refuse_wrong_input(change, message):
    with pytest.raises(ValueError, match=message):
        plot_intervals(**{"labels": ["a", "b"], "values": [0.5, 0.6], **change})
