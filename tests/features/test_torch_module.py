"""Any torch module as a feature space: against plain forward passes, and after failures."""

import numpy as np
import pytest
import torch
from torch import nn

from neurovis.core import FeatureExtractor
from neurovis.features.capture import list_layers
from neurovis.features.preprocessing import ImagePreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import build_seeded


class Branches(nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3)), [x.amax(dim=(2, 3))]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.branches = Branches()
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(2, 2)
        self.fail = False

    def forward(self, x):
        x = self.act(self.norm(self.conv(x)))
        if self.fail:
            raise RuntimeError("broken on purpose")
        first, (second,) = self.branches(x)
        return self.drop(torch.cat([first, second], dim=1))


def _make(layers=("norm", "output"), **options):
    module = build_seeded(Small, 0)
    return ModuleFeatures("small", module, layers, ImagePreprocessing(resize=(16, 16)), **options)


def _count_hooks(module):
    return sum(len(part._forward_hooks) for part in module.modules())


def test_equals_a_plain_forward_pass(noise_stimuli):
    extractor = _make(("conv", "norm", "act", "branches#0", "output"))
    assert isinstance(extractor, FeatureExtractor)
    features = extractor(noise_stimuli, batch_size=3)
    module = extractor.module.eval()
    with torch.no_grad():
        for row, name in enumerate(noise_stimuli.stimulus_ids):
            x = extractor.preprocess(noise_stimuli.load(name))[None]
            expected = {"conv": module.conv(x)}
            expected["norm"] = module.norm(expected["conv"])
            # The copy in the hook keeps the in-place rectification out of the layer before it.
            expected["act"] = torch.relu(expected["norm"])
            expected["branches#0"] = expected["act"].mean(dim=(2, 3))
            expected["output"] = torch.cat([expected["branches#0"], expected["act"].amax(dim=(2, 3))], 1)
            for layer, value in expected.items():
                np.testing.assert_allclose(features[layer][row], value.flatten(), atol=1e-5, err_msg=layer)
    assert features["norm"].min() < 0
    assert features["conv"].shape == (7, 4 * 16 * 16)
    assert list(features["conv"]["stimulus_id"].values) == noise_stimuli.stimulus_ids


def test_batch_size_does_not_matter_and_calls_repeat(noise_stimuli):
    extractor = _make()
    one, all_at_once = (extractor(noise_stimuli, batch_size=n)["output"] for n in (1, 7))
    np.testing.assert_allclose(one, all_at_once, atol=1e-6)
    np.testing.assert_array_equal(all_at_once, extractor(noise_stimuli, batch_size=7)["output"])


def test_pooling_keeps_the_mean(noise_stimuli):
    full = _make(("conv",))(noise_stimuli)["conv"].values.reshape(7, 4, 16, 16)
    pooled = _make(("conv",), pool=2)(noise_stimuli)["conv"].values.reshape(7, 4, 2, 2)
    expected = full.reshape(7, 4, 2, 8, 2, 8).mean(axis=(3, 5))
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_tokens(noise_stimuli):
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat = nn.Flatten(2)

        def forward(self, x):
            return self.flat(x)

    preprocess = ImagePreprocessing(resize=(4, 4))
    flat = ModuleFeatures("t", Tokens(), ("flat",), preprocess)(noise_stimuli)["flat"].values
    first = ModuleFeatures("t", Tokens(), ("flat",), preprocess, tokens="first")(noise_stimuli)["flat"]
    mean = ModuleFeatures("t", Tokens(), ("flat",), preprocess, tokens="mean")(noise_stimuli)["flat"]
    np.testing.assert_allclose(first, flat.reshape(7, 3, 16)[:, 0])
    np.testing.assert_allclose(mean, flat.reshape(7, 3, 16).mean(axis=1), atol=1e-6)


