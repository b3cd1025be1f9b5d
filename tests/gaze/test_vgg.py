import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from neurovis.core import find_model
from neurovis.features.weights import build_seeded
from neurovis.gaze.search_training import (
    WorldNamer,
    make_named_scenes,
    measure_vgg_world,
    place_scenes,
    train_vgg_world,
    write_asymmetry,
)
from neurovis.gaze.vgg import (
    N_CONVS,
    VGG16_WIDTHS,
    Backbone,
    fold_batch_norm,
    load_keras_vgg16,
    load_torchvision_vgg,
    load_vgg_world,
    make_vgg_stages,
    split_at_pools,
)
from neurovis.io import read_json, write_json

WIDTHS = (2, 3, 3, 4, 4)


def run(stages, x):
    with torch.inference_mode():
        for stage in stages:
            x = nn.functional.max_pool2d(stage(x), 2)
    return x


def test_layout_is_that_of_vgg16():
    from torchvision.models.vgg import cfgs, make_layers

    with torch.device("meta"):
        ours, theirs = make_vgg_stages(VGG16_WIDTHS), split_at_pools(make_layers(cfgs["D"]))
    shapes = [
        [tuple(layer.weight.shape) for layer in stage if isinstance(layer, nn.Conv2d)] for stage in theirs
    ]
    assert [len(stage) for stage in shapes] == list(N_CONVS)
    found = [[tuple(layer.weight.shape) for layer in stage if isinstance(layer, nn.Conv2d)] for stage in ours]
    assert found == shapes


def test_layers_between_pools_become_stages():
    torch.manual_seed(0)
    whole = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1),
        nn.AvgPool2d(2), nn.Flatten(),
    )  # fmt: skip
    stages = split_at_pools(whole)
    assert [len(stage) for stage in stages] == [2, 1]
    x = torch.randn(1, 3, 8, 8)
    middle = nn.functional.max_pool2d(stages[0](x), 2)
    torch.testing.assert_close(nn.functional.avg_pool2d(stages[1](middle), 2).flatten(1), whole(x))
    with pytest.raises(ValueError, match="must hold pools"):
        split_at_pools(nn.Sequential(nn.ReLU()))


def test_torchvision_network_has_its_own_preprocessing():
    with torch.device("meta"):
        backbone = load_torchvision_vgg("vgg11", pretrained=False)
    assert len(backbone.stages) == 5
    image = np.full((1, 4, 4, 3), (124, 116, 104), np.uint8)
    np.testing.assert_allclose(backbone.prepare(image), 0, atol=0.02)


def write_keras(path, stages, *, drop=None):
    with h5py.File(path, "w") as file:
        file.create_group("predictions").create_dataset("kernel:0", data=np.zeros((2, 2)))
        for number, stage in enumerate(stages, start=1):
            convs = [layer for layer in stage if isinstance(layer, nn.Conv2d)]
            for place, conv in enumerate(convs, start=1):
                name = f"block{number}_conv{place}"
                if name == drop:
                    continue
                kernel = conv.weight.detach().numpy().transpose(2, 3, 1, 0)
                file.create_dataset(f"{name}/{name}/kernel:0", data=kernel)
                file.create_dataset(f"{name}/{name}/bias:0", data=conv.bias.detach().numpy())


def test_keras_weights_see_bgr_less_caffes_means(tmp_path):
    stages = build_seeded(lambda: make_vgg_stages(WIDTHS), 0)
    write_keras(tmp_path / "filters.h5", stages)
    backbone = load_keras_vgg16(tmp_path / "filters.h5")
    assert backbone.name == "filters"
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
    bgr = images[..., ::-1].astype(np.float32) - np.array([103.939, 116.779, 123.68], np.float32)
    wanted = run(stages, torch.from_numpy(bgr.transpose(0, 3, 1, 2).copy()))
    torch.testing.assert_close(run(backbone.stages, backbone.prepare(images)), wanted, rtol=1e-4, atol=1e-4)


def test_other_keras_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at"):
        load_keras_vgg16(tmp_path / "none.h5")
    stages = build_seeded(lambda: make_vgg_stages(WIDTHS), 0)
    write_keras(tmp_path / "less.h5", stages, drop="block3_conv2")
    with pytest.raises(ValueError, match=r"block3_conv2 of .* must have a bias and a kernel"):
        load_keras_vgg16(tmp_path / "less.h5")
    write_keras(tmp_path / "first.h5", stages, drop="block4_conv1")
    with pytest.raises(ValueError, match="must hold kernel and bias of block4_conv1"):
        load_keras_vgg16(tmp_path / "first.h5")


def test_folding_batch_norm_changes_no_output():
    network = build_seeded(WorldNamer, 0)
    x = torch.randn(4, 3, 64, 64)
    network.train()
    for _ in range(3):
        network(x)
    network.eval()
    folded = fold_batch_norm(network.stages)
    assert all(isinstance(layer, nn.Conv2d | nn.ReLU) for stage in folded for layer in stage)
    torch.testing.assert_close(run(folded, x), run(network.stages, x), rtol=1e-4, atol=1e-5)


