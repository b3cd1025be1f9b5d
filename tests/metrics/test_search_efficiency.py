import numpy as np
import pytest

from neurovis.datasets.interiors_search import load_interiors_search
from neurovis.metrics.gaze_arrays import list_scanpaths
from neurovis.metrics.search_efficiency import (
    compute_probability_mismatch,
    compute_scanpath_ratio,
    compute_target_fixation_area,
    compute_target_fixation_curve,
    find_first_hits,
)

BOX = [90.0, 190.0, 110.0, 210.0]  # top, left, bottom, right: x 190-210, y 90-110
DIRECT = np.array([[0.0, 100.0], [200.0, 100.0], [300.0, 0.0]])
DETOUR = np.array([[0.0, 100.0], [200.0, 200.0], [200.0, 100.0]])
FAILED = np.array([[0.0, 100.0], [100.0, 100.0]])
AT_ONCE = np.array([[200.0, 100.0], [0.0, 0.0]])
PATHS = [DIRECT, DETOUR, FAILED, AT_ONCE]


def test_first_hits():
    assert find_first_hits(PATHS, [BOX] * 4).tolist() == [2, 3, np.inf, 1]
    edge = [np.array([[190.0, 90.0]]), np.array([[210.0, 100.0]]), np.array([[200.0, 110.0]])]
    assert find_first_hits(edge, [BOX] * 3).tolist() == [1, np.inf, np.inf]
    assert find_first_hits(edge, [BOX] * 3, margin_px=1).tolist() == [1, 1, 1]


def test_curve_area_and_mismatch():
    hits = np.array([2, 3, np.inf, 1])
    curve = compute_target_fixation_curve(hits, 4)
    assert curve.tolist() == [0.25, 0.5, 0.75, 0.75]
    assert compute_target_fixation_area(curve) == 2.25
    # Each category weighs the same: cup finds at step 1 or not at all, fork at 2 and 3.
    by_category = compute_target_fixation_curve(hits, 4, categories=["fork", "fork", "cup", "cup"])
    assert by_category.tolist() == [0.25, 0.5, 0.75, 0.75]
    uneven = compute_target_fixation_curve(hits, 2, categories=["fork", "fork", "fork", "cup"])
    np.testing.assert_allclose(uneven, [0.5, (1 / 3 + 1) / 2])
    assert compute_probability_mismatch(curve, curve) == 0
    assert compute_probability_mismatch(curve, [0, 0, 0.75, 1]) == 1


def test_scanpath_ratio():
    found = compute_scanpath_ratio(PATHS, [BOX] * 4)
    # The way that is travelled ends with the first fixation of the target.
    np.testing.assert_allclose(found, [1, 200 / (np.hypot(200, 100) + 100), np.nan, np.nan])
    assert np.isnan(compute_scanpath_ratio(PATHS, [BOX] * 4, max_steps=2)[1])
    # A first fixation of the box's near corner travels less than the way to its centre.
    near = np.array([[0.0, 100.0], [191.0, 100.0]])
    assert compute_scanpath_ratio([near], [BOX]) == 1


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match=r"shape \(4, 4\), got \(3, 4\)"):
        find_first_hits(PATHS, [BOX] * 3)
    with pytest.raises(ValueError, match="finite"):
        find_first_hits(PATHS[:1], [[np.nan] * 4])
    with pytest.raises(ValueError, match="bottom below the top"):
        find_first_hits(PATHS[:1], [[90, 190, 20, 20]])
    with pytest.raises(ValueError, match="step or infinity"):
        compute_target_fixation_curve([], 4)
    with pytest.raises(ValueError, match="step or infinity"):
        compute_target_fixation_curve([np.nan], 4)
    with pytest.raises(ValueError, match="one per trial"):
        compute_target_fixation_curve([1, 2], 4, categories=["a"])
    with pytest.raises(ValueError, match=r"human must have shape \(4\)"):
        compute_probability_mismatch([0, 0, 1, 1], [0, 1])
    with pytest.raises(ValueError, match="curve must be at most 1"):
        compute_target_fixation_area([0, 2])


def test_searchers_that_found_their_target_looked_at_it(shared_data):
    stimuli, fixations = load_interiors_search(root=shared_data)
    keys, paths = list_scanpaths(fixations)
    columns = [f"target_{side}_px" for side in ("top", "left", "bottom", "right")]
    boxes = stimuli.table.loc[keys["stimulus_id"], columns].to_numpy()
    found = fixations.groupby(["subject", "stimulus_id", "trial"], sort=False)["found"].first().to_numpy()
    hit = np.isfinite(find_first_hits(paths, boxes, margin_px=36))
    assert hit[found].mean() > 0.9
    assert hit[~found].mean() < 0.25
