import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurovis.core import StimulusSet
from neurovis.gaze.search import SearchTask, make_array_task, make_scene_task, simulate_search
from neurovis.gaze.search_baselines import ChanceSearcher
from neurovis.gaze.search_behaviour import (
    compute_reaction_times,
    compute_search_slopes,
    summarise_reaction_times,
)
from neurovis.gaze.search_protocols import PROTOCOLS, SearchProtocol, find_protocol
from neurovis.stimuli.asymmetry_experiments import CONDITIONS, make_search_displays

BOX = ["target_top_px", "target_left_px", "target_bottom_px", "target_right_px"]


class Told:
    """Sees the target's box as the only thing that matches."""

    name = "told"

    def begin(self, setup):
        boxes = setup.task.trials[BOX].to_numpy(int)

        def attend(glance):
            maps = np.zeros((len(glance.trials), *setup.task.size_px))
            for row, trial in enumerate(glance.trials):
                top, left, bottom, right = boxes[trial]
                maps[row, top:bottom, left:right] = 1
            return maps

        return attend


class Blind:
    """Sees the same everywhere."""

    name = "blind"

    def begin(self, setup):
        return lambda glance: np.ones((len(glance.trials), *setup.task.size_px))


def make_filled_task(n_cells, n_trials, seed=0, cell_px=12):
    """Rows of cells that all hold an item, one of them the target."""
    rng = np.random.default_rng(seed)
    cells = np.repeat(np.arange(n_cells), cell_px)[None].repeat(cell_px, axis=0)
    target = rng.integers(n_cells, size=n_trials)
    rows = {
        "target_index": np.zeros(n_trials, int), "condition": "homo_t0", "set_size": n_cells,
        "target_top_px": 0, "target_left_px": target * cell_px, "target_bottom_px": cell_px,
        "target_right_px": (target + 1) * cell_px,
    }  # fmt: skip
    trials = pd.DataFrame(rows, index=[f"s{number}" for number in range(n_trials)])
    image = np.zeros((cell_px, cell_px * n_cells, 3), np.uint8)
    return SearchTask("filled", trials, lambda number: image, [image[:4, :4]], image.shape[:2], cells)


LINE = SearchProtocol("line", 99, found_px=2)


@pytest.mark.parametrize("name", ["curve_in_lines", "left_right", "Ls", "hetero_t20"])
def test_the_only_match_is_found_by_one_saccade_at_every_set_size(name):
    displays = make_search_displays(name, seed=0, n_trials=3)
    found = simulate_search(Told(), make_array_task(displays), find_protocol(name), progress=False)
    assert found.trials["found"].all()
    assert (found.trials["n_saccades"] == 1).all()
    assert found.fixations.groupby("stimulus_id").size().eq(2).all()
    np.testing.assert_allclose(compute_reaction_times(found.trials), 628.63)
    summary = summarise_reaction_times(found.trials)
    assert summary["set_size"].tolist() == list(CONDITIONS[name].set_sizes)
    np.testing.assert_allclose(compute_search_slopes(summary), 0, atol=1e-9)


