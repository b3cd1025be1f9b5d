import json

import pytest
import torch

from neurovis.core import compute_file_hash
from neurovis.training.checkpoints import read_tensors
from neurovis.training.models import check_model, write_model


@pytest.fixture
def folder(tmp_path):
    network = torch.nn.Linear(3, 2)
    written = write_model(
        tmp_path,
        network,
        {"name": "tiny"},
        format_card=lambda config: f"# {config['name']} {config['sha256']}",
    )
    assert written["n_parameters"] == 8
    assert written["n_bytes"] == (tmp_path / "weights.safetensors").stat().st_size
    tensors, _ = read_tensors(tmp_path / "weights.safetensors")
    assert torch.equal(tensors["weight"], network.weight)
    return tmp_path


def test_description_and_card_name_the_weights(folder):
    config, weights = check_model(folder, trainer="train_tiny")
    assert config == json.loads((folder / "config.json").read_text())
    assert config["sha256"] == compute_file_hash(weights)
    assert (folder / "README.md").read_text() == f"# tiny {compute_file_hash(weights)}"


def test_other_or_missing_weights_are_refused(folder):
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match=r"must have sha256 .*train again with train_tiny"):
        check_model(folder, trainer="train_tiny")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights at .*train_tiny"):
        check_model(folder, trainer="train_tiny")
