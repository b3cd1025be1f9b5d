"""The commands of feature spaces: options, reductions fitted on the training split, and lists."""

import numpy as np
import pytest
from typer.testing import CliRunner

from neurovis import cli
from neurovis.features.cache import join_layers
from neurovis.features.pixels import PixelFeatures
from neurovis.features.projection import RandomProjection, project_features
from neurovis.features.worldnet import make_worldnet
from neurovis.io import read_features, read_provenance, write_stimulus_table


def _call(*arguments):
    return CliRunner().invoke(cli.app, ["features", *map(str, arguments)], catch_exceptions=False).output


@pytest.fixture
def folder(noise_stimuli, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROVIS_CACHE", str(tmp_path / "cache"))
    noise_stimuli.table["split"] = ["train"] * 5 + ["test"] * 2
    write_stimulus_table(noise_stimuli)
    return noise_stimuli.root


def test_options_reach_the_feature_space(folder, noise_stimuli, tmp_path):
    out = tmp_path / "a.nc"
    chosen = ("--layer", "stage1", "--layer", "stage4", "--pool", 2, "--options", '{"size_px": 32}')
    _call("extract", "--stimuli", folder, "--features", "worldnet", "--out", out, *chosen)
    made = read_features(out)
    expected = make_worldnet(pool=2, size_px=32)(noise_stimuli, layers=["stage1", "stage4"])
    np.testing.assert_allclose(made, join_layers(expected), atol=1e-5)
    assert sorted(set(made["layer"].values)) == ["stage1", "stage4"]
    assert set(made["row"].values) == {0, 1}
    assert read_provenance(out)["config"]["pool"] == 2
    with pytest.raises(ValueError, match="'pixels' has no option 'pool'; its options are grey_px, colour_px"):
        _call("extract", "--stimuli", folder, "--features", "pixels", "--out", out, "--pool", 3)


def test_components_are_fitted_on_the_split(folder, noise_stimuli, tmp_path):
    out = tmp_path / "a.nc"
    reduce = ("--project", "pca", "--n-components", 3)
    _call("extract", "--stimuli", folder, "--features", "pixels", "--out", out, *reduce)
    train = noise_stimuli.stimulus_ids[:5]
    expected = {
        layer: project_features(array, train, n_components=3)
        for layer, array in PixelFeatures()(noise_stimuli).items()
    }
    np.testing.assert_allclose(read_features(out), join_layers(expected), atol=1e-4)
    reduce += ("--train-split", "fit")
    with pytest.raises(ValueError, match="must have a column `split` with 'fit', got columns"):
        _call("extract", "--stimuli", folder, "--features", "pixels", "--out", out, *reduce)


def test_random_projection_on_the_command_line(folder, noise_stimuli, tmp_path):
    out = tmp_path / "a.nc"
    reduce = ("--project", "sparse_random", "--n-components", 100, "--seed", 3)
    _call("extract", "--stimuli", folder, "--features", "pixels", "--out", out, *reduce)
    expected = RandomProjection(PixelFeatures(), 100, 3)(noise_stimuli)
    np.testing.assert_allclose(read_features(out), join_layers(expected), atol=1e-4)


def test_lists_of_spaces_and_layers():
    listed = _call("list")
    assert "huggingface-video" in listed
    assert "Apache-2.0" in listed
    layers = _call("layers", "worldnet").splitlines()
    assert "* stage4" in layers
    assert "  stage4.conv1" in layers
    assert _call("layers", "pixels").split() == ["*", "grey", "*", "colour"]
