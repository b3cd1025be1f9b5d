"""Drawn heights, counts and limits are those of the data; wrong shapes are refused by name."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from neurovis.plotting import (
    plot_confusion,
    plot_feature_comparison,
    plot_null_distribution,
    plot_score_against_ceiling,
    plot_scores_by_region,
)


@pytest.fixture
def scores(rng):
    regions = np.repeat(["V1", "FFA", "PPA"], [30, 20, 400])
    values = rng.normal(0.5, 0.1, regions.size)
    values[3] = np.nan
    return values, regions


def _find(artists, label):
    return next(artist for artist in artists if artist.get_label() == label)


def test_region_heights_are_medians_in_the_given_order(scores):
    values, regions = scores
    ceilings = values + 0.2
    ax = plot_scores_by_region(values, regions, ceilings=ceilings, order=["PPA", "V1", "FFA"], label="r [1]")
    expected = [np.nanmedian(values[regions == name]) for name in ("PPA", "V1", "FFA")]
    np.testing.assert_allclose(_find(ax.lines, "median").get_ydata(), expected)
    bars = _find(ax.collections, "median ceiling").get_segments()
    np.testing.assert_allclose([segment[0, 1] for segment in bars], np.array(expected) + 0.2)
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["PPA\n400", "V1\n29", "FFA\n20"]
    assert ax.get_ylabel() == "r [1]"


def test_regions_draw_where_told_and_stand_a_single_value(scores):
    values, regions = scores
    _, given = plt.subplots()
    ax = plot_scores_by_region(values[:31], regions[:31], ax=given)
    assert ax is given
    assert _find(ax.lines, "median").get_ydata()[1] == values[30]


def test_ceilings_that_are_missing_in_a_whole_region_are_left_out(scores):
    values, regions = scores
    ceilings = np.where(regions == "V1", np.nan, 0.9)
    ax = plot_scores_by_region(values, regions, ceilings=ceilings)
    segments = _find(ax.collections, "median ceiling").get_segments()
    assert [segment[0].tolist() for segment in segments if segment.size] == [[0.7, 0.9], [1.7, 0.9]]


def test_regions_refuse_wrong_input(scores):
    values, regions = scores
    with pytest.raises(ValueError, match=r"regions must have one entry for each of the 450 values.*\(449,\)"):
        plot_scores_by_region(values, regions[1:])
    with pytest.raises(ValueError, match=r"order must name regions.*'V9'"):
        plot_scores_by_region(values, regions, order=["V9"])
    with pytest.raises(ValueError, match=r"ceilings must have shape \(450\), got \(1,\)"):
        plot_scores_by_region(values, regions, ceilings=[1.0])


def test_score_against_ceiling_states_the_median_ratio(rng):
    ceilings = rng.uniform(0.2, 0.9, 101)
    values = ceilings * 0.8
    values[0] = np.nan
    ax = plot_score_against_ceiling(values, ceilings)
    points = ax.collections[0].get_offsets()
    np.testing.assert_allclose(points, np.column_stack([ceilings, values])[1:])
    assert "median score / ceiling = 0.80\nn = 100" in ax.texts[-1].get_text()
    assert ax.get_xlabel() == "ceiling (Pearson r)"


def test_score_against_ceiling_colours_groups_apart(rng):
    ceilings = rng.uniform(0.2, 0.9, 40)
    ax = plot_score_against_ceiling(ceilings, ceilings, groups=["a"] * 10 + ["b"] * 30)
    sizes = {points.get_label(): len(points.get_offsets()) for points in ax.collections}
    assert sizes == {"a": 10, "b": 30}
    first, second = (tuple(points.get_facecolor()[0]) for points in ax.collections)
    assert first != second
    with pytest.raises(ValueError, match="finite neuroid"):
        plot_score_against_ceiling([np.nan], [0.5])
    with pytest.raises(ValueError, match="groups must have length 2"):
        plot_score_against_ceiling([0.1, 0.2], [0.5, 0.5], groups=["a"])


def test_many_models_of_long_names_stay_apart(rng):
    names = [f"gabor+clip+dinov2 number {i} (banded-ridge)" for i in range(14)]
    ax = plot_feature_comparison(rng.uniform(size=(14, 3)), names, ["V1v", "V1d", "midventral"])
    ax.figure.canvas.draw()
    assert ax.get_window_extent().width > 0.7 * ax.figure.bbox.width
    styles = {
        (line.get_color(), line.get_marker()) for line in ax.lines if not line.get_label().startswith("_")
    }
    assert len(styles) == 14


def test_feature_comparison_draws_each_value_with_its_interval(rng):
    values = rng.random((2, 3))
    ax = plot_feature_comparison(
        values, ["pixels", "Gabor"], ["V1", "V2", "V3"], lower=values - 0.1, upper=values + 0.2,
        ceilings=[0.9, 0.8, 0.7],
    )  # fmt: skip
    np.testing.assert_allclose(_find(ax.lines, "Gabor").get_ydata(), values[1])
    spans = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(spans, np.column_stack([values[0] - 0.1, values[0] + 0.2]))
    with pytest.raises(ValueError, match=r"values must have shape \(2, 3\)"):
        plot_feature_comparison(values.T, ["pixels", "Gabor"], ["V1", "V2", "V3"])
    with pytest.raises(ValueError, match="given together, got no upper"):
        plot_feature_comparison(values, ["pixels", "Gabor"], ["V1", "V2", "V3"], lower=values)


def test_null_distribution_counts_every_permutation_and_states_p():
    null = np.arange(99) / 100
    ax = plot_null_distribution(null, 0.95, chance=0.5, label="accuracy")
    assert sum(patch.get_height() for patch in ax.patches) == 99
    # 0.95, 0.96, 0.97 and 0.98 reach the observed value: (1 + 4) / (1 + 99).
    assert ax.get_title(loc="left") == "observed 0.95, p = 0.05 (99 permutations)"
    assert _find(ax.lines, "observed").get_xdata()[0] == 0.95
    with pytest.raises(ValueError, match="at least one permutation"):
        plot_null_distribution([], 0.5)


def test_confusion_rows_sum_to_one():
    ax = plot_confusion([[3, 1], [0, 5]], ["face", "house"])
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [0, 1]])
    assert [text.get_text() for text in ax.texts] == [".75", ".25", ".00", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("decoded", "shown")
    with pytest.raises(ValueError, match="none for 'house'"):
        plot_confusion([[3, 1], [0, 0]], ["face", "house"])
    with pytest.raises(ValueError, match=r"confusion must have shape \(3, 3\)"):
        plot_confusion(np.eye(2), ["a", "b", "c"])


def test_the_callers_style_is_left_alone(scores):
    before = dict(plt.rcParams)
    assert isinstance(plot_scores_by_region(*scores), Axes)
    assert dict(plt.rcParams) == before
