import json
import shutil

import numpy as np
import pytest
import torch

from neurovis.core import compute_file_hash, find_model
from neurovis.datasets.simulated.early import prepare_images
from neurovis.datasets.simulated.evidence import (
    MODEL_NAME,
    compute_evidence,
    load_evidence_network,
    make_evidence_network,
)
from neurovis.datasets.simulated.evidence_training import (
    make_training_scenes,
    measure_evidence,
    train_evidence_network,
)
from neurovis.stimuli.world_shares import SUBTYPE_NAMES


@pytest.fixture(scope="module")
def unseen():
    return make_training_scenes(120, seed=5151)


def test_shipped_network_finds_the_subtypes_in_unseen_scenes(unseen):
    quality = measure_evidence(load_evidence_network(), *unseen)
    assert np.mean([values["auc"] for values in quality.values()]) > 0.9
    assert np.mean([values["area_r"] for values in quality.values()]) > 0.8


def test_evidence_is_where_the_thing_is(unseen):
    images, shares = unseen
    evidence = compute_evidence(load_evidence_network(), prepare_images(images, size_dva=(8.0, 8.0)))
    truth = shares.reshape(len(images), len(SUBTYPE_NAMES), -1)
    for column in range(len(SUBTYPE_NAMES)):
        shown = truth[:, column].sum(1) > 2
        inside = (evidence[:, column].numpy() * truth[:, column])[shown].sum() / truth[shown, column].sum()
        outside = evidence[:, column].numpy()[shown][truth[shown, column] == 0].mean()
        assert inside > 2 * outside, SUBTYPE_NAMES[column]


def test_evidence_of_an_image_does_not_depend_on_its_batch(unseen):
    pixels = prepare_images(unseen[0][:6], size_dva=(8.0, 8.0))
    network = load_evidence_network()
    together = compute_evidence(network, pixels)
    alone = torch.cat([compute_evidence(network, pixels[row : row + 1]) for row in range(6)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)


def test_card_and_weights_belong_together_and_are_small():
    folder = find_model(MODEL_NAME)
    config = json.loads((folder / "config.json").read_text())
    weights = folder / "weights.safetensors"
    assert config["sha256"] == compute_file_hash(weights)
    assert config["sha256"] in (folder / "README.md").read_text()
    assert weights.stat().st_size < 1_000_000
    n_parameters = sum(parameter.numel() for parameter in make_evidence_network().parameters())
    assert config["n_parameters"] == n_parameters


def test_training_writes_a_network_that_loads(tmp_path):
    quality = train_evidence_network(tmp_path / "model", n_images=64, n_test=60, n_epochs=1)
    assert set(quality) == set(SUBTYPE_NAMES)
    network = load_evidence_network(tmp_path / "model")
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 12, 16, 16)


def test_other_weights_are_refused(tmp_path):
    shutil.copytree(find_model(MODEL_NAME), tmp_path / "model")
    weights = tmp_path / "model" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="must have sha256"):
        load_evidence_network(tmp_path / "model")
