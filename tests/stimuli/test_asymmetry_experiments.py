import numpy as np
import pytest

from neurovis.stimuli.asymmetry_experiments import (
    CONDITIONS,
    make_search_displays,
    write_search_displays,
)
from neurovis.stimuli.search_items import (
    make_arc_item,
    make_padded_bar,
    make_shaded_disc,
    make_stroke_item,
)

SIZES_PX = {1: 339, 2: 198, 3: 615, 4: 615, 5: 339, 6: 339}
CELLS_PX = {1: 56, 2: 49, 3: 205, 4: 205, 5: 84, 6: 84}


@pytest.mark.parametrize("name", CONDITIONS)
def test_items_lie_in_cells_of_their_own(name):
    condition, displays = CONDITIONS[name], make_search_displays(name, seed=0, n_trials=3)
    side, cell = SIZES_PX[condition.experiment], CELLS_PX[condition.experiment]
    n_trials = 3 * len(condition.set_sizes)
    assert displays.images.shape == (n_trials, side, side)
    assert displays.trials["set_size"].tolist() == list(np.repeat(condition.set_sizes, 3))
    assert displays.cells.max() == condition.n_grid**2 - 1
    for stimulus_id, trial in displays.trials.iterrows():
        items = displays.items[displays.items["stimulus_id"] == stimulus_id]
        assert len(items) == trial["set_size"] == items["cell"].nunique()
        target = items[items["is_target"]]
        assert target["cell"].tolist() == [trial["target_cell"]]
        for item in items.itertuples():
            row, column = divmod(item.cell, condition.n_grid)
            assert row * cell <= item.top_px <= (row + 1) * cell - item.side_px
            assert column * cell <= item.left_px <= (column + 1) * cell - item.side_px
        # The box is the target's whole cell, and its picture stands where the table says.
        box = trial[["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]].to_numpy(int)
        inside = displays.cells[box[0] : box[2], box[1] : box[3]]
        assert inside.shape == (cell, cell)
        assert (inside == trial["target_cell"]).all()
        top, left, size = (int(target[column].iloc[0]) for column in ("top_px", "left_px", "side_px"))
        image = displays.images[displays.trials.index.get_loc(stimulus_id)]
        shown = image[top : top + size, left : left + size]
        np.testing.assert_array_equal(shown, displays.targets[trial["target_index"]])
        # Beyond the items there is background.
        for item in items.itertuples():
            image[item.top_px : item.top_px + item.side_px, item.left_px : item.left_px + item.side_px] = (
                condition.background
            )
        assert (image == condition.background).all()


def test_cell_masks_cover_the_grid_once():
    displays = make_search_displays("Ts", seed=1, n_trials=1, set_sizes=(3,))
    masks = displays.make_cell_masks()
    assert masks.shape == (9, 615, 615)
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks.astype(int).sum(axis=0), 255)
    assert (masks[4, 205:410, 205:410] == 255).all()


def test_seed_decides_and_more_trials_keep_the_first():
    one = make_search_displays("hetero_t0", seed=3, n_trials=2, set_sizes=(4, 8))
    again = make_search_displays("hetero_t0", seed=3, n_trials=2, set_sizes=(4, 8))
    np.testing.assert_array_equal(one.images, again.images)
    longer = make_search_displays("hetero_t0", seed=3, n_trials=5, set_sizes=(8,))
    np.testing.assert_array_equal(one.images[2:], longer.images[:2])
    assert (
        make_search_displays("hetero_t0", seed=4, n_trials=2, set_sizes=(4, 8)).images != one.images
    ).any()


def _list_patches(displays, row):
    items = displays.items[displays.items["stimulus_id"] == displays.trials.index[row]]
    return [
        (item.is_target, displays.images[row, item.top_px : item.top_px + item.side_px,
                                         item.left_px : item.left_px + item.side_px])
        for item in items.itertuples()
    ]  # fmt: skip


def test_each_heterogeneous_distractor_comes_once_before_one_comes_twice():
    displays = make_search_displays("hetero_t20", seed=0, n_trials=4, set_sizes=(8, 12))
    for row in range(8):
        kinds = [patch.tobytes() for is_target, patch in _list_patches(displays, row) if not is_target]
        counts = np.unique(kinds, return_counts=True)[1]
        n_kinds, n_twice = (7, 0) if row < 4 else (8, 3)
        assert len(counts) == n_kinds
        assert (counts == 2).sum() == n_twice
        assert counts.max() <= 2


def test_curves_turn_with_the_number_of_the_item():
    displays = make_search_displays("line_in_curves", seed=0, n_trials=3, set_sizes=(16,))
    for row in range(3):
        patches = _list_patches(displays, row)
        for number, (is_target, patch) in enumerate(patches):
            peers = [p for other, (t, p) in enumerate(patches) if other % 4 == number % 4 and t == is_target]
            assert all((peer == patch).all() for peer in peers)
        place = next(number for number, (is_target, _) in enumerate(patches) if is_target)
        np.testing.assert_array_equal(patches[place][1], displays.targets[place % 4])


def test_both_conditions_of_a_pair_exchange_their_pictures():
    for easy, hard in (("curve_in_lines", "line_in_curves"), ("non_cross", "cross"), ("Ts", "Ls")):
        one, two = (make_search_displays(name, seed=0, n_trials=1) for name in (easy, hard))
        pictures = {name.tobytes() for name in one.targets}, {name.tobytes() for name in two.targets}
        assert not pictures[0] & pictures[1]
        # Two of the four turns of an L are the same.
        assert [len(names) for names in pictures] == [4, 3 if hard == "Ls" else 4]
        for displays, others in ((one, two), (two, one)):
            kinds = {patch.tobytes() for is_target, patch in _list_patches(displays, -1) if not is_target}
            assert kinds <= {picture.tobytes() for picture in others.targets}


def test_lit_from_above_among_lit_from_below():
    displays = make_search_displays("top_down", seed=0, n_trials=1, set_sizes=(6,))
    for is_target, patch in _list_patches(displays, 0):
        upper, lower = patch[:10].mean(), patch[-10:].mean()
        assert (upper > lower) == is_target


def _measure(item, px_per_dva):
    """Area [deg^2], middle (x, y) [deg, y up], second moments along the main axes, and their angle."""
    side = len(item)
    place = (np.arange(side) + 0.5 - side / 2) / px_per_dva
    x, y = np.meshgrid(place, -place)
    total = item.sum()
    middle = np.array([(item * x).sum(), (item * y).sum()]) / total
    dx, dy = x - middle[0], y - middle[1]
    cov = np.array([[(item * dx * dx).sum(), (item * dx * dy).sum()],
                    [(item * dx * dy).sum(), (item * dy * dy).sum()]]) / total  # fmt: skip
    values, axes = np.linalg.eigh(cov)
    angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1])) % 180
    return total / px_per_dva**2, middle, values, angle