def test_seeing_nothing_takes_half_of_the_cells_and_never_returns():
    means = {}
    for n_cells in (2, 4, 6):
        task = make_filled_task(n_cells, 300, seed=n_cells)
        for searcher in (Blind(), ChanceSearcher()):
            found = simulate_search(searcher, task, LINE, seed=n_cells, batch_size=300, progress=False)
            assert found.trials["found"].all()
            assert found.trials["n_saccades"].max() == n_cells
            means[searcher.name, n_cells] = found.trials["n_saccades"].mean()
            # The start is the middle of the image, not a saccade.
            moved = found.fixations[found.fixations["index"] > 0]
            visited = moved.assign(cell=moved["x_px"] // 12).groupby("stimulus_id")["cell"]
            assert (visited.nunique() == visited.size()).all()
    for (_, n_cells), mean in means.items():
        # Standard error of a mean of 300 draws from 1 to n.
        assert abs(mean - (n_cells + 1) / 2) < 4 * np.sqrt((n_cells**2 - 1) / 12 / 300)
    table = pd.DataFrame(
        [("chance", n, 252.359 * m + 376.271) for (who, n), m in means.items() if who == "chance"],
        columns=["condition", "set_size", "rt_ms"],
    )
    np.testing.assert_allclose(compute_search_slopes(table)["chance"], 126.2, atol=25)


def test_chance_depends_on_seed_and_trial_but_not_on_the_batch():
    task = make_filled_task(6, 30)
    one, two = (
        simulate_search(ChanceSearcher(), task, LINE, seed=1, batch_size=size, progress=False).fixations
        for size in (1, 7)
    )
    pd.testing.assert_frame_equal(one, two)
    other = simulate_search(ChanceSearcher(), task, LINE, seed=2, progress=False).fixations
    assert len(other) != len(one) or (other["x_px"] != one["x_px"]).any()


def test_visited_cells_are_painted_over_and_empty_ones_are_candidates():
    displays = make_search_displays("homo_t0", seed=0, n_trials=20, set_sizes=(4,))
    seen = []

    class Watching(ChanceSearcher):
        def begin(self, setup):
            attend = super().begin(setup)

            def watch(glance):
                seen.append((glance.trials.copy(), glance.images.copy(), glance.fixations.copy()))
                return attend(glance)

            return watch

    found = simulate_search(
        Watching(), make_array_task(displays), find_protocol("homo_t0"), batch_size=20, progress=False
    )
    filled = displays.items.groupby("stimulus_id")["cell"].agg(set).to_dict()
    moved = found.fixations[found.fixations["index"] > 0]
    cells = displays.cells[moved["y_px"].astype(int), moved["x_px"].astype(int)]
    empty = [cell not in filled[name] for name, cell in zip(moved["stimulus_id"], cells, strict=True)]
    assert np.mean(empty) > 0.4
    for trials, images, fixations in seen[1:]:
        for trial, image, (row, column) in zip(trials, images, fixations, strict=True):
            assert (image[displays.cells == displays.cells[row, column]] == 255).all()
            untouched = displays.cells == displays.trials["target_cell"].iloc[trial]
            np.testing.assert_array_equal(image[untouched][:, 0], displays.images[trial][untouched])


def test_maps_are_kept_on_request():
    task = make_filled_task(4, 5)
    assert not simulate_search(Told(), task, LINE, progress=False).maps
    found = simulate_search(ChanceSearcher(), task, LINE, keep_maps=True, progress=False)
    for name, maps in found.maps.items():
        n = found.trials.set_index("stimulus_id").loc[name, "n_saccades"]
        assert maps.shape == (n, 12, 48)
        assert maps.dtype == np.float32


class Fixed:
    """Prefers one place, then others by their distance from it."""

    name = "fixed"

    def __init__(self, row, column):
        self.place = row, column

    def begin(self, setup):
        down, across = (np.arange(n) - k for n, k in zip(setup.task.size_px, self.place, strict=True))
        preference = -np.hypot(down[:, None], across)
        return lambda glance: np.repeat(preference[None], len(glance.trials), axis=0)


def make_scenes(folder, boxes, size_px=(60, 80)):
    rng = np.random.default_rng(0)
    rows = []
    for number, box in enumerate(boxes):
        Image.fromarray(rng.integers(0, 255, (*size_px, 3), dtype=np.uint8)).save(folder / f"{number}.png")
        rows.append((f"scene-{number}", f"{number}.png", *box, *size_px))
    table = pd.DataFrame(rows, columns=["stimulus_id", "path", *BOX, "height_px", "width_px"])
    return StimulusSet("scenes", table.set_index("stimulus_id"), folder, (2.0, 80 / 30))


SCENES = SearchProtocol(
    "scenes", 5, found_px=8, weighting="equal", uses_cells=False, size_px=(30, 40), target_px=6
)


def test_scenes_start_with_a_look_and_do_not_return(tmp_path):
    # The second target is in the middle, where the search starts; the third is far from where it goes.
    stimuli = make_scenes(tmp_path, [(4, 4, 12, 12), (28, 36, 36, 44), (52, 70, 60, 80)])
    task = make_scene_task(stimuli, SCENES)
    assert [target.shape for target in task.targets] == [(6, 6, 3)] * 3
    found = simulate_search(Fixed(4, 4), task, SCENES, progress=False)
    assert found.trials["found"].tolist() == [True, True, False]
    assert found.trials["n_saccades"].tolist() == [1, 0, 5]
    # Reported in pixels of the files, twice as large.
    paths = dict(list(found.fixations.groupby("stimulus_id")))
    assert paths["scene-0"][["x_px", "y_px"]].to_numpy().tolist() == [[41.0, 31.0], [9.0, 9.0]]
    np.testing.assert_allclose(found.trials[BOX], stimuli.table[BOX])
    far = paths["scene-2"][["x_px", "y_px"]].to_numpy() / 2
    for number, place in enumerate(far):
        offset = np.abs(far[:number] - place)
        assert (offset.max(axis=1) >= 3.5).all()


def test_targets_are_cut_out_or_read_from_files(tmp_path):
    stimuli = make_scenes(tmp_path, [(10, 20, 22, 32)])
    protocol = SearchProtocol("scenes", 5, found_px=8, uses_cells=False)
    cut = make_scene_task(stimuli, protocol).targets[0]
    np.testing.assert_array_equal(cut, stimuli.load("scene-0")[10:22, 20:32])
    Image.new("RGB", (7, 9), (1, 2, 3)).save(tmp_path / "crop.png")
    own = StimulusSet("own", stimuli.table.assign(target_path="crop.png"), tmp_path, stimuli.size_dva)
    assert make_scene_task(own, protocol).targets[0].shape == (9, 7, 3)


def test_what_is_out_of_sight_is_not_fixated():
    task = make_filled_task(6, 10)

    class Tunnel(Blind):
        name = "tunnel"

        def begin(self, setup):
            def attend(glance):
                maps = np.full((len(glance.trials), *setup.task.size_px), -np.inf)
                for row, (_, column) in enumerate(glance.fixations):
                    maps[row, :, max(column - 13, 0) : column + 14] = 1
                return maps

            return attend

    found = simulate_search(Tunnel(), task, LINE, progress=False)
    assert found.trials["found"].all()
    steps = found.fixations.groupby("stimulus_id")["x_px"].diff().abs().dropna()
    # Where everything in sight has been visited, the nearest open place is next.
    assert (steps <= 13).mean() > 0.7


def test_protocols_are_those_of_the_paper():
    limits = {"orientation": 17, "curvature": 37, "intersection": 10, "lighting": 17, "objects": 7}
    limits |= {"natural-design": 66, "waldo": 81}
    assert {name: protocol.max_saccades for name, protocol in PROTOCOLS.items()} == limits
    assert find_protocol("Ts").background == 255
    assert find_protocol("top_down").background == 27
    assert find_protocol("hetero_t0") is find_protocol("homo_t20") is PROTOCOLS["orientation"]


def test_wrong_input_is_refused(tmp_path):
    task = make_filled_task(3, 2)
    with pytest.raises(ValueError, match="task 'filled' has no cells"):
        simulate_search(
            Blind(),
            SearchTask("filled", task.trials, task.load, task.targets, task.size_px),
            LINE,
            progress=False,
        )
    wrong = SearchTask(
        "wrong", task.trials, lambda n: np.zeros((3, 3)), task.targets, task.size_px, task.cells
    )
    with pytest.raises(ValueError, match=r"images of task 'wrong' must be uint8 \(12, 36, 3\)"):
        simulate_search(Blind(), wrong, LINE, progress=False)
    stimuli = make_scenes(tmp_path, [(4, 4, 12, 12)])
    poor = StimulusSet("poor", stimuli.table.drop(columns=BOX[:1]), tmp_path, (2.0, 2.0))
    with pytest.raises(ValueError, match="target_top_px"):
        make_scene_task(poor, SCENES)
    boxless = StimulusSet("boxless", stimuli.table.assign(target_top_px=np.nan), tmp_path, (2.0, 2.0))
    with pytest.raises(ValueError, match="target boxes of 'boxless' must be finite"):
        make_scene_task(boxless, SCENES)
    with pytest.raises(ValueError, match="kernels must be two pairs of an odd size"):
        SearchProtocol("even", 5, kernels=((4, 1), (5, 3)))
    with pytest.raises(ValueError, match="weighting must be 'maximum' or 'equal'"):
        SearchProtocol("odd", 5, weighting="best")
