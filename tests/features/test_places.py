"""Where features lie: maps in both orders, patch tokens, class tokens, and the part of the image seen."""

import numpy as np
import pytest
import torch
from torch import nn

from neurovis.core import make_grid_dva
from neurovis.features.preprocessing import ImagePreprocessing, LibraryPreprocessing, compute_seen_dva
from neurovis.features.reduction import Reduction
from neurovis.features.torch_module import ModuleFeatures

N, C, H, W = 2, 5, 4, 6
PX = (64, 96)


def _reduce(output, input_px=PX, **options):
    return Reduction(**options)(output, layer="x", n_rows=len(output), input_px=input_px)


def _check_every_value(values, coords, look_up):
    """Compare each feature with the value that a slow look-up by its coordinates gives."""
    for feature in range(values.shape[1]):
        expected = look_up(*(int(coords[key][feature]) for key in ("channel", "row", "column")))
        np.testing.assert_allclose(values[:, feature], expected, rtol=1e-5, atol=1e-6)


def test_maps_in_both_orders_have_the_same_features():
    maps = torch.randn(N, C, H, W)
    values, coords = _reduce(maps)
    _check_every_value(values, coords, lambda c, r, k: maps[:, c, r, k])
    last_values, last_coords = _reduce(maps.movedim(1, 3))
    np.testing.assert_array_equal(last_values, values)
    for key, entries in coords.items():
        np.testing.assert_array_equal(last_coords[key], entries)
    assert values.shape == (N, C * H * W)


def test_a_cube_is_channels_first_unless_told():
    cube = torch.randn(N, 4, 4, 4)
    first, last = (_reduce(cube, (64, 64), maps=order)[0] for order in ("auto", "channels_last"))
    np.testing.assert_array_equal(first, cube.flatten(1))
    np.testing.assert_array_equal(last, cube.movedim(3, 1).flatten(1))


def test_clips_are_averaged_over_frames_and_vectors_have_no_place():
    maps = torch.randn(N, C, 3, H, W)
    np.testing.assert_allclose(_reduce(maps)[0], maps.mean(dim=2).flatten(1))
    _, coords = _reduce(torch.randn(N, C))
    assert list(coords["channel"]) == list(range(C))
    assert (coords["row"] == -1).all()
    assert _reduce(torch.randn(N))[0].shape == (N, 1)


@pytest.mark.parametrize("n_prefix", [0, 1, 5])
def test_patches_lie_on_the_grid_and_class_tokens_nowhere(n_prefix):
    tokens = torch.randn(N, n_prefix + H * W, C)
    patches = tokens[:, n_prefix:].reshape(N, H, W, C)
    for declared in (n_prefix, None):
        values, coords = _reduce(tokens, tokens="patches", n_prefix_tokens=declared)
        _check_every_value(values, coords, lambda c, r, k: patches[:, r, k, c])
        values, coords = _reduce(tokens, tokens="flatten", n_prefix_tokens=declared)
        np.testing.assert_array_equal(values, tokens.flatten(1))
        assert int((coords["row"] == -1).sum()) == n_prefix * C
        placed = {key: entries[n_prefix * C :] for key, entries in coords.items()}
        _check_every_value(values[:, n_prefix * C :], placed, lambda c, r, k: patches[:, r, k, c])


def test_patches_of_a_clip_are_averaged_over_time_and_pooled():
    tokens = torch.randn(N, 3 * H * W, C)
    whole = tokens.reshape(N, 3, H, W, C).mean(dim=1)
    values, coords = _reduce(tokens, tokens="patches", token_frames=3, pool=2)
    expected = whole.reshape(N, 2, 2, 2, 3, C).mean(dim=(2, 4))
    _check_every_value(values, coords, lambda c, r, k: expected[:, r, k, c])
    _, coords = _reduce(tokens, token_frames=3)
    assert list(coords["row"][::C]) == 3 * [r for r in range(H) for _ in range(W)]


def test_class_tokens_that_are_not_there_are_refused():
    grid, odd = torch.randn(N, H * W, C), torch.randn(N, 5, C)
    for declared in (None, 1):
        with pytest.raises(ValueError, match="tokens='first' wants a class token, but the 24 tokens"):
            _reduce(grid, tokens="first", n_prefix_tokens=declared)
    with pytest.raises(ValueError, match="wants a grid of patches, got 5 tokens"):
        _reduce(odd, tokens="patches")
    with pytest.raises(ValueError, match="wants a grid of patches, got 24 tokens"):
        _reduce(grid, tokens="patches", token_grid=False)
    np.testing.assert_array_equal(_reduce(odd, tokens="first")[0], odd[:, 0])
    one = torch.randn(N, 1, C)
    np.testing.assert_array_equal(_reduce(one, tokens="first", n_prefix_tokens=1)[0], one[:, 0])
    with pytest.raises(ValueError, match=r"images first, got shape \(24, 5\) for 2 images"):
        Reduction()(grid[0], layer="x", n_rows=2, input_px=PX)


@pytest.mark.parametrize(
    ("preprocess", "expected"),
    [
        (ImagePreprocessing(resize=(32, 32)), (6.0, 9.0)),
        (ImagePreprocessing(resize=64, crop=48, bgr=True), (4.5, 4.5)),
        (ImagePreprocessing(crop=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2)), (1.5, 1.5)),
        (lambda image: torch.zeros(3, 8, 8), None),
    ],
)
def test_the_part_seen_follows_crops_of_any_preprocessing(preprocess, expected):
    seen = compute_seen_dva(preprocess, (64, 96), (6.0, 9.0))
    assert seen == (None if expected is None else pytest.approx(expected, abs=6 / 64))


def test_the_part_seen_of_padded_images_is_larger():
    from torchvision.transforms import v2

    steps = [v2.Pad((16, 0)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    pad = LibraryPreprocessing(v2.Compose(steps), "pad")
    assert compute_seen_dva(pad, (64, 96), (6.0, 9.0)) == pytest.approx((6.0, 12.0), abs=0.1)


def test_a_bright_spot_is_found_where_it_was_shown(make_stimuli):
    """Through a crop, a convolution and pooling, the largest response lies at the spot's place in degrees."""
    x, y = make_grid_dva((96, 96), (12.0, 12.0))
    places = [(2.0, 3.0), (-3.5, 1.0), (0.5, -4.0)]
    spots = [np.uint8(255 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / 0.8)) for a, b in places]
    stimuli = make_stimuli([np.repeat(spot[..., None], 3, axis=2) for spot in spots], size_dva=(12.0, 12.0))
    blur = nn.Conv2d(3, 1, 3, 2, padding=1)
    nn.init.constant_(blur.weight, 1.0)
    preprocess = ImagePreprocessing(resize=96, crop=80)
    array = ModuleFeatures("blur", nn.Sequential(blur), ("0",), preprocess)(stimuli)["0"]
    height, width = array.attrs["size_dva"]
    assert (height, width) == pytest.approx((10.0, 10.0), abs=0.05)
    n = int(array["row"].max()) + 1
    best = array.values.argmax(axis=1)
    found_x = ((array["column"].values[best] + 0.5) / n - 0.5) * width
    found_y = (0.5 - (array["row"].values[best] + 0.5) / n) * height
    np.testing.assert_allclose(np.stack([found_x, found_y], axis=1), places, atol=0.26)