@pytest.mark.parametrize("angle", [0.0, 70.0, 90.0, 140.0])
def test_bar_has_its_size_and_angle_in_degrees(angle):
    bar = make_padded_bar(length_dva=2.0, width_dva=0.3, orientation_deg=angle, patch_dva=2.3, px_per_dva=30)
    assert bar.shape == (69, 69)
    area, middle, moments, found = _measure(bar, 30)
    np.testing.assert_allclose(area, 0.6, rtol=0.02)
    np.testing.assert_allclose(middle, 0, atol=0.02)
    # Second moments of a rectangle: a side squared over twelve.
    np.testing.assert_allclose(np.sqrt(12 * moments), [0.3, 2.0], rtol=0.03)
    assert min(abs(found - angle), 180 - abs(found - angle)) < 0.5


def test_arc_lies_on_its_circle_and_spans_its_angle():
    item = make_arc_item(
        radius_dva=1.0, angle_rad=1.3, width_dva=1 / 6, turn_deg=0, patch_dva=1.6, px_per_dva=90
    )
    place = (np.arange(144) + 0.5 - 72) / 90
    x, y = np.meshgrid(place, -place)
    centre = (1 + np.cos(0.65)) / 2
    radius, angle = np.hypot(x, y - centre), np.arctan2(x, centre - y)
    np.testing.assert_allclose((item * radius).sum() / item.sum(), 1.0, atol=0.01)
    on_arc = np.abs(angle) < 0.6
    np.testing.assert_allclose(item[on_arc & (np.abs(radius - 1) < 1 / 12 - 0.02)], 1)
    assert not item[np.abs(radius - 1) > 1 / 12 + 0.02].any()
    assert not item[np.abs(angle) > 0.65 + 0.12].any()
    # Stroke of 1.3 rad and two round ends.
    np.testing.assert_allclose(item.sum() / 90**2, 1.3 / 6 + np.pi / 144, rtol=0.01)
    turned = make_arc_item(
        radius_dva=1.0, angle_rad=1.3, width_dva=1 / 6, turn_deg=-90, patch_dva=1.6, px_per_dva=90
    )
    np.testing.assert_allclose(turned, np.rot90(item, -1), atol=1e-9)


