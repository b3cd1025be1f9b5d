"""Galleries, shares, curves and words: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest

from neurovis.plotting import plot_captioned_images, plot_curves, plot_galleries, plot_shares, plot_words


def test_gallery_keeps_rows_kinds_and_order(rng):
    rows = {
        name: {
            kind: [rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for _ in range(3)]
            for kind in ("guided", "natural")
        }
        for name in ("FFA", "PPA")
    }
    axes = plot_galleries(rows, n_shown=2).figure.axes
    assert [ax.get_title(loc="left") for ax in axes[:2]] == ["guided", "natural"]
    assert [axes[number].get_ylabel() for number in (0, 2)] == ["FFA", "PPA"]
    sheet = np.asarray(axes[3].images[0].get_array())
    assert sheet.shape == (8, 17, 3)
    np.testing.assert_array_equal(sheet[:, 9:], rows["PPA"]["natural"][1])
    rows["PPA"].pop("natural")
    with pytest.raises(ValueError, match="same kinds"):
        plot_galleries(rows)


def test_shares_are_written_with_intervals_and_the_planted_cell_is_framed():
    shares = np.array([[0.9, 0.1], [0.25, 0.75]])
    ax = plot_shares(
        shares, rows=["FFA", "PPA"], columns=["face", "place"], interval=(shares - 0.05, shares + 0.05),
        expected={"FFA": "face", "PPA": "place"},
    )  # fmt: skip
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts[(0, 1)] == "0.25\n0.20–0.30"
    assert sorted(patch.get_xy() for patch in ax.patches) == [(-0.47, -0.46), (0.53, 0.54)]
    with pytest.raises(ValueError, match="shares"):
        plot_shares([[1.2, 0]], rows=["a"], columns=["b", "c"])


def test_curves_are_sorted_and_banded():
    table = pd.DataFrame(
        {"scale": [10, 0, 3, 0, 3], "share": [0.9, 0.1, 0.5, 0.2, 0.2], "ci_low": 0.0, "ci_high": 1.0,
         "who": ["FFA", "FFA", "FFA", "flipped", "flipped"]}
    )  # fmt: skip
    ax = plot_curves(
        table, x="scale", y="share", by="who", dashed=["flipped"], reference=1 / 6, scale="symlog"
    )
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [0, 3, 10])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0.1, 0.5, 0.9])
    assert [line.get_linestyle() for line in ax.lines[:2]] == ["-", "--"]
    assert len(ax.collections) == 2
    assert ax.get_xscale() == "symlog"
    with pytest.raises(ValueError, match="ci_low"):
        plot_curves(table.drop(columns="ci_low"), x="scale", y="share", by="who")


def test_words_grow_with_their_z():
    table = pd.DataFrame(
        {"region": ["FFA"] * 3 + ["PPA"], "word": ["face", "hat", "dog", "room"], "z": [9.0, 4.0, 0.5, 5.0]}
    )
    ax = plot_words(table, n_words=2)
    texts = {text.get_text(): text for text in ax.texts}
    assert set(texts) == {"FFA", "PPA", "face", "hat", "room"}
    assert texts["face"].get_fontsize() > texts["room"].get_fontsize() > texts["hat"].get_fontsize()
    assert texts["face"].get_position()[1] > texts["hat"].get_position()[1]
    with pytest.raises(ValueError, match="'z'"):
        plot_words(table.drop(columns="z"))


def test_captioned_images_stand_below_their_captions():
    images = [np.full((4, 4, 3), value, dtype=np.uint8) for value in (0, 200)]
    rows = {"FFA": [(images[0], "a large smiling face with brown hair"), (images[1], "a dog")],
            "PPA": [(images[1], "a beach")]}  # fmt: skip
    axes = plot_captioned_images(rows, n_letters=20)
    grid = np.array(axes.figure.axes).reshape(2, 2)
    assert [ax.get_title() for ax in grid[0]] == ["a large smiling face\nwith brown hair", "a dog"]
    assert [ax.get_title() for ax in grid[1]] == ["a beach", ""]
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["FFA", "PPA"]
    np.testing.assert_array_equal(grid[0, 1].images[0].get_array(), images[1])
    assert not grid[1, 1].images
    with pytest.raises(ValueError, match=r"pictures, got \{'FFA': 0\}"):
        plot_captioned_images({"FFA": []})
