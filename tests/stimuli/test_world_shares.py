import numpy as np
import pytest

from neurovis.stimuli.world import SUBTYPES, make_scene
from neurovis.stimuli.world_shares import SUBTYPE_NAMES, compute_subtype_shares


def test_names_are_the_subtypes_category_by_category():
    assert list(SUBTYPE_NAMES) == [name for pair in SUBTYPES.values() for name in pair]


@pytest.mark.parametrize("index", range(4))
def test_shares_count_the_pixels_of_each_cell(index):
    scene = make_scene(3, index, size_px=64)
    shares = compute_subtype_shares(scene, n_cells=8)
    assert shares.shape == (12, 8, 8)
    for channel, name in enumerate(SUBTYPE_NAMES):
        for row in range(8):
            for column in range(8):
                cell = np.s_[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                n_pixels = sum(int(t.mask[cell].sum()) for t in scene.objects if t.subtype == name)
                assert shares[channel, row, column] == pytest.approx(min(1.0, n_pixels / 64))


def test_a_grid_that_does_not_fit_is_refused():
    scene = make_scene(3, 0, size_px=64)
    with pytest.raises(ValueError, match=r"n_cells must divide the side.*got 10 for 64 x 64 px"):
        compute_subtype_shares(scene, n_cells=10)
