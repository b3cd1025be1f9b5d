"""Figures of motion: what is drawn is what was measured, and colours mean directions."""

import colorsys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection, QuadMesh

from neurovis.motion.neurophysiology_fits import compute_speed_surface
from neurovis.plotting import (
    plot_direction_tuning,
    plot_flow,
    plot_flow_reports,
    plot_frequency_map,
    plot_pattern_plane,
)

DIRECTIONS = np.arange(0, 360, 30.0)


def draw(ax):
    """Layout and rendering are where overfull figures fail."""
    ax.figure.canvas.draw()
    return ax


def test_tuning_closes_the_circle_at_its_own_scale():
    curve = 3 + 2 * np.cos(np.deg2rad(DIRECTIONS - 90))
    ax = draw(plot_direction_tuning({"grating": curve, "plaid": curve[::-1]}, DIRECTIONS))
    assert ax.name == "polar"
    angle, share = ax.lines[0].get_data()
    np.testing.assert_allclose(np.rad2deg(angle), [*DIRECTIONS, 360])
    np.testing.assert_allclose(share[:-1], curve / 5)
    assert share[0] == share[-1]
    line = draw(plot_direction_tuning({"grating": curve}, DIRECTIONS, polar=False, normalise=False))
    np.testing.assert_allclose(line.lines[0].get_ydata()[:-1], curve)
    assert "90 is up" in line.get_xlabel()
    assert line.get_legend() is None


def test_map_shows_each_response_at_its_frequencies_and_the_slope_of_the_fit():
    spatial, temporal = np.geomspace(0.03, 0.24, 4), np.geomspace(0.03, 0.48, 5)
    fit = [2.0, np.log2(0.1), 1.0, np.log2(0.12), 1.0, 1.0]
    values = compute_speed_surface(spatial[:, None], temporal, fit)
    ax = draw(plot_frequency_map(values, spatial, temporal, fit=fit))
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    np.testing.assert_allclose(np.asarray(mesh.get_array()), values.T)
    assert [text.get_text() for text in ax.get_xticklabels()] == [f"{f:.3g}" for f in spatial]
    assert any("slope 1.00" in text.get_text() for text in ax.texts)
    x, y = ax.lines[0].get_data()
    assert np.polyfit(x, y, 1) == pytest.approx([1, fit[3] - fit[1]])
    plain = draw(plot_frequency_map(values, spatial, temporal))
    assert not plain.lines


def test_plane_draws_every_unit_and_the_borders_of_the_classes():
    component, pattern = np.array([0.0, 5.0, 1.0]), np.array([4.0, 0.0, 1.0])
    ax = draw(plot_pattern_plane(component, pattern, groups=["mt", "v1", "v1"]))
    points = [c.get_offsets().data for c in ax.collections if isinstance(c, PathCollection)]
    np.testing.assert_array_equal(np.concatenate(points), np.stack([component, pattern], axis=1))
    upper, lower = (np.array(line.get_data()) for line in ax.lines)
    np.testing.assert_array_equal(upper, lower[::-1])
    assert upper[1].tolist() == pytest.approx([1.28, 1.28, upper[0, 2] + 1.28])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mt", "v1"]
    far = draw(plot_pattern_plane([0.0, 25.0], [-12.0, 3.0]))
    points = next(c for c in far.collections if isinstance(c, PathCollection)).get_offsets()
    np.testing.assert_array_equal(points, [[0, -10], [10, 3]])
    assert any("2 beyond 10" in text.get_text() for text in far.texts)


def test_hue_is_direction_saturation_is_speed():
    flow = np.zeros((1, 6, 2))
    flow[0, :4] = [[2, 0], [0, -2], [-1, 0], [0, 4]]
    flow[0, 5] = np.nan
    ax = draw(plot_flow(flow, largest_ppf=2.0))
    image = ax.images[0].get_array()[0]
    hues = [colorsys.rgb_to_hsv(*pixel) for pixel in image]
    assert [h for h, _, _ in hues[:4]] == pytest.approx([0, 0.25, 0.5, 0.75])  # right, up, left, down
    assert [s for _, s, _ in hues[:5]] == pytest.approx([1, 1, 0.5, 1, 0])
    assert hues[3][2] < 1  # faster than the key
    assert image[4].tolist() == [1, 1, 1]
    assert image[5].tolist() == pytest.approx([0.6] * 3)
    key = ax.child_axes[0]
    wheel = key.images[0].get_array()
    assert colorsys.rgb_to_hsv(*wheel[2, 90, :3])[0] == pytest.approx(0.25, abs=0.01)  # the top is up
    assert wheel[0, 0, 3] == 0
    assert "2 px per frame" in key.get_xlabel()
    assert not plot_flow(flow, key=False).child_axes


def test_reports_are_drawn_against_the_truth_or_a_model(rng):
    truth = rng.normal(scale=3, size=(50, 2))
    human = 0.7 * truth + rng.normal(size=(50, 2))
    model = human + rng.normal(size=(50, 2))
    ax = draw(plot_flow_reports(human, truth))
    u, v = (c.get_offsets().data for c in ax.collections if isinstance(c, PathCollection))
    np.testing.assert_allclose(u, np.stack([truth[:, 0], human[:, 0]], axis=1))
    np.testing.assert_allclose(v, np.stack([truth[:, 1], human[:, 1]], axis=1))
    assert "true flow" in ax.get_xlabel()
    ax = draw(plot_flow_reports(human, truth, model, model_name="FlowNet"))
    u, _ = (c for c in ax.collections if isinstance(c, PathCollection))
    np.testing.assert_allclose(u.get_offsets().data[:, 0], model[:, 0])
    colours = u.get_facecolors()
    order = np.argsort(truth[:, 0])
    assert colours[order[0], 2] > colours[order[0], 0]  # leftwards is blue
    assert colours[order[-1], 0] > colours[order[-1], 2]
    assert any("partial r" in text.get_text() for text in ax.texts)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="at least one tuning curve"):
        plot_direction_tuning({}, DIRECTIONS)
    with pytest.raises(ValueError, match="at least one finite vector"):
        plot_flow(np.full((2, 2, 2), np.nan))
    with pytest.raises(ValueError, match="groups must have shape"):
        plot_pattern_plane([1.0, 2.0], [1.0, 2.0], groups=["v1"])
    _, ax = plt.subplots()
    assert plot_pattern_plane([1.0], [2.0], ax=ax) is ax
