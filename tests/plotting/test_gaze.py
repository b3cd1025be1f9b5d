"""Scanpaths, asymmetry, rings and maps: positions in the figure are those of the data."""

import numpy as np
import pandas as pd
import pytest

from neurovis.core import make_fixations
from neurovis.plotting import (
    plot_asymmetry,
    plot_fixation_map,
    plot_gaze_comparison,
    plot_pooling_rings,
    plot_scanpath,
    plot_scanpath_panels,
)


@pytest.fixture
def paths():
    person = make_fixations([[10, 20], [50, 30], [70, 5]], subject="s", stimulus_id="a")
    return {"person": person, "model": person.iloc[:2]}


def test_scanpath_lies_on_its_image(paths):
    ax = plot_scanpath(np.zeros((40, 80, 3), np.uint8), paths, box_px=(5, 60, 15, 75))
    assert tuple(ax.images[0].get_extent()) == (0, 80, 40, 0)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[10, 20], [50, 30], [70, 5]])
    assert ax.get_ylim() == (40, 0)
    assert [text.get_text() for text in ax.texts] == ["1", "2", "3", "1", "2"]
    assert ax.patches[0].get_xy() == (60, 5)
    assert (ax.patches[0].get_width(), ax.patches[0].get_height()) == (15, 10)
    with pytest.raises(ValueError, match="'model'"):
        plot_scanpath(np.zeros((40, 80)), paths | {"model": paths["model"].iloc[:0]})


def test_panels_fill_a_sheet(paths):
    panel = ("array", np.zeros((40, 80, 3), np.uint8), paths, None)
    figure = plot_scanpath_panels([panel] * 3, n_columns=2).figure
    assert [ax.axison for ax in figure.axes] == [True, True, True, False]
    with pytest.raises(ValueError, match="at least one"):
        plot_scanpath_panels([])


def test_asymmetry_bars_have_the_height_of_the_index():
    table = pd.DataFrame(
        {"searcher": ["humans", "humans", "eccNET"], "experiment": ["T or L", "bars", "T or L"],
         "index": [0.4, 0.6, -1.0]}
    )  # fmt: skip
    ax = plot_asymmetry(table)
    heights = [[bar.get_height() for bar in group] for group in ax.containers]
    np.testing.assert_allclose(heights[0], [0.4, 0.6])
    np.testing.assert_allclose(heights[1], [-1.0, np.nan])
    with pytest.raises(ValueError, match="experiment"):
        plot_asymmetry(table.drop(columns="experiment"))


def test_models_of_gaze_are_bars_and_their_bounds_lines():
    names, gain = ["uniform", "centre bias", "saliency", "other people"], np.array([0.0, 0.4, 0.9, 2.5])
    roles = ["chance", "baseline", "model", "ceiling"]
    ax = plot_gaze_comparison(names, gain, roles, lower=gain - 0.1, upper=gain + 0.2)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["saliency"]
    bars = [patch for patch in ax.patches if patch.get_height() == pytest.approx(0.62)]
    assert [bar.get_width() for bar in bars] == [0.9]
    lines = {line.get_label(): line.get_xdata()[0] for line in ax.lines}
    assert lines == {"uniform": 0.0, "centre bias": 0.4, "other people": 2.5}
    with pytest.raises(ValueError, match="at least one 'model'"):
        plot_gaze_comparison(names[:2], gain[:2], roles[:2], lower=gain[:2], upper=gain[:2])


def test_rings_have_their_radii():
    ax = plot_pooling_rings({"pool 3": [(16, 2), (20, 3), (np.inf, 4)]}, n_out={"pool 3": 101})
    assert sorted(patch.radius for patch in ax.patches[1:]) == [16, 20]
    assert ax.get_xlabel() == "windows of 2, 3, 4 px"
    with pytest.raises(ValueError, match="same names"):
        plot_pooling_rings({"pool 3": [(np.inf, 2)]}, n_out={"pool 4": 51})


def test_fixation_map_covers_the_image_cell_by_cell():
    values = np.arange(6.0).reshape(2, 3)
    ax = plot_fixation_map(np.zeros((40, 80, 3), np.uint8), values, extent=(0.25, 0.75))
    # Cells are as far apart as the fixations: half the height and a quarter of the width.
    np.testing.assert_allclose(ax.images[1].get_extent(), [10, 70, 40, 0])
    np.testing.assert_array_equal(ax.images[1].get_array(), values)