def test_shipped_network_is_small_and_as_described():
    backbone = load_vgg_world()
    assert backbone.name == "vgg-world"
    assert sum(parameter.numel() for parameter in backbone.stages.parameters()) < 250_000
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    features = run(backbone.stages, backbone.prepare(images))
    assert features.shape == (2, 64, 2, 2)
    assert (features.std(dim=(0, 2, 3)) > 0).float().mean() > 0.5


def test_wrong_images_and_stages_are_refused():
    backbone = Backbone("two", nn.ModuleList([nn.Identity(), nn.Identity()]))
    with pytest.raises(TypeError, match="images must be uint8"):
        backbone.prepare(np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match=r"images must have shape \(any, any, any, 3\)"):
        backbone.prepare(np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(ValueError, match="stages must be at least 2"):
        Backbone("one", nn.ModuleList([nn.Identity()]))
    with pytest.raises(ValueError, match="std must be positive"):
        Backbone("flat", nn.ModuleList([nn.Identity()] * 2), std=(0, 1, 1))


def test_scenes_are_shown_whole_at_varying_sizes():
    images = torch.full((3, 64, 64, 3), 200, dtype=torch.uint8)
    rng = np.random.default_rng(0)
    shapes, shares = set(), []
    for _ in range(12):
        placed = place_scenes(images, rng=rng)
        shapes.add(placed.shape[-1])
        assert placed.shape[:2] == (3, 3)
        assert placed.abs().max() <= 1.001
        is_scene = (placed - (200 / 127.5 - 1)).abs().amax(dim=1) < 1e-3
        shares.append(float(is_scene[0].float().mean()) * placed.shape[-1] ** 2)
    assert shapes == {64, 80, 96}
    assert min(shares) >= 44**2 - 1
    assert len({round(share) for share in shares}) > 5


def test_training_writes_a_model_that_loads(tmp_path):
    quality = train_vgg_world(tmp_path / "tiny", n_images=24, n_epochs=1, n_test=48)
    assert set(quality) == {"subtype_accuracy", "category_accuracy", "presence_auc"}
    backbone = load_vgg_world(tmp_path / "tiny")
    assert len(backbone.stages) == 5
    card = (tmp_path / "tiny" / "README.md").read_text()
    assert "24 scenes" in card
    assert "BSD-3-Clause" in card


def test_the_card_tells_what_was_measured_and_no_more(tmp_path):
    card = tmp_path / "README.md"
    write_json(read_json(find_model("vgg-world") / "config.json"), tmp_path / "config.json")
    indices = pd.DataFrame(
        {
            "experiment": [1, 2, 3, "mean"],
            "asymmetry_index": [0.5, 0.4, -0.6, 0.1],
            "low": [0.2, -0.1, -0.9, 0.0],
            "high": [0.8, 0.9, -0.2, 0.2],
            "p_value": [0.01, 0.2, 0.99, 0.3],
            "human": [0.6, 0.7, 0.3, 0.5],
            "searcher": "eccNET",
        }
    )
    write_asymmetry(tmp_path, indices, n_trials=30, seeds=[0])
    text = card.read_text()
    first, second, third = ("curve_in_lines / line_in_curves", "top_down / left_right", "non_cross / cross")
    assert f"- eccNET: as people: {first}; the other way round: {third}; undecided: {second}." in text
    assert f"| eccNET | {first} | 0.50 [0.20, 0.80] | 0.010 | 0.60 | as people |" in text
    assert "30 displays of each set size" in text
    assert "Not measured:\nTs / Ls, homo_t20 / homo_t0, hetero_t0 / hetero_t20.\n" in text
    rows = read_json(tmp_path / "config.json")["asymmetry"]["rows"]
    assert [row["experiment"] for row in rows] == [1, 2, 3]
    # An interval above zero is not enough where exchanged displays do as well.
    write_asymmetry(tmp_path, indices.assign(p_value=0.5), n_trials=30, seeds=[0])
    assert "as people: none" in card.read_text()
    with pytest.raises(ValueError, match="indices must have the column 'human'"):
        write_asymmetry(tmp_path, indices.drop(columns="human"), n_trials=30, seeds=[0])


def test_a_network_that_knows_the_answer_measures_as_perfect():
    scenes = make_named_scenes(48, seed=3)

    class Oracle(WorldNamer):
        def __init__(self):
            super().__init__()
            self.seen = 0

        def forward(self, x):
            rows = slice(self.seen, self.seen + len(x))
            self.seen += len(x)
            main = nn.functional.one_hot(torch.from_numpy(scenes.main[rows]), 12)
            return torch.cat([main, torch.from_numpy(scenes.present[rows])], dim=1).float()

    quality = measure_vgg_world(Oracle(), scenes, seed=0)
    assert quality == {"subtype_accuracy": 1.0, "category_accuracy": 1.0, "presence_auc": 1.0}
