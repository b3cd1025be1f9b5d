"""Places in degrees against the pixel grid of core; pooling against a loop over channels and fields."""

import numpy as np
import pytest
import xarray as xr

from neurovis.core import make_grid_dva
from neurovis.encoding import receptive_fields
from neurovis.encoding.receptive_fields import (
    compute_places,
    find_places,
    make_fields,
    make_layout,
    make_weights,
    pool_fields,
)

SIZE = (6.0, 8.0)


def make_columns(n_rows, n_columns, channels):
    row, column, channel = np.meshgrid(np.arange(n_rows), np.arange(n_columns), channels, indexing="ij")
    return row.ravel(), column.ravel(), channel.ravel()


def pool_slowly(X, rows, columns, channels, field):
    """One channel after the other, places one by one."""
    pooled = []
    for channel in np.unique(channels[rows >= 0]):
        here = (channels == channel) & (rows >= 0)
        n_rows, n_columns = rows[here].max() + 1, columns[here].max() + 1
        weights = np.zeros(len(rows))
        for index in np.flatnonzero(here):
            x = ((columns[index] + 0.5) / n_columns - 0.5) * SIZE[1]
            y = (0.5 - (rows[index] + 0.5) / n_rows) * SIZE[0]
            weights[index] = np.exp(-((x - field[0]) ** 2 + (y - field[1]) ** 2) / (2 * field[2] ** 2))
        pooled.append(X @ weights / weights.sum())
    return np.stack([*pooled, *X[:, rows < 0].T], axis=1)


def test_places_are_those_of_the_pixel_grid():
    rows, columns, _ = make_columns(6, 8, [0])
    x, y = compute_places(rows, columns, grid=(6, 8), size_dva=SIZE)
    grid_x, grid_y = make_grid_dva((6, 8), SIZE)
    np.testing.assert_allclose(x.reshape(6, 8), grid_x)
    np.testing.assert_allclose(y.reshape(6, 8), grid_y)
    assert y[0] > 0 > y[-1]


@pytest.mark.parametrize("block_bytes", [64e6, 1])
def test_pooling_equals_a_loop(block_bytes, rng, monkeypatch):
    monkeypatch.setattr(receptive_fields, "_BLOCK_BYTES", block_bytes)
    parts = [make_columns(6, 8, [4, 1]), make_columns(3, 4, [2])]
    rows, columns, channels = (np.concatenate([*same, [-1, -1]]) for same in zip(*parts, strict=True))
    channels[-2:] = 1  # a class token shares the channel's name, not its map
    order = rng.permutation(len(rows))
    rows, columns, channels = rows[order], columns[order], channels[order]
    X = rng.normal(size=(7, len(rows)))
    layout = make_layout(len(rows), rows=rows, columns=columns, channels=channels, size_dva=SIZE)
    fields = make_fields(SIZE, n_positions=3)
    assert layout.n_channels == 5
    found = dict(pool_fields(X, layout, fields))
    assert sorted(found) == list(range(len(fields)))
    for index, pooled in found.items():
        np.testing.assert_allclose(pooled, pool_slowly(X, rows, columns, channels, fields[index]), atol=1e-12)


def test_a_field_far_outside_sees_the_nearest_place():
    rows, columns, _ = make_columns(4, 4, [0])
    x, y = compute_places(rows, columns, grid=(4, 4), size_dva=(4.0, 4.0))
    weights = make_weights(x, y, np.array([[90.0, 90.0, 0.01], [0.0, 0.0, 0.8]]))
    np.testing.assert_allclose(weights.sum(1), 1)
    assert weights[0].reshape(4, 4)[0, 3] == 1
    assert (weights[1].reshape(4, 4)[1:3, 1:3] == weights[1].max()).all()


def test_fields_cover_the_image():
    fields = make_fields(SIZE, n_positions=4)
    assert fields.shape == (64, 3)
    np.testing.assert_allclose(np.unique(fields[:, 0]), [-3, -1, 1, 3])
    np.testing.assert_allclose(np.unique(fields[:, 1]), [-2.25, -0.75, 0.75, 2.25])
    np.testing.assert_allclose(np.unique(fields[:, 2]), [0.375, 0.75, 1.5, 3.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"columns": None}, "rows and columns must be given together, got no columns"),
        ({"rows": [0, 0, 1]}, r"rows must have shape \(4\), got \(3,\)"),
        ({"rows": [0, 0, -1, 1]}, "rows and columns must be -1 together"),
        ({"rows": [0, 0, 0, 1]}, "a place of its own, got two features in one"),
        ({"channels": [1, 2]}, "channels must name the channel of each of the 4 features"),
        ({"size_dva": None}, "size_dva must be given for features with places"),
        ({"size_dva": (0.0, 1.0)}, "size_dva must be positive, got"),
    ],
)
def test_bad_layouts(change, words):
    good = {"rows": [0, 0, 1, 1], "columns": [0, 1, 0, 1], "channels": None, "size_dva": SIZE}
    make_layout(4, **good)
    with pytest.raises(ValueError, match=words):
        make_layout(4, **{**good, **change})


def test_bad_fields_and_features():
    with pytest.raises(ValueError, match=r"sigmas_dva must be positive, got \[1.0, 0.0\]"):
        make_fields(SIZE, n_positions=2, sigmas_dva=[1.0, 0.0])
    with pytest.raises(ValueError, match="n_positions must be at least 1"):
        make_fields(SIZE, n_positions=0)
    features = xr.DataArray(np.zeros((2, 3)), dims=("stimulus", "feature"))
    with pytest.raises(ValueError, match="for 'prf', got none of row, column, size_dva"):
        find_places(features, "prf")
