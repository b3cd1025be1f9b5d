"""Networks: published weights on real images, libraries without a download, and worldnet."""

import csv
import io
import shutil
import urllib.error
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from neurovis.core import find_model
from neurovis.features import cifar_resnet20, squeezenet
from neurovis.features.capture import capture_layers
from neurovis.features.index import list_feature_spaces
from neurovis.features.torchvision import make_torchvision
from neurovis.features.weights import find_weights, load_checkpoint, read_weights_card
from neurovis.features.worldnet import Worldnet, load_worldnet, make_worldnet
from neurovis.features.worldnet_training import make_world_targets, measure_worldnet, train_worldnet
from neurovis.training.checkpoints import write_tensors


def _is_right(network, preprocess, image, label):
    with torch.no_grad():
        return int(network(preprocess(image)[None]).argmax()) == label


def test_squeezenet_names_photographs(shared_data):
    folder = shared_data / "imagenet_samples"
    if not folder.is_dir() or not (shared_data / "pretrained_nets").is_dir():
        pytest.skip(f"photographs or weights not found under {shared_data}")
    with (folder / "imagenet_classes.tsv").open() as stream:
        index = {row["wnid"]: int(row["index"]) for row in csv.DictReader(stream, delimiter="\t")}
    network = squeezenet.load_squeezenet(shared_data)
    paths = sorted((folder / "images").glob("*.JPEG"))[::3]
    right = []
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        right.append(_is_right(network, squeezenet.PREPROCESS, image, index[path.name.partition("_")[0]]))
    # 0.655 over all 1000 photographs; three standard errors of 50.
    assert np.mean(right) == pytest.approx(0.655, abs=0.2)
    assert len(right) == 50


def test_resnet20_names_cifar_images(shared_data):
    path = shared_data / "cifar10_subset" / "cifar10_test500.zip"
    if not path.is_file() or not (shared_data / "pretrained_nets").is_dir():
        pytest.skip(f"CIFAR images or weights not found under {shared_data}")
    network, right = cifar_resnet20.load_cifar_resnet20(shared_data), []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg"))[::2]:
            image = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            label = cifar_resnet20.CLASSES.index(name.split("/")[1])
            right.append(_is_right(network, cifar_resnet20.PREPROCESS, image, label))
    assert len(right) == 250
    assert np.mean(right) == pytest.approx(0.80, abs=0.08)


def test_missing_or_changed_weights_say_where_they_come_from(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"SqueezeNet-Deep-Compression.*NEUROVIS_SHARED"):
        find_weights("squeezenet", tmp_path)
    card = read_weights_card("squeezenet")
    path = tmp_path / card.folder / card.file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match=f"must have SHA-256 {card.sha256}"):
        find_weights("squeezenet", tmp_path)


def test_a_failed_download_names_the_origin_and_the_way_out(monkeypatch):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", refuse)
    with pytest.raises(FileNotFoundError, match=r"download.pytorch.org.*checkpoint.*worldnet"):
        make_torchvision("squeezenet1_1")


def test_random_torchvision_weights_depend_on_the_seed_alone(noise_stimuli):
    def make(seed):
        return make_torchvision("squeezenet1_1", pretrained=False, seed=seed, layers=["features.3"])

    torch.manual_seed(1)
    first = make(0)(noise_stimuli.subset(["image-000"]))["features.3"]
    torch.manual_seed(2)
    expected = torch.rand(2)
    torch.manual_seed(2)
    second = make(0)(noise_stimuli.subset(["image-000"]))["features.3"]
    assert torch.equal(torch.rand(2), expected)
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, make(1)(noise_stimuli.subset(["image-000"]))["features.3"])
    with pytest.raises(ValueError, match="model must be"):
        make_torchvision("resnet19")


