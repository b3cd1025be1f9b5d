"""RDMs, galleries, receptive fields and timelines."""

import matplotlib as mpl
import numpy as np
import pytest

from neurovis.plotting import (
    plot_rdm,
    plot_receptive_fields,
    plot_rsa_bars,
    plot_stimulus_gallery,
    plot_timeline,
)
from neurovis.plotting.style import styled


def _make_rdm(rng, n):
    half = np.triu(rng.random((n, n)), 1)
    return half + half.T


def test_rdm_is_sorted_into_groups(rng):
    rdm = _make_rdm(rng, 6)
    groups = np.array(["face", "place", "face", "place", "face", "word"])
    ax = plot_rdm(rdm, groups=groups, order=["place", "word", "face", "food"])
    rows = [1, 3, 5, 0, 2, 4]
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    expected = rdm[np.ix_(rows, rows)]
    np.fill_diagonal(expected, np.nan)
    np.testing.assert_array_equal(shown, expected)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["place", "word", "face"]
    np.testing.assert_allclose(ax.get_yticks(), [0.5, 2, 4])


def test_rdm_refuses_what_is_no_rdm(rng):
    rdm = _make_rdm(rng, 4)
    with pytest.raises(ValueError, match=r"square.*squareform"):
        plot_rdm(rdm[:3])
    with pytest.raises(ValueError, match="rdm must be symmetric"):
        plot_rdm(np.triu(rdm))
    with pytest.raises(ValueError, match="groups must have one entry for each of the 4 stimuli"):
        plot_rdm(rdm, groups=["a"])
    with pytest.raises(ValueError, match=r"order must name every group.*\['b'\]"):
        plot_rdm(rdm, groups=list("aabb"), order=["a"])


def test_rsa_bars_have_the_heights_and_the_ceiling():
    ax = plot_rsa_bars(
        ["pixels", "Gabor"], [0.1, 0.3], lower=[0.05, 0.2], upper=[0.2, 0.4], ceiling=(0.5, 0.6)
    )
    band, *bars = ax.patches
    assert [bar.get_height() for bar in bars] == [0.1, 0.3]
    assert band.get_y() == 0.5
    assert band.get_height() == pytest.approx(0.1)
    with pytest.raises(ValueError, match="ceiling must be"):
        plot_rsa_bars(["pixels"], [0.1], ceiling=(0.6, 0.5))
    with pytest.raises(ValueError, match=r"values must have shape \(1\)"):
        plot_rsa_bars(["pixels"], [0.1, 0.2])


@pytest.mark.parametrize("dtype", ["uint8", "float", "grey"])
def test_gallery_holds_every_image_in_reading_order(rng, dtype):
    images = rng.integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    if dtype == "grey":
        images = images[..., 0]
    given = images / 255 if dtype == "float" else images
    ax = plot_stimulus_gallery(given, n_columns=3, title="scenes")
    sheet = ax.images[0].get_array()
    assert sheet.shape == (2 * 16 + 1, 3 * 17 - 1, 3)
    fourth = images[3] if images.ndim == 4 else np.repeat(images[3][..., None], 3, -1)
    np.testing.assert_array_equal(sheet[17:, :16], fourth)
    assert (sheet[17:, 34:] == 255).all()


def test_gallery_writes_labels_and_refuses_mixtures(rng):
    images = rng.random((2, 8, 8, 3))
    assert [text.get_text() for text in plot_stimulus_gallery(images, labels=["a", "b"]).texts] == ["a", "b"]
    with pytest.raises(ValueError, match="same shape"):
        plot_stimulus_gallery([images[0], images[1][:4]])
    with pytest.raises(ValueError, match="images must be one or more"):
        plot_stimulus_gallery([])
    with pytest.raises(ValueError, match="images must be at most 1"):
        plot_stimulus_gallery(images * 300)
    with pytest.raises(ValueError, match="labels must have one entry for each of the 2"):
        plot_stimulus_gallery(images, labels=["a"])


def test_receptive_fields_are_circles_of_one_sigma():
    ax = plot_receptive_fields([1.0, -2.0, 0.5], [0.0, 1.0, 0.2], [0.5, 2.0, 1.0], regions=["V1", "V2", "V1"])
    first, second = ax.collections
    np.testing.assert_allclose(first.get_offsets(), [[1, 0], [0.5, 0.2]])
    np.testing.assert_allclose(first.get_widths(), [1.0, 2.0])
    np.testing.assert_allclose(second.get_widths(), [4.0])
    assert "degrees of visual angle" in ax.get_xlabel()
    assert ax.get_xlim() == (-2.2, 2.2)
    with pytest.raises(ValueError, match="sigma_dva must be at least 0"):
        plot_receptive_fields([0], [0], [-1])
    with pytest.raises(ValueError, match="regions must have one entry"):
        plot_receptive_fields([0, 1], [0, 1], [1, 1], regions=["V1"])


def test_timeline_puts_the_earliest_on_top():
    ax = plot_timeline(["late", "early"], [5.0, 0.0], [1.0, 2.0], groups=["encode", "simulate"])
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["early", "late"]
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0.0, 2.0), (5.0, 1.0)]
    assert "[s]" in ax.get_xlabel()
    with pytest.raises(ValueError, match="duration_s must be at least 0"):
        plot_timeline(["a"], [0.0], [-1.0])


def test_a_backend_that_turns_interaction_on_keeps_it(monkeypatch):
    """The backend of notebooks does so while the first figure is drawn, and shows only that one otherwise."""

    @styled
    def draw():
        mpl.interactive(True)

    monkeypatch.setitem(mpl.rcParams, "interactive", False)
    draw()
    assert mpl.is_interactive()
