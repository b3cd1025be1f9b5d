"""Session z-scores use reference trials only."""

import numpy as np
import pytest

from neurovis.core import make_neural_data
from neurovis.evaluation.preparation import (
    centre_groups,
    prepare_split,
    select_training_part,
    zscore_sessions,
)


@pytest.fixture
def data(rng):
    n, k = 40, 3
    session = np.repeat([1, 2], n // 2)
    values = rng.normal(size=(n, k)) * session[:, None] * 3 + 100 * session[:, None]
    values[:, 2] = 5.0
    return make_neural_data(
        values,
        rows="presentation",
        row_coords={
            "stimulus_id": [f"s{i:02d}" for i in np.tile(np.arange(20), 2)],
            "repeat": np.repeat([0, 1], 20),
            "session": session,
        },
        neuroid_coords={"neuroid_id": list("abc"), "subject": ["01"] * 3, "region": ["V1"] * 3},
        units="percent",
        source="planted",
    )


def test_reference_trials_have_zero_mean_and_unit_variance_in_each_session(data):
    reference = np.arange(40) % 4 > 0
    scored = zscore_sessions(data, reference=reference)
    for session in (1, 2):
        chosen = scored.values[reference & (data["session"].values == session)]
        np.testing.assert_allclose(chosen[:, :2].mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(chosen[:, :2].std(axis=0), 1, atol=1e-9)
    assert (scored.values[:, 2] == 0).all()
    assert scored.attrs["units"] == "z"


def test_other_trials_do_not_move_the_statistics(data):
    reference = np.arange(40) % 4 > 0
    broken = data.copy(deep=True)
    broken.values[~reference] = 1e6
    first, second = (zscore_sessions(item, reference=reference) for item in (data, broken))
    np.testing.assert_array_equal(first.values[reference], second.values[reference])


def test_split_averages_each_side(data):
    train, test, trials = prepare_split(data, ["s00", "s01", "s02"])
    assert list(test["stimulus_id"].values) == ["s00", "s01", "s02"]
    assert (train.sizes["stimulus"], trials.sizes["presentation"]) == (17, 6)
    np.testing.assert_allclose(
        test.values[0], trials.values[trials["stimulus_id"].values == "s00"].mean(axis=0)
    )


def test_groups_lose_their_means(rng):
    values, groups = rng.normal(size=(10, 3)), np.array([0, 1, 1, 0, 2, 2, 2, 0, 1, 0])
    centred = centre_groups(values, groups)
    for group in range(3):
        own = groups == group
        np.testing.assert_allclose(centred[own], values[own] - values[own].mean(0), atol=1e-12)


def test_bad_input_is_named(data):
    with pytest.raises(ValueError, match="boolean mask of the 40"):
        zscore_sessions(data, reference=np.ones(3, bool))
    with pytest.raises(ValueError, match="session 2"):
        zscore_sessions(data, reference=data["session"].values == 1)
    with pytest.raises(ValueError, match="finite"):
        zscore_sessions(data.where(data > 50))
    with pytest.raises(ValueError, match="at least 3 on each side"):
        prepare_split(data, ["s00"])


def test_parts_share_no_training_stimulus_and_all_test_stimuli(data):
    test_ids = ["s00", "s01", "s02"]
    parts = [select_training_part(data, (number, 2), test_ids=test_ids, seed=3) for number in (1, 2)]
    ids = [set(part["stimulus_id"].values) for part in parts]
    assert ids[0] & ids[1] == set(test_ids)
    assert ids[0] | ids[1] == set(data["stimulus_id"].values)
    assert abs(len(ids[0]) - len(ids[1])) <= 1
    # Whatever the order of the rows, a stimulus belongs to the same part, with all its repeats.
    turned = select_training_part(data[::-1], (1, 2), test_ids=test_ids, seed=3)
    assert set(turned["stimulus_id"].values) == ids[0]
    assert turned.sizes["presentation"] == 2 * len(ids[0])
    np.testing.assert_array_equal(select_training_part(data, (1, 1)).values, data.values)
    with pytest.raises(ValueError, match="3/2"):
        select_training_part(data, (3, 2))
