"""The classifiers of the stimulus world: training in small, the shipped weights, and their comparison."""

import numpy as np
import pytest

from neurovis.core import find_model
from neurovis.foveation.comparison import compare_foveation
from neurovis.foveation.likelihood import make_fixation_grid
from neurovis.foveation.world import MODEL_NAMES, RETINAS, build_world_classifier, load_world_classifier
from neurovis.foveation.world_training import (
    SCENE_SEED,
    TEST_SEED,
    make_world_views,
    measure_world_classifier,
    train_foveated_world,
)
from neurovis.io import read_json
from neurovis.stimuli.world import CATEGORIES


@pytest.fixture(scope="module")
def views():
    return make_world_views(36, seed=TEST_SEED)


def test_views_name_and_place_the_thing(views):
    assert views.images.shape == (36, 128, 128, 3)
    assert np.bincount(views.labels).tolist() == [6] * len(CATEGORIES)
    things = views.labels != CATEGORIES.index("place")
    # Nearly every thing is under the middle of its own mask; a place has the middle of another scene.
    column, row = ((views.middles + 1) / 2 * 128).astype(int).T
    hits = views.masks[np.arange(36), row, column]
    assert hits[things].mean() > 0.8
    others = {tuple(point) for point in views.middles[things]}
    assert all(tuple(point) in others for point in views.middles[~things])
    assert make_world_views(12, seed=TEST_SEED).images.tobytes() == views.images[:12].tobytes()


def test_both_classifiers_have_the_same_parameters():
    states = [build_world_classifier(retina).state_dict() for retina in RETINAS]
    assert {name: value.shape for name, value in states[0].items()} == {
        name: value.shape for name, value in states[1].items()
    }
    with pytest.raises(ValueError, match="retina must be 'logpolar' or 'cartesian', got 'fisheye'"):
        build_world_classifier("fisheye")


def test_training_in_small_writes_a_model_that_loads(tmp_path, monkeypatch):
    monkeypatch.setattr("neurovis.foveation.world_training._N_TEST", 12)
    quality = train_foveated_world(tmp_path / "model", retina="logpolar", n_images=24, n_epochs=1)
    config = read_json(tmp_path / "model" / "config.json")
    assert config["quality"]["accuracy"] == quality["accuracy"]
    assert config["training"]["scene_seed"] == SCENE_SEED
    assert config["sha256"] in (tmp_path / "model" / "README.md").read_text()
    loaded = load_world_classifier("logpolar", tmp_path / "model")
    assert measure_world_classifier(loaded, make_world_views(12, seed=TEST_SEED)) == quality
    with pytest.raises(ValueError, match="retina must be that of the model, 'logpolar', got 'cartesian'"):
        load_world_classifier("cartesian", tmp_path / "model")


@pytest.mark.parametrize("retina", RETINAS)
def test_shipped_weights_name_what_they_look_at(retina, views):
    classifier = load_world_classifier(retina)
    config = read_json(find_model(MODEL_NAMES[retina]) / "config.json")
    assert config["sampler"] == repr(classifier.retina)
    assert config["n_bytes"] < 3 * 2**20
    quality = measure_world_classifier(classifier, views)
    # Four standard errors of 36 scenes.
    assert quality["accuracy"] == pytest.approx(config["quality"]["accuracy"], abs=0.3)
    assert quality["accuracy"] > 0.5


def test_a_foveated_retina_bears_turns_that_a_cartesian_one_does_not():
    table = compare_foveation(
        seeds=(0,), n_images=24, angles_deg=(-180.0, -90.0, 0.0, 90.0, 180.0), zooms=(0.5, 1.0, 2.0),
        grid=make_fixation_grid("full", n=5, scale=0.4), n_bootstraps=100,
    )  # fmt: skip
    robust = table.robustness.set_index(["classifier", "transform", "statistic"])["value"]
    assert robust["logpolar - cartesian", "rotation", "area"] > 0.1
    assert robust["logpolar", "rotation", "loss"] < robust["cartesian", "rotation", "loss"]
    assert robust["logpolar", "rotation", "worst"] > robust["cartesian", "rotation", "worst"]
    found = table.localisation.set_index(["classifier", "map", "measure"])["value"]
    for name in RETINAS:
        assert found[name, "likelihood", "energy_ratio"] > found[name, "wrong class", "energy_ratio"]
        assert found[name, "constant", "energy_ratio"] == pytest.approx(1)
        saccades = table.saccades.set_index(["classifier", "fixation"])["accuracy"]
        assert saccades[name, "largest true class"] >= saccades[name, "random"]
        assert table.mean_maps[name].shape == (5, 5)
    assert set(table.curves["transform"]) == {"rotation", "zoom"}
    curves = table.curves
    assert ((curves["low"] <= curves["accuracy"]) & (curves["accuracy"] <= curves["high"])).all()
    assert len(table.by_seed) == 4


def test_comparison_takes_any_classifier_and_needs_scenes():
    untrained = {name: build_world_classifier(name).eval() for name in ("cartesian",)}
    options = {"n_images": 12, "angles_deg": (-90.0, 0.0, 90.0), "zooms": (0.5, 1.0, 2.0), "n_bootstraps": 20,
               "grid": make_fixation_grid("full", n=3, scale=0.4)}  # fmt: skip
    table = compare_foveation(untrained, seeds=(3,), **options)
    assert set(table.robustness["classifier"]) == {"cartesian"}
    with pytest.raises(ValueError, match="seeds must hold at least one seed"):
        compare_foveation(untrained, seeds=(), **options)
