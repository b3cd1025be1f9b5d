"""Averages over views against an explicit warp of every view."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from neurovis.core import make_rng
from neurovis.generation.views import ViewAverage

WEIGHTS = torch.from_numpy(make_rng(0, "weights of the test").normal(size=(192, 5)) / 10)


def respond(images):
    return torch.tanh(images.flatten(1) @ WEIGHTS)


@pytest.fixture
def images(rng):
    return torch.from_numpy(rng.random((3, 3, 8, 8)))


def warp(image, *, zoom, across, down):
    """A view (3, h, w): each pixel looks at its own place, moved about the centre, edges mirrored."""
    side = image.shape[-1]
    places = (np.arange(side) + 0.5) / side * 2 - 1
    y, x = np.meshgrid(places, places, indexing="ij")
    to_index = lambda p: ((p + 1) * side - 1) / 2  # noqa: E731
    rows, columns = to_index(zoom * y + down), to_index(zoom * x + across)
    return np.stack([map_coordinates(band, [rows, columns], order=1, mode="reflect") for band in image])


def test_views_are_those_of_an_explicit_warp(images):
    found = ViewAverage(respond, n_views=5, shift=0.1, zoom=0.2, noise_sd=0.3, seed=4)(images)
    draws = make_rng(4, "views").uniform(-1, 1, (5, 3))
    noise = make_rng(4, "noise of views").standard_normal((5, 3, 8, 8)) * 0.3
    expected = np.zeros((3, 5))
    for zoom, across, down in draws:
        index = int(np.flatnonzero(draws[:, 0] == zoom)[0])
        views = np.stack(
            [warp(i, zoom=1 + 0.2 * zoom, across=0.2 * across, down=0.2 * down) for i in images.numpy()]
        )
        expected += respond(torch.from_numpy(views + noise[index])).numpy() / 5
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_one_view_is_the_image_itself(images):
    assert torch.equal(ViewAverage(respond, n_views=1)(images), respond(images))
    still = ViewAverage(respond, n_views=3, shift=0, zoom=0, noise_sd=0)(images)
    torch.testing.assert_close(still, respond(images))


def test_an_image_does_not_depend_on_the_others_or_on_earlier_calls(images):
    average = ViewAverage(respond, seed=1)
    together = average(images)
    torch.testing.assert_close(torch.cat([average(image[None]) for image in images]), together)
    assert torch.equal(ViewAverage(respond, seed=1)(images), together)
    assert not torch.equal(ViewAverage(respond, seed=2)(images), together)
    # Another size has noise of its own, and the first size its own again.
    ViewAverage(lambda x: x.flatten(1)[:, :1])(torch.zeros(1, 3, 6, 4, dtype=torch.float64))
    assert torch.equal(average(images), together)


def test_the_gradient_is_that_of_finite_differences(images):
    average = ViewAverage(respond, n_views=2)
    torch.autograd.gradcheck(lambda x: average(x).sum(dim=1), images[:1].clone().requires_grad_(True))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"n_views": 0}, "n_views"),
        ({"shift": 0.7}, "shift"),
        ({"zoom": -1}, "zoom"),
        ({"noise_sd": -1}, "noise_sd"),
    ],
)
def test_numbers_out_of_range_are_refused(options, match):
    with pytest.raises(ValueError, match=match):
        ViewAverage(respond, **options)
