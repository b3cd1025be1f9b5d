"""What is drawn is what the table and the arrays of a study say, and no row is lost."""

import numpy as np
import pandas as pd
import pytest

from neurovis.plotting import plot_study, plot_study_arrays
from neurovis.plotting.study import find_units


def make_table(rows):
    columns = ["subject", "region", "quantity", "value"]
    table = pd.DataFrame(rows, columns=columns)
    for name, shift in (("ci_low", -0.1), ("ci_high", 0.1), ("chance", -0.5), ("null_95", -0.2)):
        table[name] = table["value"] + shift
    return table.assign(reference=np.nan)


@pytest.fixture
def table():
    return make_table(
        [
            ("1", "V1", "accuracy, digits", 0.9),
            ("1", "FFA", "accuracy, digits", 0.7),
            ("1", "FFA", "accuracy, faces", 0.8),
            ("1", "FFA", "response to faces [% BOLD]", 7.0),
        ]
    )


def read_labels(ax):
    return [tick.get_text() for tick in ax.get_yticklabels()]


def read_points(ax):
    return [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"]


def test_rows_of_one_unit_are_drawn_and_the_others_are_counted(table):
    assert find_units(table) == ["", "% BOLD"]
    ax = plot_study(table)
    assert read_points(ax) == [0.9, 0.7, 0.8]
    assert read_labels(ax) == ["V1 · digits", "FFA · digits", "FFA · faces"]
    assert ax.get_xlabel().startswith("accuracy, subject 1, 95 % interval")
    assert "in other units: 1" in ax.get_xlabel()
    other = plot_study(table, unit="% BOLD")
    assert read_points(other) == [7.0]
    assert "[% BOLD]" in other.get_xlabel()
    assert "in other units: 3" in other.get_xlabel()


def test_every_row_is_in_exactly_one_figure(table):
    drawn = [value for unit in find_units(table) for value in read_points(plot_study(table, unit=unit))]
    assert sorted(drawn) == sorted(table["value"])


def test_published_numbers_are_named_and_nothing_is_cut(table):
    table.loc[0, "reference"] = 0.95
    ax = plot_study(table)
    assert "published" in [text.get_text() for text in ax.get_legend().get_texts()]
    low, high = ax.get_xlim()
    assert low < 0.2
    assert high > 1.0


def test_a_null_without_chance_starts_at_zero(table):
    table["chance"] = np.nan
    ax = plot_study(table)
    assert [bar.get_x() for bar in ax.patches] == [0, 0, 0]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [0.7, 0.5, 0.6])


def test_wrong_tables_are_refused(table):
    with pytest.raises(ValueError, match="at least one row"):
        plot_study(table.iloc[:0])
    with pytest.raises(ValueError, match="unit must be"):
        plot_study(table, unit="mm")


def test_confusions_and_nulls_of_each_subject(rng):
    confusion = np.stack([np.eye(3), np.full((3, 3), 1 / 3)])
    data = {
        "categories": np.array(["face", "house", "cat"]),
        "confusion": confusion,
        "null_accuracy": rng.uniform(0.2, 0.5, size=(2, 50)),
    }
    found = {name: ax for name, _, _, ax in plot_study_arrays(data)}
    assert list(found) == ["confusion-1", "confusion-2", "null-accuracy-1", "null-accuracy-2"]
    observed = [
        next(
            line.get_xdata()[0]
            for line in found[f"null-accuracy-{number}"].lines
            if line.get_label() == "observed"
        )
        for number in (1, 2)
    ]
    np.testing.assert_allclose(observed, [1, 1 / 3])
    assert read_labels(found["confusion-1"]) == ["face", "house", "cat"]


def test_a_null_is_shown_with_the_mean_of_its_cases(rng):
    data = {"pixel_correlation": np.array([0.2, 0.6]), "null_pixel_correlation": rng.normal(size=30)}
    [(name, _, caption, ax)] = plot_study_arrays(data)
    assert name == "null-pixel-correlation"
    assert "30 permutations" in caption
    assert next(line for line in ax.lines if line.get_label() == "observed").get_xdata()[0] == pytest.approx(
        0.4
    )


