import numpy as np
import pytest

from neurovis.datasets.sti_amazon import load_sti_amazon, map_to_grid
from neurovis.metrics.object_paths import BEHAVIOURS, compute_behaviour_delta, describe_object_paths


def test_by_hand():
    found = describe_object_paths([[5, 5, 7, 5, 9], [3], [1, 2, 1, 1, 2]], [9, 4, 2])
    np.testing.assert_allclose(
        found[list(BEHAVIOURS)],
        [[1, 5, 3 / 5, 1 / 5, 1 / 5], [0, 1, 1, 0, 0], [1, 5, 2 / 5, 1 / 5, 2 / 5]],
    )


def test_shares_equal_a_loop(rng):
    paths = [rng.integers(0, 5, rng.integers(1, 15)) for _ in range(60)]
    found = describe_object_paths(paths, np.zeros(60, int))
    np.testing.assert_allclose(found[["search", "refix", "revisit"]].sum(axis=1), 1)
    for path, own in zip(paths, found.itertuples(), strict=True):
        seen, counts, before = set(), dict.fromkeys(("search", "refix", "revisit"), 0), None
        for item in path:
            kind = "refix" if item == before else "revisit" if item in seen else "search"
            counts[kind] += 1
            seen.add(item)
            before = item
        assert all(getattr(own, kind) == pytest.approx(n / len(path)) for kind, n in counts.items())


def test_delta():
    human = describe_object_paths([[1, 2, 1], [1, 1, 2]], [1, 2])
    assert compute_behaviour_delta(human, human) == 0
    model = describe_object_paths([[1, 2, 3]], [1])
    # correct 1 -> 0, length 3 -> 3, search 2/3 -> 1, refix 1/6 -> 0, revisit 1/6 -> 0
    assert compute_behaviour_delta(model, human) == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    never = describe_object_paths([[1, 2]], [2])  # people who never stay or come back
    assert compute_behaviour_delta(model, never) == pytest.approx((1 + 0.5 + 0) / 3)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="one per path"):
        describe_object_paths([[1]], [1, 2])
    with pytest.raises(ValueError, match="at least one"):
        describe_object_paths([np.empty(0, int)], [1])
    human = describe_object_paths([[1, 2]], [2])
    with pytest.raises(ValueError, match=r"without \['refix'\]"):
        compute_behaviour_delta(human.drop(columns="refix"), human)


def test_people_on_shelves(shared_data):
    """On all 100 collages: correct .840, length 14.47, search .780, refix .170, revisit .050."""
    stimuli, fixations = load_sti_amazon(root=shared_data)
    paths, targets = [], []
    for (_, name), own in fixations.groupby(["subject", "stimulus_id"]):
        row = stimuli.table.loc[name]
        size = (row["height_px"], row["width_px"])
        paths.append(map_to_grid(own[["x_px", "y_px"]], size))
        middle = [
            (row["target_left_px"] + row["target_right_px"]) / 2,
            (row["target_top_px"] + row["target_bottom_px"]) / 2,
        ]
        targets.append(map_to_grid([middle], size)[0])
    means = describe_object_paths(paths, targets).mean()
    expected = [0.840, 14.47, 0.780, 0.170, 0.050]
    np.testing.assert_allclose(means[list(BEHAVIOURS)], expected, rtol=0.06, atol=0.012)