def test_hooks_go_and_the_mode_returns_after_a_failure(noise_stimuli):
    extractor = _make()
    extractor.module.train()
    extractor.module.fail = True
    with pytest.raises(RuntimeError, match="on purpose"):
        extractor(noise_stimuli)
    assert _count_hooks(extractor.module) == 0
    assert extractor.module.training
    extractor.module.fail = False
    assert extractor(noise_stimuli)["output"].shape == (7, 8)
    assert _count_hooks(extractor.module) == 0


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("branches", r"branches#0 to branches#1"),
        ("branches#2", r"branches#0 to branches#1"),
        ("conv#0", r"returns one output"),
        ("unused", r"did not run"),
    ],
)
def test_layers_that_give_no_tensor_are_named_and_leave_no_hooks(noise_stimuli, layer, message):
    extractor = _make()
    with pytest.raises(ValueError, match=message):
        extractor(noise_stimuli, layers=[layer])
    assert _count_hooks(extractor.module) == 0


def test_a_list_inside_a_tuple_is_refused(noise_stimuli):
    with pytest.raises(TypeError, match="must return a tensor, got list"):
        _make()(noise_stimuli, layers=["branches#1"])


def test_unknown_layers_list_near_names():
    with pytest.raises(ValueError, match=r"'convv'; near names are .*conv"):
        _make(("convv",))
    assert list_layers(Small()) == ("conv", "norm", "act", "branches", "drop", "unused", "output")


def test_description_changes_with_weights_and_preprocessing():
    first = _make().describe()
    assert first == _make().describe()
    changed = _make()
    with torch.no_grad():
        changed.module.norm.running_mean[0] += 1e-3
    assert changed.describe()["weights"] != first["weights"]
    other = ModuleFeatures("small", build_seeded(Small, 0), ("conv",), ImagePreprocessing(resize=(8, 8)))
    assert other.describe()["weights"] == first["weights"]
    assert other.describe()["preprocess"] != first["preprocess"]
    nameless = ModuleFeatures("small", Small(), ("conv",), lambda image: torch.zeros(3, 4, 4))
    with pytest.raises(ValueError, match="preprocess must have a repr"):
        nameless.describe()


def test_description_changes_with_what_a_forward_pass_computes():
    def describe(forward, **attributes):
        module = build_seeded(type("Own", (Small,), {"forward": forward}), 0)
        vars(module).update(attributes)
        found = ModuleFeatures("own", module, ("conv",), ImagePreprocessing()).describe()
        assert found["weights"] == plain["weights"]
        return found["code"]

    plain = _make().describe()
    first = describe(lambda self, x: self.conv(x))
    assert first == describe(lambda self, x: self.conv(x))
    others = [
        describe(lambda self, x: self.conv(x) * 2),
        describe(lambda self, x: self.conv(x) * 3),
        describe(lambda self, x: self.norm(self.conv(x))),
        describe(lambda self, x, n=1: self.conv(x)),
        describe(lambda self, x: self.conv(x), gain=1.0),
        describe(lambda self, x: self.conv(x), gain=2.0),
    ]
    assert len({plain["code"], first, *others}) == 8


def test_preprocessing_by_hand():
    image = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    made = ImagePreprocessing(crop=3, mean=(1.0, 2.0, 3.0), std=(2.0, 2.0, 2.0), scale=1.0, bgr=True)(image)
    expected = (image[1:4, 2:5].astype(float) - [1, 2, 3]) / 2
    np.testing.assert_allclose(made.numpy(), expected[..., ::-1].transpose(2, 0, 1), atol=1e-6)
    with pytest.raises(ValueError, match="crop must not exceed"):
        ImagePreprocessing(crop=6)(image)
    assert ImagePreprocessing(resize=10)(image).shape == (3, 10, 14)


def test_movies_and_bad_batch_sizes_are_refused(noise_stimuli):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        _make()(noise_stimuli, batch_size=0)
    with pytest.raises(ValueError, match="at least one stimulus"):
        _make()(noise_stimuli.subset([]))
    path = noise_stimuli.root / "movie.npy"
    np.save(path, np.zeros((2, 8, 8, 3), dtype=np.uint8))
    noise_stimuli.table.iloc[0, 0] = path.name
    with pytest.raises(ValueError, match="must be images"):
        _make()(noise_stimuli)