def test_feature_scores_and_models_carry_their_numbers(rng):
    data = {
        "regions": np.array(["VWFA", "FFA"]),
        "score_gabor": np.array([0.1, 0.6]),
        "score_network": np.array([0.2, 0.8]),
        "ci_gabor": np.array([[0.0, 0.5], [0.2, 0.7]]),
        "ci_network": np.array([[0.1, 0.7], [0.3, 0.9]]),
        "null_gabor": rng.normal(size=(20, 2)),
        "models": np.array(["V1", "animacy"]),
        "similarity": np.array([0.1, 0.6]),
        "ci": np.array([[0.0, 0.5], [0.2, 0.7]]),
    }
    found = {name: ax for name, _, _, ax in plot_study_arrays(data)}
    assert list(found) == ["prediction", "models"]
    drawn = {line.get_label(): list(line.get_ydata()) for line in found["prediction"].lines}
    assert drawn["network"] == [0.2, 0.8]
    assert [bar.get_height() for bar in found["models"].patches] == [0.6, 0.1]
    assert [tick.get_text() for tick in found["models"].get_xticklabels()] == ["animacy", "V1"]


def test_images_lie_above_their_reconstructions(rng):
    images = rng.uniform(size=(20, 6, 6))
    [(name, _, caption, ax)] = plot_study_arrays({"images": images, "reconstructions": 3 * images - 1})
    sheet = ax.images[0].get_array()
    assert name == "reconstructions"
    assert caption.startswith("12 of 20")
    np.testing.assert_array_equal(sheet[:6, :6, 0], (images[0] * 255).round())
    np.testing.assert_array_equal(sheet[-6:, :6, 0], ((3 * images[0] - 1).clip(0, 1) * 255).round())


def test_areas_and_maps_are_drawn_by_vertex():
    vertices = np.arange(0, 20484, 4)
    areas = np.where(vertices % 3 == 0, "V1", "V2")
    data = {"vertices": vertices, "atlas": areas, "eccentricity_dva": np.linspace(0, 90, len(vertices))}
    found = [(name, title) for name, title, _, _ in plot_study_arrays(data)]
    assert found == [
        ("areas-atlas", "Areas of Atlas"),
        ("map-eccentricity-dva", "Map of eccentricity [dva]"),
    ]


def test_encoders_are_compared_neuron_by_neuron():
    data = {
        "distilled_r": np.array([0.7, 0.8]),
        "ridge_r": np.array([0.6, 0.5]),
        "ridge_r_210325": np.array([0.5, 0.6, 0.4]),
        "reliability": np.array([0.64, 0.81, 0.49]),
    }
    found = {name: ax for name, _, _, ax in plot_study_arrays(data)}
    assert list(found) == ["distilled-against-ridge", "ceiling-210325"]
    points = next(line for line in found["distilled-against-ridge"].lines if line.get_marker() == "o")
    np.testing.assert_array_equal(points.get_xydata(), [[0.6, 0.7], [0.5, 0.8]])
    np.testing.assert_allclose(found["ceiling-210325"].collections[0].get_offsets()[:, 0], [0.8, 0.9, 0.7])


def test_unknown_arrays_give_no_figure():
    assert plot_study_arrays({"something": np.zeros(3), "null": np.zeros((4, 2))}) == []


def test_models_of_gaze_are_drawn():
    gain = np.array([0.0, 0.5, 1.0, 2.0])
    data = {
        "gaze_models": np.array(["uniform", "centre bias", "saliency", "other people"]),
        "gaze_roles": np.array(["chance", "baseline", "model", "ceiling"]),
        "gaze_gain": gain, "gaze_gain_ci": np.stack([gain - 0.1, gain + 0.1]),
    }  # fmt: skip
    [(name, _, caption, ax)] = plot_study_arrays(data)
    assert name == "gaze-models"
    assert "ceiling" in caption
    assert read_labels(ax) == ["saliency"]
