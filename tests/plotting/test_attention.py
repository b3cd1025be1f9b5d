"""Attention maps lie where the tokens are, and peaks are counted."""

import numpy as np
import pytest
import xarray as xr

from neurovis.plotting import plot_attention, plot_attention_peaks


@pytest.fixture
def attention(rng):
    """Three images, two queries, a grid of 2 rows and 3 columns in no order; query b always looks alike."""
    order = rng.permutation(6)
    row, column = (entries.ravel()[order] for entries in np.indices((2, 3)))
    values = rng.random((3, 2, 6))
    values[:, 1] = (row == 1) & (column == 0)
    values[0, 0, (row == 0) & (column == 2)] = 2.0
    return xr.DataArray(
        values / values.sum(-1, keepdims=True),
        dims=("stimulus", "query", "token"),
        coords={"query": ["a", "b"], "row": ("token", row), "column": ("token", column)},
    )


def test_tiles_hold_the_maps_and_the_peaks(attention):
    ax = plot_attention(attention, labels=["x", "y", "z"])
    assert len(ax.images) == 6
    first = ax.images[0].get_array()
    assert first.shape == (2, 3, 4)
    assert first[..., 3].max() == pytest.approx(0.8)
    expected = np.zeros((2, 3))
    expected[attention["row"].values, attention["column"].values] = attention.values[0, 0]
    above = np.maximum(expected - 1 / 6, 0)
    np.testing.assert_allclose(first[..., 3], 0.8 * above / above.max())
    left, right, bottom, top = ax.images[0].get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(1.5)
    x, y = ax.lines[0].get_data()
    assert x[0] == pytest.approx(left + (right - left) * 2.5 / 3)
    assert y[0] == pytest.approx(top + (bottom - top) * 0.25)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in ax.texts] == ["x", "y", "z"]


def test_images_lie_below_and_places_above(attention, rng):
    places = np.full((2, 3, 2), np.nan)
    places[1, 2] = (0, 1)
    ax = plot_attention(attention, images=rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8), places=places)
    pictures = [image for image in ax.images if image.get_array().shape == (8, 8, 3)]
    assert len(pictures) == 6
    assert min(image.get_array().min() for image in pictures) >= 0.25
    crosses = [line for line in ax.lines if line.get_marker() == "+"]
    assert len(crosses) == 1
    left, right, bottom, top = pictures[-1].get_extent()
    assert crosses[0].get_xdata()[0] == pytest.approx((left + right) / 2)
    assert crosses[0].get_ydata()[0] == pytest.approx(top + (bottom - top) / 4)


def test_peaks_are_counted(attention):
    ax = plot_attention_peaks(attention)
    shares = [image.get_array()[..., 3] / 0.8 for image in ax.images]
    np.testing.assert_array_equal(shares[1], [[0, 0, 0], [1, 0, 0]])
    texts = [text.get_text() for text in ax.texts]
    assert texts[2:] == ["b", "100% at one place"]


def test_what_does_not_fit_is_refused(attention, rng):
    with pytest.raises(ValueError, match=r"attention must have the dims.*and no other"):
        plot_attention(attention[0])
    with pytest.raises(ValueError, match=r"attention must have the dims.*and no row"):
        plot_attention_peaks(attention.drop_vars("row"))
    with pytest.raises(ValueError, match="images must be one for each of the 3 stimuli, got 2"):
        plot_attention(attention, images=rng.random((2, 4, 4)))
    with pytest.raises(ValueError, match="labels must have one entry for each of the 3 stimuli"):
        plot_attention(attention, labels=["x"])
    with pytest.raises(ValueError, match=r"places must have shape \(2, 3, 2\)"):
        plot_attention(attention, places=np.zeros((2, 3)))