def test_checkpoints_load_by_file_type_and_refuse_others(tmp_path):
    source, target = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "a.pth")
    load_checkpoint(target, tmp_path / "a.pth")
    assert torch.equal(target.weight, source.weight)
    write_tensors(source.state_dict(), tmp_path / "a.safetensors")
    assert torch.equal(load_checkpoint(torch.nn.Linear(3, 2), tmp_path / "a.safetensors").bias, source.bias)
    with pytest.raises(ValueError, match="weights of this architecture"):
        load_checkpoint(torch.nn.Linear(4, 2), tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes()[:60])
    with pytest.raises(ValueError, match="truncated or not a file of tensors"):
        load_checkpoint(target, tmp_path / "b.pth")


@pytest.fixture(scope="module")
def world():
    return make_world_targets(96, seed=5)


def test_worldnet_knows_unseen_scenes(world):
    quality = measure_worldnet(load_worldnet(), world)
    areas = [values["area_r"] for values in quality["by_subtype"].values()]
    aucs = [values["auc"] for values in quality["by_subtype"].values()]
    assert np.mean(aucs) > 0.75
    assert np.mean(areas) > 0.5
    assert quality["place_r"] > 0.4
    assert quality["colour_r"] > 0.5
    untrained = measure_worldnet(Worldnet(), world)
    assert np.mean([v["auc"] for v in untrained["by_subtype"].values()]) < 0.65


def test_world_targets_agree_with_the_images(world):
    assert world.images.shape == (96, 64, 64, 3)
    assert world.shares.min() >= 0
    assert world.shares.max() <= 1
    assert ((world.main[:, :2] > 0) & (world.main[:, :2] < 1)).all()
    # Scenes are balanced: every twelve have each subtype once as the dominant thing.
    assert (world.shares[:12].sum(axis=(0, 2, 3)) > 0).all()


def test_worldnet_as_a_feature_space(make_stimuli, world):
    extractor = make_worldnet()
    stimuli = make_stimuli(world.images[:5])
    features = extractor(stimuli)
    network = extractor.module
    x = torch.stack([extractor.preprocess(image) for image in world.images[:5]])
    with torch.no_grad(), capture_layers(network, ["stage3"]) as captured:
        maps = network(x)["maps"]
    pooled = torch.nn.functional.adaptive_avg_pool2d(maps, 4).flatten(1)
    np.testing.assert_allclose(features["maps"], pooled, atol=1e-5)
    assert features["stage3"].shape[1] == captured["stage3"].shape[1] * 16
    assert make_worldnet(size_px=128)(stimuli)["stage3"].shape == features["stage3"].shape
    with pytest.raises(ValueError, match="multiple of 16, got 50"):
        make_worldnet(size_px=50)


def test_changed_worldnet_weights_are_refused(tmp_path):
    folder = tmp_path / "worldnet"
    shutil.copytree(find_model("worldnet"), folder)
    load_worldnet(folder)
    with (folder / "weights.safetensors").open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\x00\x01")
    with pytest.raises(ValueError, match="train again with train_worldnet"):
        load_worldnet(folder)


def test_training_writes_a_loadable_folder_and_repeats(tmp_path):
    for name in ("a", "b"):
        train_worldnet(tmp_path / name, n_images=24, n_epochs=1, seed=3, n_test=60)
    first, second = (load_worldnet(tmp_path / name).state_dict() for name in ("a", "b"))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert "24 scenes" in (tmp_path / "a" / "README.md").read_text()


def test_index_lists_what_works_offline(monkeypatch, tmp_path):
    monkeypatch.setenv("NEUROVIS_SHARED", str(tmp_path))
    table = list_feature_spaces().set_index("name")
    assert table.loc[["gabor", "pixels", "worldnet"], "offline"].all()
    assert not table.loc[["squeezenet", "timm"], "offline"].any()
    assert "NEUROVIS_SHARED" in table.loc["squeezenet", "needs"]


def test_index_names_every_feature_space_of_the_catalog():
    from neurovis import catalog

    assert list(list_feature_spaces()["name"]) == list(catalog.features)
