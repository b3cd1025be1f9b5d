"""Differentiable feature spaces against the extractors' own numbers, and their gradients."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import transforms

from neurovis.features.differentiable import make_differentiable, make_tensor_preprocessing
from neurovis.features.pixels import PixelFeatures
from neurovis.features.preprocessing import ImagePreprocessing, LibraryPreprocessing
from neurovis.features.torch_module import ModuleFeatures
from neurovis.features.weights import build_seeded


class Blocks(nn.Module):
    """Maps, a rectification in place, and tokens with a class token."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.tokens = nn.Flatten(2)
        self.head = nn.Linear(64, 5)

    def forward(self, x):
        maps = self.act(self.conv(x))
        mixed = self.tokens(maps)
        return self.head(mixed).mean(dim=1)


def _stack(stimuli):
    images = np.stack([stimuli.load(name) for name in stimuli.stimulus_ids])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def _compare(extractor, stimuli, layers=None, tolerance=1e-5):
    features = extractor(stimuli, layers=layers)
    expected = np.concatenate([array.values for array in features.values()], axis=1)
    found = make_differentiable(extractor, layers=layers)(_stack(stimuli)).numpy()
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    return expected


@pytest.fixture
def small_stimuli(make_stimuli):
    return make_stimuli(np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8))


def _make_blocks(**options):
    preprocess = ImagePreprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.25))
    return ModuleFeatures("blocks", build_seeded(Blocks, 0), ("conv", "output"), preprocess, **options)


@pytest.mark.parametrize("layers", [None, ("act", "conv"), ("tokens",)])
def test_equals_the_extractor(small_stimuli, layers):
    _compare(_make_blocks(pool=2, tokens="mean"), small_stimuli, layers)


def test_equals_the_extractor_after_cutting_and_swapping_colours(make_stimuli):
    stimuli = make_stimuli(np.random.default_rng(1).integers(0, 256, (2, 12, 10, 3), dtype=np.uint8))
    preprocess = ImagePreprocessing(crop=8, scale=1.0, mean=(120.0, 110.0, 100.0), bgr=True)
    _compare(ModuleFeatures("cut", build_seeded(Blocks, 0), ("conv",), preprocess), stimuli)


def test_equals_worldnet(noise_stimuli):
    from neurovis.features.worldnet import make_worldnet

    _compare(make_worldnet(size_px=32), noise_stimuli, ("stage4", "pooled"), tolerance=1e-4)


