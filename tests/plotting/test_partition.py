"""Bars have the heights of the table, circles the areas of the shares."""

import numpy as np
import pandas as pd
import pytest

from neurovis.plotting import plot_variance_partition, plot_venn

SHARES = {
    "V1": {"only gabor": 0.4, "only clip": 0.03, "gabor & clip": 0.1},
    "FFA": {"only gabor": -0.02, "only clip": 0.3, "gabor & clip": 0.12},
}


@pytest.fixture
def table():
    return pd.DataFrame(
        [
            {
                "region": region,
                "component": name,
                "value": value,
                "lower": value - 0.03,
                "upper": value + 0.02,
            }
            for region, shares in SHARES.items()
            for name, value in shares.items()
        ]
    )


def measure_overlap(circles, n=1500):
    """Area inside both circles, counted on a grid."""
    reach = max(abs(np.array(c.center)).max() + c.radius for c in circles)
    x, y = np.meshgrid(*[np.linspace(-reach, reach, n)] * 2)
    inside = [np.hypot(x - c.center[0], y - c.center[1]) < c.radius for c in circles]
    return (inside[0] & inside[1]).mean() * (2 * reach) ** 2


def test_grouped_bars_and_intervals_have_the_heights_of_the_table(table):
    ax = plot_variance_partition(table, title="partition")
    assert [bars.get_label() for bars in ax.containers] == list(SHARES["V1"])
    for bars, (component, rows) in zip(ax.containers, table.groupby("component", sort=False), strict=True):
        np.testing.assert_allclose([bar.get_height() for bar in bars], rows["value"])
        assert bars.get_label() == component
    segments = np.array([line for lines in ax.collections for line in lines.get_segments()])
    ends = table.sort_values("component", key=lambda names: names.map(list(SHARES["V1"]).index))
    np.testing.assert_allclose(segments[:, :, 1], ends[["lower", "upper"]])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["V1", "FFA"]


def test_stacked_bars_end_at_the_sum_and_negative_ones_hang_below(table):
    ax = plot_variance_partition(table, stacked=True, regions=["FFA", "V1"])
    gabor, clip, both = ax.containers
    assert gabor[0].get_height() == -0.02
    assert gabor[0].get_y() == clip[0].get_y() == 0
    assert both[0].get_y() == pytest.approx(0.3)
    assert both[1].get_y() == pytest.approx(0.43)
    sums = next(c for c in ax.collections if c.get_label() == "sum").get_segments()
    np.testing.assert_allclose([line[0][1] for line in sums], [0.4, 0.53])


def test_shared_components_mix_the_colours_of_their_spaces(table):
    ax = plot_variance_partition(table, colours={"gabor": "#ff0000", "clip": "#0000ff"})
    red, blue, mixed = (bars[0].get_facecolor() for bars in ax.containers)
    np.testing.assert_allclose(red, (1, 0, 0, 1))
    np.testing.assert_allclose(blue, (0, 0, 1, 1))
    np.testing.assert_allclose(mixed, (0.5, 0, 0.5, 1), atol=0.01)


@pytest.mark.parametrize(("gabor", "clip", "both"), [(0.3, 0.2, 0.15), (0.5, 0.02, 0.1), (0.01, 0.01, 0.4)])
def test_two_circles_have_the_areas_of_the_shares(gabor, clip, both):
    ax = plot_venn({"only gabor": gabor, "only clip": clip, "gabor & clip": both})
    areas = [np.pi * circle.radius**2 for circle in ax.patches]
    np.testing.assert_allclose(areas, [gabor + both, clip + both])
    np.testing.assert_allclose(measure_overlap(ax.patches), both, rtol=0.01)
    texts = [text.get_text() for text in ax.texts]
    assert {f"{value:.2f}" for value in (gabor, clip, both)} <= set(texts)
    assert {"gabor", "clip"} <= set(texts)


def test_negative_shares_are_written_and_have_no_area():
    apart = plot_venn({"only a": 0.2, "only b": 0.3, "a & b": -0.05})
    assert measure_overlap(apart.patches) == 0
    inside = plot_venn({"only a": -0.02, "only b": 0.3, "a & b": 0.1}, intervals={"only a": (-0.05, 0.01)})
    np.testing.assert_allclose(measure_overlap(inside.patches), 0.1, rtol=0.01)
    for ax, number in ((apart, "\N{MINUS SIGN}0.05"), (inside, "\N{MINUS SIGN}0.02")):
        texts = [text.get_text() for text in ax.texts]
        assert number in texts
        assert any("written, not drawn" in text for text in texts)
    assert "\N{MINUS SIGN}0.05 to 0.01" in [text.get_text() for text in inside.texts]


def test_three_circles_hold_each_number_where_its_circles_meet():
    names = ("a", "b", "c")
    shares = {f"only {name}": 0.1 + number / 100 for number, name in enumerate(names)}
    shares |= {"a & b": 0.21, "a & c": 0.22, "b & c": 0.23, "a & b & c": 0.31}
    ax = plot_venn(shares)
    circles = dict(zip(names, ax.patches, strict=True))
    spots = {text.get_text(): np.array(text.get_position()) for text in ax.texts}
    for component, share in shares.items():
        members = set(component.removeprefix("only ").split(" & "))
        holding = {
            name
            for name, circle in circles.items()
            if np.hypot(*(spots[f"{share:.2f}"] - circle.center)) < circle.radius
        }
        assert holding == members
    assert any("not to scale" in text for text in spots)


def test_bad_input(table):
    with pytest.raises(ValueError, match=r"table must have the columns .* without \['upper'\]"):
        plot_variance_partition(table.drop(columns="upper"))
    with pytest.raises(ValueError, match="one row for each of 2 regions and 3 components, got 5 rows"):
        plot_variance_partition(table.iloc[1:])
    with pytest.raises(ValueError, match=r"each of regions must be 'V1' or 'FFA', got 'V2'"):
        plot_variance_partition(table, regions=["V2"])
    with pytest.raises(ValueError, match="lower ends below upper ones"):
        plot_variance_partition(table.assign(lower=2.0))
    with pytest.raises(ValueError, match="shares must hold 'only a', 'only b', 'a & b'"):
        plot_venn({"only a": 0.1, "only b": 0.2})
    with pytest.raises(ValueError, match="shares must be finite"):
        plot_venn({"only a": 0.1, "only b": np.nan, "a & b": 0.1})
