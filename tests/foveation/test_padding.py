"""Networks on log-polar images: padding goes around the angles, so turning the image shifts the maps."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from neurovis.features.weights import build_seeded
from neurovis.foveation.classifier import FoveatedClassifier
from neurovis.foveation.padding import ThetaCircularPad, ThetaConv2d, convert_padding
from neurovis.foveation.sampling import LogPolarSampler


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_pad_by_hand():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    zeros = ThetaCircularPad(1, 2)(x)[0, 0].tolist()
    assert zeros == [[0] * 7, [1, 2, 0, 1, 2, 0, 1], [4, 5, 3, 4, 5, 3, 4], [0] * 7]
    repeated = ThetaCircularPad(1, 0, r_mode="replicate")(x)[0, 0].tolist()
    assert repeated == [[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]


def test_pad_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="r_mode must be 'zeros' or 'replicate', got 'circular'"):
        ThetaCircularPad(1, 1, r_mode="circular")
    with pytest.raises(ValueError, match="n_rows and n_columns must not be negative, got -1 and 0"):
        ThetaCircularPad(-1, 0)
    with pytest.raises(ValueError, match="at least 4 angles"):
        ThetaCircularPad(0, 4)(torch.zeros(1, 1, 3, 3))


@pytest.mark.parametrize("r_mode", ["zeros", "replicate"])
def test_a_converted_convolution_commutes_with_turning(r_mode):
    layer = build_seeded(lambda: nn.Conv2d(3, 4, (3, 5), padding="same", dilation=2), 0)
    turned = convert_padding(layer, r_mode=r_mode)
    x = draw(2, 3, 12, 16)
    for shift in (1, 7):
        torch.testing.assert_close(turned(x.roll(shift, -1)), turned(x).roll(shift, -1), atol=1e-6, rtol=0)
        assert (layer(x.roll(shift, -1)) - layer(x).roll(shift, -1)).abs().max() > 0.1
    # Away from the edges both are the same.
    torch.testing.assert_close(turned(x)[..., 2:-2, 4:-4], layer(x)[..., 2:-2, 4:-4])


@pytest.mark.parametrize(
    "build",
    [
        lambda: torchvision.models.resnet18(weights=None, num_classes=5),
        lambda: timm.create_model("resnet14t", num_classes=5),
        lambda: timm.create_model("mobilenetv2_035", num_classes=5),
    ],
    ids=["torchvision-resnet18", "timm-resnet14t", "timm-mobilenetv2_035"],
)
def test_whole_networks_ignore_turns_by_their_stride(build):
    network = build_seeded(build, 0).eval()
    turned = convert_padding(network)
    x = draw(1, 3, 64, 96)
    with torch.no_grad():
        here, there = turned(x), turned(x.roll(32, -1))
        plain = network(x.roll(32, -1)) - network(x)
    torch.testing.assert_close(here, there, atol=1e-4 * float(here.abs().max()), rtol=0)
    assert plain.abs().max() > 100 * (here - there).abs().max()


def test_names_weights_and_the_original_stay():
    network = torchvision.models.resnet18(weights=None)
    turned = convert_padding(network)
    assert list(turned.state_dict()) == list(network.state_dict())
    turned.load_state_dict(network.state_dict())
    assert type(network.conv1) is nn.Conv2d
    assert type(turned.conv1) is ThetaConv2d
    assert "theta circular" in repr(turned)
    # A 1x1 convolution pads nothing and stays.
    assert type(turned.layer2[0].downsample[0]) is nn.Conv2d


def test_pools_go_around_too():
    x = draw(1, 2, 9, 12)
    for pool in (nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 1, 1)):
        turned = convert_padding(nn.Sequential(pool))
        torch.testing.assert_close(turned(x.roll(5, -1)), turned(x).roll(5, -1))
        torch.testing.assert_close(turned(x)[..., 1:-1, 1:-1], pool(x)[..., 1:-1, 1:-1])


def test_layers_with_a_padding_of_their_own_are_refused():
    class Standardised(nn.Conv2d):
        pass

    with pytest.raises(TypeError, match="got Standardised at '0'"):
        convert_padding(nn.Sequential(Standardised(3, 3, 3, padding=1)))
    with pytest.raises(TypeError, match=r"padding='same' of kernel \(2, 2\)"):
        convert_padding(nn.Sequential(nn.Conv2d(3, 3, 2, padding="same")))
    with pytest.raises(ValueError, match="layer that pads, got none"):
        convert_padding(nn.Sequential(nn.Linear(3, 3)))


def test_classifier_looks_normalises_and_freezes(rng):
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.BatchNorm2d(2), nn.Flatten(), nn.LazyLinear(4))
    classifier = FoveatedClassifier(LogPolarSampler(6, 8), network, freeze_bn=True)
    images = torch.from_numpy(rng.random((2, 3, 16, 16))).float()
    # Beyond the image lies the negative mean colour, not zero.
    seen = classifier.look(images, [[1.0, 1.0]] * 2)
    expected = -classifier.mean / classifier.std
    torch.testing.assert_close(seen[0, :, 0, 0], expected[:, 0, 0])
    points = rng.uniform(-0.5, 0.5, (2, 3, 2))
    classifier.eval()
    several = classifier(images, points)
    assert several.shape == (2, 3, 4)
    torch.testing.assert_close(several[:, 1], classifier(images, points[:, 1]))
    classifier.train()
    assert network[0].training
    assert not network[1].training
    with pytest.raises(ValueError, match="std positive"):
        FoveatedClassifier(LogPolarSampler(6, 8), network, std=(1.0, 0.0, 1.0))