def test_equals_open_clip(make_stimuli):
    from neurovis.features.open_clip import make_open_clip

    stimuli = make_stimuli(np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8))
    expected = _compare(make_open_clip("world-clip", normalise=True), stimuli, tolerance=1e-4)
    np.testing.assert_allclose(np.linalg.norm(expected, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "transform",
    [
        transforms.Compose(
            [
                transforms.Resize(8, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(8),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        ),
        transforms._presets.ImageClassification(crop_size=8, resize_size=8),
    ],
    ids=["timm and open_clip", "torchvision"],
)
def test_equals_the_transforms_of_libraries(small_stimuli, transform):
    preprocess = LibraryPreprocessing(transform, "test")
    _compare(ModuleFeatures("library", build_seeded(Blocks, 0), ("conv",), preprocess), small_stimuli)


def test_resizing_is_that_of_the_extractor_up_to_rounding(rng):
    """Antialiased as for uint8 images; without it, fine detail is read instead of averaged away."""
    image = rng.integers(0, 256, (48, 40, 3), dtype=np.uint8)
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    for resize in ((16, 16), 24):
        preprocess = ImagePreprocessing(resize=resize)
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        found = make_tensor_preprocessing(preprocess)(tensor)[0]
        torch.testing.assert_close(found, preprocess(image), atol=1.1 / 255, rtol=0)
    tensor = torch.from_numpy(stripes).permute(2, 0, 1)[None].float() / 255
    spread = [
        float(make_tensor_preprocessing(ImagePreprocessing(resize=(12, 12)), antialias=flag)(tensor).std())
        for flag in (True, False)
    ]
    assert spread[0] < 0.05 < 0.2 < spread[1]


def test_antialiasing_of_a_library_can_be_left_out(rng):
    resize = transforms.Resize(6, antialias=True)
    preprocess = LibraryPreprocessing(transforms.Compose([resize, transforms.ToTensor()]), "test")
    x = torch.from_numpy(rng.random((1, 3, 32, 32), dtype=np.float32))
    smooth, rough = (make_tensor_preprocessing(preprocess, antialias=flag)(x) for flag in (True, False))
    assert smooth.std() < rough.std()
    assert resize.antialias is True


def test_gradient_equals_finite_differences(rng):
    extractor = _make_blocks(pool=2)
    extractor.module.double()
    features = make_differentiable(extractor)
    images = torch.from_numpy(rng.uniform(0.2, 0.8, (2, 3, 8, 8))).requires_grad_(True)
    (gradient,) = torch.autograd.grad(features(images).square().sum(), images)
    for _ in range(3):
        direction = torch.from_numpy(rng.normal(size=images.shape))
        with torch.no_grad():
            ends = [features(images + step * direction).square().sum() for step in (1e-6, -1e-6)]
        slope = float(ends[0] - ends[1]) / 2e-6
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4)
    assert gradient.dtype == torch.float64


def test_half_precision_runs_as_the_extractor_does(small_stimuli):
    from neurovis.features.capture import Execution

    half = _make_blocks(pool=2, execution=Execution("bfloat16"))
    exact = _make_blocks(pool=2)
    images = _stack(small_stimuli).requires_grad_(True)
    one, other = (make_differentiable(extractor)(images) for extractor in (half, exact))
    assert one.dtype == torch.float32
    assert not torch.equal(one, other)
    torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)
    np.testing.assert_allclose(one.detach().numpy()[:, :16], half(small_stimuli)["conv"].values, rtol=1e-5)


def test_tells_what_it_cannot_do(small_stimuli):
    with pytest.raises(TypeError, match="extractor must be ModuleFeatures"):
        make_differentiable(PixelFeatures())
    module = build_seeded(Blocks, 0)
    with pytest.raises(TypeError, match="preprocess must be ImagePreprocessing, LibraryPreprocessing or"):
        make_differentiable(ModuleFeatures("own", module, ("conv",), torch.from_numpy))
    flipped = LibraryPreprocessing(transforms.Compose([transforms.RandomHorizontalFlip()]), "flip")
    with pytest.raises(TypeError, match="got RandomHorizontalFlip"):
        make_differentiable(ModuleFeatures("flip", module, ("conv",), flipped))
    with pytest.raises(ValueError, match="layers of 'blocks'"):
        make_differentiable(_make_blocks(), layers=("convolution",))
    with pytest.raises(ValueError, match=r"images must have shape \(n, 3, height, width\)"):
        make_differentiable(_make_blocks())(torch.zeros(2, 8, 8, 3))


VIDEOMAE = {
    "model_type": "videomae", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2,
}  # fmt: skip


@pytest.mark.parametrize("shape", [(32, 32), (32, 40)])
@pytest.mark.parametrize("tokens", ["mean", "patches"])
def test_clips_equal_the_video_extractor(tmp_path, shape, tokens):
    from neurovis.core import StimulusSet
    from neurovis.features.huggingface import make_huggingface_video

    movies = np.random.default_rng(4).integers(0, 256, (3, 4, *shape, 3), dtype=np.uint8)
    for number, movie in enumerate(movies):
        np.save(tmp_path / f"{number}.npy", movie)
    index = pd.Index([f"movie-{number}" for number in range(3)], name="stimulus_id")
    table = pd.DataFrame({"path": [f"{number}.npy" for number in range(3)]}, index=index)
    stimuli = StimulusSet("movies", table, tmp_path, (8.0, 8.0), fps=8.0)
    extractor = make_huggingface_video(config=VIDEOMAE, tokens=tokens, pool=2)
    expected = np.concatenate([array.values for array in extractor(stimuli).values()], axis=1)
    clips = torch.from_numpy(movies).permute(0, 1, 4, 2, 3) / 255
    features = make_differentiable(extractor)
    np.testing.assert_allclose(features(clips).numpy(), expected, rtol=1e-4, atol=1e-5)
    # Every frame reaches the features.
    clips.requires_grad_(True)
    (gradient,) = torch.autograd.grad(features(clips)[0].square().sum(), clips)
    assert (gradient[0].abs().amax(dim=(1, 2, 3)) > 0).all()
    assert not gradient[1:].any()
    with pytest.raises(ValueError, match=r"shape \(n, frames, 3, height, width\), got \(4, 3, "):
        features(clips[0])


@pytest.mark.parametrize("kind", ["dinov2", "vit", "clip_vision_model"])
@pytest.mark.parametrize("side", [32, 48])
def test_equals_the_processors_of_transformers(make_stimuli, kind, side):
    from neurovis.features.huggingface import make_huggingface

    # Smooth pictures, whose resized pixels are rounded and not cut off.
    rows, columns = np.mgrid[:side, :side] / side
    images = [np.stack([rows, columns**power, rows * columns], axis=-1) * 250 for power in (1, 2)]
    stimuli = make_stimuli(np.round(images).astype(np.uint8))
    extractor = make_huggingface(config={**VIDEOMAE, "model_type": kind})
    _compare(extractor, stimuli, tolerance=1e-4 if side == 32 else 2e-2)


def test_refuses_a_processor_with_steps_of_its_own():
    import transformers

    from neurovis.features.huggingface import FrameProcessor

    class Inverting(transformers.ViTImageProcessor):
        def _preprocess(self, images, **options):
            return super()._preprocess([255 - image for image in images], **options)

    size = {"height": 16, "width": 16}
    make_tensor_preprocessing(FrameProcessor(transformers.ViTImageProcessor(size=size)))
    with pytest.raises(TypeError, match="only, got Inverting"):
        make_tensor_preprocessing(FrameProcessor(Inverting(size=size)))
