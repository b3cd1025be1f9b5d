"""Frames beside flow: every movie on the scale of its own truth."""

import numpy as np
import pytest

from neurovis.plotting import plot_film_strips, plot_flow_fields


def test_every_movie_is_on_the_scale_of_its_truth(rng):
    rows = [
        (name, rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), {"truth": flow, "still": flow * 0})
        for name, flow in (("slow", np.ones((8, 8, 2))), ("fast", np.full((8, 8, 2), 9.0)))
    ]
    figure = plot_flow_fields(rows, unit="cells per step").figure
    assert "12.7 cells per step" in figure.axes[5].child_axes[0].get_xlabel()
    panels = figure.axes[:6]
    assert [ax.get_title(loc="left") for ax in panels[:3]] == ["frame", "truth", "still"]
    assert [panels[row].get_ylabel() for row in (0, 3)] == ["slow", "fast"]
    corner = [np.asarray(ax.images[0].get_array())[0, 0] for ax in panels]
    np.testing.assert_array_equal(corner[0], rows[0][1][0, 0])
    # One direction at full speed has one colour in both movies; what is still is white.
    np.testing.assert_allclose(corner[1], corner[4])
    assert corner[1].min() < 0.2
    np.testing.assert_allclose([corner[2], corner[5]], 1.0)


@pytest.mark.parametrize("rows", [[], [("a", np.zeros((2, 2, 3)), {"truth": 0}), ("b", 0, {"other": 0})]])
def test_rows_of_other_names_are_refused(rows):
    with pytest.raises(ValueError, match="same names"):
        plot_flow_fields(rows)


def test_film_strips_show_first_and_last_frame(rng):
    strips = {name: rng.integers(0, 256, (9, 4, 4, 3), dtype=np.uint8) for name in ("true", "decoded")}
    panels = plot_film_strips(strips, n_frames=3).figure.axes
    assert [ax.get_title(loc="left") for ax in panels[:3]] == ["frame 0", "frame 4", "frame 8"]
    assert panels[3].get_ylabel() == "decoded"
    np.testing.assert_array_equal(panels[5].images[0].get_array(), strips["decoded"][8])
    with pytest.raises(ValueError, match="one length of at least 5"):
        plot_film_strips({"a": strips["true"], "b": strips["true"][:7]})
