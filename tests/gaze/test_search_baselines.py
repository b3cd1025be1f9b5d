import numpy as np
import pandas as pd
import pytest

from neurovis.core.fixations import make_fixations
from neurovis.gaze.search import Glance, SearchSetup, SearchTask, make_array_task, simulate_search
from neurovis.gaze.search_baselines import (
    CentreSearcher,
    DensitySearcher,
    PixelSearcher,
    SaliencySearcher,
    compute_spectral_residual,
    match_template,
)
from neurovis.gaze.search_protocols import SearchProtocol, find_protocol
from neurovis.stimuli.asymmetry_experiments import make_search_displays

PROTOCOL = SearchProtocol("scenes", 9, found_px=8, uses_cells=False)


@pytest.mark.parametrize("size", [(5, 4), (6, 7), (1, 1)])
def test_template_matching_equals_a_loop(size):
    rng = np.random.default_rng(0)
    image, template = rng.normal(size=(17, 14)), rng.normal(size=size)
    image[:8, :8] = 3.0  # where nothing varies
    before = [n // 2 for n in size]
    padded = np.pad(image, [(b, n - 1 - b) for b, n in zip(before, size, strict=True)], mode="symmetric")
    wanted = np.zeros_like(image)
    for row, column in np.ndindex(*image.shape):
        part = padded[row : row + size[0], column : column + size[1]]
        if part.std() > 1e-9 and template.std() > 1e-9:
            wanted[row, column] = np.corrcoef(part.ravel(), template.ravel())[0, 1]
    np.testing.assert_allclose(match_template(image, template), wanted, atol=1e-6)
    with pytest.raises(ValueError, match="template must fit the image"):
        match_template(template, image)


@pytest.mark.parametrize("name", ["cross", "left_right", "hetero_t20", "line_in_curves"])
def test_matching_pixels_finds_the_picture_at_once(name):
    displays = make_search_displays(name, seed=0, n_trials=1)
    found = simulate_search(PixelSearcher(), make_array_task(displays), find_protocol(name), progress=False)
    assert (found.trials["n_saccades"] == 1).all()


def test_an_odd_item_out_is_salient_and_a_plain_image_is_not():
    image = np.full((120, 160, 3), 40, np.uint8)
    image[::20, ::20] = 60
    image[70:82, 100:112] = (250, 250, 250)
    salient = compute_spectral_residual(image)
    assert salient.shape == (120, 160)
    row, column = np.unravel_index(salient.argmax(), salient.shape)
    assert abs(row - 76) < 10
    assert abs(column - 106) < 10
    np.testing.assert_array_equal(compute_spectral_residual(np.full((30, 30, 3), 9, np.uint8)), 0)
    displays = make_search_displays("homo_t20", seed=0, n_trials=3, set_sizes=(12,))
    found = simulate_search(
        SaliencySearcher(), make_array_task(displays), find_protocol("homo_t20"), progress=False
    )
    # One tilted bar among upright ones pops out without any target.
    assert (found.trials["n_saccades"] <= 2).all()


def make_task(n=2):
    rows = {
        "target_index": 0,
        "target_top_px": 0,
        "target_left_px": 0,
        "target_bottom_px": 4,
        "target_right_px": 4,
    }
    trials = pd.DataFrame(rows, index=[f"s{number}" for number in range(n)])
    image = np.zeros((40, 60, 3), np.uint8)
    return SearchTask("plain", trials, lambda number: image, [image[:4, :4]], (40, 60), scale=(2.0, 2.0))


def attend(searcher, task):
    n = len(task.trials)
    glance = Glance(np.zeros((n, 40, 60, 3), np.uint8), np.zeros((n, 2), int), np.arange(n))
    return searcher.begin(SearchSetup(task, PROTOCOL))(glance)


def test_centre_prefers_the_middle():
    maps = attend(CentreSearcher(), make_task())
    assert maps[0, 19, 29] == maps[0].max()
    assert maps[0, 0, 0] == maps[0].min()


def test_where_others_looked_leaves_out_the_searched_image():
    # On s0 people look left, on s1 right; coordinates are of images twice as large.
    table = pd.concat(
        [make_fixations([(10, 40)] * 3, subject=who, stimulus_id="s0") for who in "ab"]
        + [make_fixations([(110, 40)] * 2, subject=who, stimulus_id="s1") for who in "ab"]
        + [make_fixations([(-50, 5000)], subject="c", stimulus_id="s1")],
        ignore_index=True,
    )
    maps = attend(DensitySearcher(table, sigma_px=2), make_task())
    assert np.unravel_index(maps[0].argmax(), (40, 60)) == (20, 55)
    assert np.unravel_index(maps[1].argmax(), (40, 60)) == (20, 5)
    np.testing.assert_allclose(maps[0].sum(), 4, rtol=1e-3)