def test_stroke_of_half_a_pixel_covers_half():
    item = make_stroke_item([(0.5, 0.1, 1.0, 0.25)], patch_dva=1.5, px_per_dva=10)
    assert item.shape == (15, 15)
    np.testing.assert_allclose(item[5:10, 1], 1)
    np.testing.assert_allclose(item[5:10, 2], 0.5)
    np.testing.assert_allclose(item.sum() / 100, 0.5 * 0.15)


def test_letters_and_crosses_have_their_strokes():
    letters, crosses = (make_search_displays(name, seed=0, n_trials=1) for name in ("Ts", "cross"))
    t, cross = ((255.0 - displays.targets[0]) / 255 for displays in (letters, crosses))
    assert t.shape == (177, 177)
    area = (2 * 5.5 - 0.55) * 0.55
    for item in (t, cross):
        np.testing.assert_allclose(item.sum() / 900, area, rtol=0.01)
        rows, columns = np.flatnonzero(item.any(1)), np.flatnonzero(item.any(0))
        # 5.5 degrees are 165 px, in the middle of a border of 0.4 degrees.
        assert (rows[0], rows[-1], columns[0], columns[-1]) == (6, 170, 6, 170)
    assert (t[6:22, 6:171] == 1).all()
    assert not t[:6].any()
    non_cross = (255.0 - make_search_displays("non_cross", seed=0, n_trials=1).targets[0]) / 255
    np.testing.assert_allclose(non_cross.sum() / 900, area, rtol=0.01)
    # The level bar is cut in the middle: left half high, right half low.
    assert non_cross[62, 20] == 1
    assert non_cross[62, 150] == 0
    assert non_cross[112, 150] == 1
    assert non_cross[112, 20] == 0


def test_disc_shows_a_ramp_of_sixteen_steps():
    disc = make_shaded_disc(diameter_dva=1.04, light="top", background=27 / 255, px_per_dva=100)
    assert disc.shape == (104, 104)
    middle = disc[:, 52]
    levels = np.unique(np.round(255 * middle[1:-1]))
    assert levels.tolist() == list(range(0, 256, 17))
    assert (np.diff(middle[2:-2]) <= 0).all()
    assert disc[0, 0] == 27 / 255
    left = make_shaded_disc(diameter_dva=1.04, light="left", background=27 / 255, px_per_dva=100)
    np.testing.assert_allclose(left, disc.T)


def test_displays_as_a_folder(tmp_path):
    displays = make_search_displays("top_down", seed=5, n_trials=2, set_sizes=(1, 6))
    stimuli = write_search_displays(displays, tmp_path / "top_down", seed=5)
    assert stimuli.stimulus_ids == list(displays.trials.index)
    np.testing.assert_allclose(stimuli.size_dva, (6.6, 6.6))
    np.testing.assert_array_equal(stimuli.load(stimuli.stimulus_ids[2])[..., 1], displays.images[2])
    assert (stimuli.root / stimuli.table["target_path"].iloc[0]).is_file()
    assert stimuli.table["task"].unique().tolist() == ["search"]
    again = write_search_displays(displays, tmp_path / "top_down", seed=5)
    assert again.stimulus_ids == stimuli.stimulus_ids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"condition": "Xs"}, "condition must be 'curve_in_lines'"),
        ({"condition": "Ts", "set_sizes": (10,)}, "set_sizes must be at most 9"),
        ({"condition": "Ts", "n_trials": 0}, "n_trials must be at least 1"),
        ({"condition": "Ts", "seed": -1}, "seed"),
    ],
)
def test_impossible_displays_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_search_displays(**{"seed": 0, **arguments})
    with pytest.raises(ValueError, match="light must be"):
        make_shaded_disc(diameter_dva=1.0, light="up", background=0.1, px_per_dva=30)
    with pytest.raises(ValueError, match="patch_dva must hold the bar"):
        make_padded_bar(length_dva=2.0, width_dva=0.3, orientation_deg=0, patch_dva=1.0, px_per_dva=30)
