"""Planted category preference is found, chance is not, and the margin is unbiased."""

import numpy as np
import pytest
from scipy.stats import f_oneway

from neurovis.core import make_neural_data
from neurovis.evaluation.preference import compute_preference

CATEGORIES = ("body", "face", "place")
N_EACH, N_SELECTIVE, N_SILENT = 40, 30, 200
IDS = [f"s{i:03d}" for i in range(N_EACH * len(CATEGORIES))]
LABELS = {item: CATEGORIES[i % 3] for i, item in enumerate(IDS)}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(IDS), N_SELECTIVE + N_SILENT))
    for column in range(N_SELECTIVE):
        values[column % 3 :: 3, column] += 1.5
    return make_neural_data(
        values,
        rows="stimulus",
        row_coords={"stimulus_id": IDS},
        neuroid_coords={
            "neuroid_id": [f"v{i}" for i in range(values.shape[1])],
            "subject": ["01"] * values.shape[1],
            "region": ["FFA"] * values.shape[1],
        },
        units="z",
        source="planted",
    )


@pytest.fixture(scope="module")
def table(data):
    return compute_preference(data, LABELS)


def test_planted_preference_is_found(table):
    planted = [CATEGORIES[column % 3] for column in range(N_SELECTIVE)]
    selective = table.iloc[:N_SELECTIVE]
    assert list(selective["preferred"]) == planted
    assert (selective["q_value"] < 0.05).all()
    assert selective["agreement"].mean() > 0.95
    # 1.5 units over a spread of sqrt(1 + 1.5**2 * 2 / 9).
    assert selective["margin"].mean() == pytest.approx(1.5 / np.sqrt(1 + 0.5), abs=0.1)


def test_neuroids_without_preference_are_at_chance(table):
    silent = table.iloc[N_SELECTIVE:]
    assert abs(silent["margin"].mean()) < 0.03
    assert silent["agreement"].mean() == pytest.approx(1 / 3, abs=0.06)
    assert (silent["p_value"] < 0.05).mean() == pytest.approx(0.05, abs=0.04)


def test_p_is_the_analysis_of_variance(data, table):
    groups = [data.values[i::3] for i in range(3)]
    np.testing.assert_allclose(table["p_value"], f_oneway(*groups).pvalue, rtol=1e-8)
    np.testing.assert_allclose(table["mean_face"], groups[1].mean(axis=0))


def test_bad_input_is_named(data):
    with pytest.raises(ValueError, match="at least 4 stimuli"):
        compute_preference(data, dict.fromkeys(IDS, "face"))
    with pytest.raises(ValueError, match="finite"):
        compute_preference(data.where(data < 1), LABELS)
