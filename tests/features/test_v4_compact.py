import numpy as np
import pytest
import torch

from neurovis.datasets.macaque_v4 import load_macaque_v4
from neurovis.features.v4_compact import CompactV4, compute_v4_compact, load_v4_compact


def test_published_networks_predict_their_neurons(shared_data, tmp_path):
    """Correlations on the last 60 images agree with those stated for images 601-1200 (0.83 and 0.75)."""
    stimuli, responses = load_macaque_v4(subject="190923", root=shared_data, cache=tmp_path)
    images = np.stack([stimuli.load(i) for i in stimuli.stimulus_ids[-60:]])
    folder = shared_data / "macaque_v4" / "compact_models_torch"
    for neuron, stated in ((12, 0.83), (6, 0.75)):
        network = load_v4_compact(folder / f"compact_model_190923_neuron{neuron}.pt")
        predicted = compute_v4_compact(network, images, batch_size=16)
        r = np.corrcoef(predicted, responses.values[-60:, neuron])[0, 1]
        assert r == pytest.approx(stated, abs=0.12)
        np.testing.assert_allclose(
            compute_v4_compact(network, images[:5]), predicted[:5], rtol=1e-3, atol=1e-4
        )


def test_foreign_weights_are_refused(tmp_path):
    torch.save({"layers.layer0_conv.bias": torch.zeros(3)}, tmp_path / "a.pt")
    with pytest.raises(ValueError, match="not a compact V4 network"):
        load_v4_compact(tmp_path / "a.pt")
    with pytest.raises(FileNotFoundError, match="macaque_v4"):
        load_v4_compact(tmp_path / "b.pt")


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match="resize to 112 x 112"):
        compute_v4_compact(CompactV4((4, 4, 4, 4, 4)), np.zeros((1, 64, 64, 3), "u1"))
