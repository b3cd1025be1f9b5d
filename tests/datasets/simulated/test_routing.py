"""The planted routing world says truly where its signal comes from."""

import numpy as np
import pytest

from neurovis.core import check_neural_data
from neurovis.datasets.simulated.routing import KEY, make_routing_world
from neurovis.metrics.regression import r2


@pytest.fixture(scope="module")
def world():
    return make_routing_world(seed=3, n_train=900, n_test=100, n_neuroids=5)


def test_it_is_features_and_neural_data_of_the_same_stimuli(world):
    check_neural_data(world.data, rows="stimulus")
    np.testing.assert_array_equal(world.features["stimulus_id"], world.data["stimulus_id"])
    assert (world.data["split"] == "test").sum() == 100
    assert world.features.shape == (1000, 16 * 36)


def test_each_region_reads_what_it_should(world):
    """Least squares from the true place reaches the noise ceiling of a half, and no further."""
    maps = world.features.values.reshape(1000, 16, 6, 6)
    read = {
        name: maps[np.arange(1000), :14, world.object_row[name], world.object_column[name]] for name in "AB"
    }
    read["RF"] = maps[:, :14, world.window].mean(-1)
    for name, X in read.items():
        y = world.data[:, world.data["region"].values == name].values
        weights = np.linalg.lstsq(X[:900], y[:900], rcond=None)[0]
        assert r2(y, X @ weights).mean() == pytest.approx(0.5, abs=0.04)


def test_keys_mark_the_objects(world):
    maps = world.features.values.reshape(1000, 16, 6, 6)
    for channel, name in ((14, "A"), (15, "B")):
        row, column = np.divmod(maps[:, channel].reshape(1000, -1).argmax(1), 6)
        np.testing.assert_array_equal(row, world.object_row[name])
        np.testing.assert_array_equal(column, world.object_column[name])
        np.testing.assert_array_equal((maps[:, channel] == KEY).sum((1, 2)), 1)
    assert world.window.sum() == 4


def test_seeds_and_sizes():
    first, again, other = (make_routing_world(seed=s, n_train=5, n_test=1) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.data, again.data)
    assert not np.array_equal(first.data, other.data)
    with pytest.raises(ValueError, match=r"side and n_channels 3, got 5, 1, 20, 2 and 16"):
        make_routing_world(seed=0, n_train=5, n_test=1, side=2)
