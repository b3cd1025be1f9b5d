import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovis.core import Score, align, average_repeats, check_neural_data, make_neural_data

IDS = ["b", "a", "b", "c", "a", "b"]


@pytest.fixture
def data(rng):
    return make_neural_data(
        rng.normal(size=(6, 3)).astype("f4"),
        rows="presentation",
        row_coords={"stimulus_id": IDS, "repeat": [0, 0, 1, 0, 1, 2], "session": [0] * 6, "run": [0] * 6},
        neuroid_coords={
            "neuroid_id": ["n0", "n1", "n2"],
            "subject": ["01"] * 3,
            "region": ["V1", "V1", "FFA"],
        },
        units="z",
        source="test",
    )


def test_average_repeats_is_the_mean_per_stimulus(data):
    averaged = average_repeats(data)
    assert averaged["stimulus_id"].values.tolist() == ["b", "a", "c"]
    assert averaged["n_repeats"].values.tolist() == [3, 2, 1]
    for row, stimulus_id in enumerate(averaged["stimulus_id"].values):
        rows = [i for i, item in enumerate(IDS) if item == stimulus_id]
        np.testing.assert_allclose(averaged.values[row], data.values[rows].mean(0), rtol=1e-6)


def test_average_repeats_leaves_out_missing_trials(data):
    data.values[0, 0] = np.nan
    data.values[3, 1] = np.nan
    averaged = average_repeats(data)
    np.testing.assert_allclose(averaged.values[0, 0], data.values[[2, 5], 0].mean(), rtol=1e-6)
    assert np.isnan(averaged.values[2, 1])


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(6)))
def test_average_repeats_does_not_depend_on_trial_order(order):
    values = np.arange(12.0).reshape(6, 2)
    coords = {"neuroid_id": ["0", "1"], "subject": ["s", "s"], "region": ["V1", "V1"]}

    def build(index):
        rows = {"stimulus_id": [IDS[i] for i in index], "repeat": index}
        return make_neural_data(
            values[index], rows="presentation", row_coords=rows, neuroid_coords=coords, units="z", source=""
        )

    one, two = (average_repeats(build(list(index))) for index in (range(6), order))
    by_id = two.isel(
        stimulus=[two["stimulus_id"].values.tolist().index(i) for i in one["stimulus_id"].values]
    )
    np.testing.assert_allclose(one.values, by_id.values)


def test_align_orders_features_like_the_data(data, rng):
    features = xr.DataArray(
        rng.normal(size=(4, 2)),
        dims=("stimulus", "feature"),
        coords={"stimulus_id": ("stimulus", ["a", "b", "c", "d"])},
    )
    aligned, same = align(features, data)
    assert same is data
    assert aligned["stimulus_id"].values.tolist() == IDS
    np.testing.assert_array_equal(aligned.values[0], features.values[1])


def test_align_names_the_missing_stimulus(data):
    features = xr.DataArray(
        np.zeros((2, 1)), dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", ["a", "b"])}
    )
    with pytest.raises(ValueError, match=r"none for 1 of 3, the first is 'c'"):
        align(features, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.rename(presentation="trial"), "dims"),
        (lambda d: d.transpose("neuroid", "presentation"), "dims"),
        (lambda d: d.drop_vars("repeat"), "coordinate 'repeat'"),
        (lambda d: d.drop_vars("region"), "coordinate 'region'"),
        (lambda d: d.assign_coords(neuroid_id=("neuroid", ["n", "n", "m"])), "unique"),
        (lambda d: d.drop_attrs() if hasattr(d, "drop_attrs") else xr.DataArray(d, attrs={}), "attribute"),
    ],
)
def test_malformed_data_is_refused(data, change, words):
    with pytest.raises(ValueError, match=words):
        check_neural_data(change(data))


def test_wrong_rows_say_what_to_do(data):
    with pytest.raises(ValueError, match="call average_repeats first"):
        check_neural_data(data, rows="stimulus")
    with pytest.raises(TypeError, match=r"xarray\.DataArray"):
        check_neural_data(np.zeros((2, 2)))


def test_score_is_ceiled_only_where_the_ceiling_is_positive():
    coords = {"region": ("neuroid", ["V1", "V1", "FFA"])}
    values = xr.DataArray([0.4, 0.1, 0.3], dims="neuroid", coords=coords)
    ceiling = xr.DataArray([0.8, 0.0, -0.1], dims="neuroid", coords=coords)
    score = Score(values, "pearson_r", ceiling)
    np.testing.assert_allclose(score.ceiled.values, [0.5, np.nan, np.nan])
    assert score.by("region").sel(region="V1") == pytest.approx(0.25)
    with pytest.raises(ValueError, match="no ceiling"):
        _ = Score(values, "pearson_r").ceiled
    with pytest.raises(ValueError, match="how must be"):
        score.by(how="max")
    with pytest.raises(ValueError, match="shape of values"):
        Score(values, "pearson_r", ceiling[:2])
