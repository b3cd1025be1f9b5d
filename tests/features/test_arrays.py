"""Feature arrays side by side: which column is whose, and what happens to coordinates."""

import numpy as np
import pytest
import xarray as xr

from neurovis.features.arrays import join_spaces
from neurovis.features.cache import join_layers


def _make(n_features, *, ids=("a", "b", "c"), first=0.0, attrs=None, **coords):
    values = first + np.arange(len(ids) * n_features, dtype=np.float32).reshape(len(ids), n_features)
    return xr.DataArray(
        values,
        dims=("stimulus", "feature"),
        coords={
            "stimulus_id": ("stimulus", list(ids)),
            **{k: ("feature", list(v)) for k, v in coords.items()},
        },
        attrs={"features": "net", "size_dva": (8.0, 6.0), **(attrs or {})},
    )


def test_spaces_keep_their_columns_and_fill_what_they_lack():
    maps = _make(2, layer=["one", "two"], channel=[0, 1], row=[3, 4])
    vector = _make(3, first=100, attrs={"layer": "output"}, frequency=[0.5, 1.0, 2.0])
    joined = join_spaces({"maps": maps, "vector": vector})
    np.testing.assert_array_equal(joined, np.concatenate([maps, vector], axis=1))
    assert list(joined["space"].values) == ["maps"] * 2 + ["vector"] * 3
    assert list(joined["layer"].values) == ["one", "two"] + ["output"] * 3
    assert list(joined["channel"].values) == [0, 1, -1, -1, -1]
    assert joined["row"].dtype.kind == "i"
    np.testing.assert_array_equal(joined["frequency"], [np.nan, np.nan, 0.5, 1.0, 2.0])
    assert joined.attrs == {"features": "maps, vector", "size_dva": (8.0, 6.0)}
    assert list(joined["stimulus_id"].values) == ["a", "b", "c"]
    assert join_spaces({"x": maps, "y": vector.assign_attrs(size_dva=(4.0, 4.0))}).attrs["features"] == "x, y"
    assert "size_dva" not in join_spaces({"x": maps, "y": vector.assign_attrs(size_dva=(4.0, 4.0))}).attrs


def test_time_rows_are_joined_too():
    run = _make(2).rename(stimulus="time").assign_coords(time=[0.0, 1.0, 2.0])
    joined = join_spaces({"a": run, "b": run})
    assert joined.dims == ("time", "feature")
    np.testing.assert_array_equal(joined["time"], [0, 1, 2])


def test_text_that_a_layer_lacks_is_empty():
    joined = join_layers({"one": _make(1, colour=["red"]), "two": _make(2)})
    assert list(joined["colour"].values) == ["red", "", ""]
    assert list(joined["layer"].values) == ["one", "two", "two"]


def test_rows_that_differ_are_refused():
    with pytest.raises(ValueError, match="same stimuli in one order, got others in 'b' than in 'a'"):
        join_spaces({"a": _make(1), "b": _make(1, ids="acb")})
    with pytest.raises(
        ValueError, match="same rows, got 2 along 'stimulus' in 'b' and 3 along 'stimulus' in 'a'"
    ):
        join_spaces({"a": _make(1), "b": _make(1, ids="ab")})
    with pytest.raises(ValueError, match="coordinate 'channel' must be text or numbers"):
        join_spaces({"a": _make(1, channel=[0]), "b": _make(1, channel=["red"])})
    with pytest.raises(ValueError, match="at least one space"):
        join_spaces({})
