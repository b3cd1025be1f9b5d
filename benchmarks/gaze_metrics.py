"""MultiMatch, ScanMatch and areas under the ROC curve: ours against libraries, in alternation.

    python benchmarks/gaze_metrics.py [--scanpaths 1000 --maps 20 --rounds 5]

Peers: multimatch-gaze; for ScanMatch the dynamic programme of the toolbox, with its table in a NumPy array as
in public ports, and in plain lists, which are faster; for AUC scikit-learn's ``roc_auc_score`` and, where it
is installed, pysaliency. As many pairs as scanpaths. Prints one line per task: median seconds, median ratio
over rounds, and the largest difference of the results. Seconds are of the processor, which other programs
change little.

``--floor`` prints what no exact area can do without, beside pysaliency, which sorts a map once for all its
fixations. For the uniform AUC of 768 x 1024 values that is reading the range (0.3 ms), putting every value
into a class and counting the classes (1.5 ms), where pysaliency takes 6.7 ms: at most 3.6 times. For the
shuffled AUC over 100 maps it is taking 14,000 values from a map that has left the cache and sorting them
(0.2 ms), where pysaliency takes 0.55 ms: at most 2.9 times. Ours took 3.2 ms (2.1 times) and 0.26 ms (2.1
times) when these were measured, on a loaded machine, the least of 25 runs.
"""

import argparse
import importlib
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.metrics.multimatch import compute_multimatch
from neurovis.metrics.saliency import compute_nss
from neurovis.metrics.saliency_auc import compute_auc, compute_auc_judd, compute_shuffled_auc
from neurovis.metrics.scanmatch import compute_scanmatch, make_substitution_scores

SCREEN = (768, 1024)
GRID = (8, 12)
THRESHOLD = 3.5
SIMPLIFY = {"amplitude_px": 100.0, "direction_deg": 45.0, "duration_s": 0.2}
Task = tuple[Callable[[], Any], Callable[[], Any]]


def measure(function: Callable[[], Any]) -> tuple[float, NDArray]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, np.asarray(result, dtype=float)


def draw_scanpaths(rng: np.random.Generator, n: int) -> list[NDArray[np.float64]]:
    """Walks over the screen with the numbers and durations of fixations of some seconds of free viewing."""
    paths = []
    for n_fixations in rng.integers(8, 21, n):
        walk = rng.normal(scale=180, size=(n_fixations, 2)).cumsum(axis=0)
        # Reflected at the borders.
        xy = np.abs(np.add(walk, (1536, 1152)) % (2048, 1536) - (1024, 768)).clip(0, (1023, 767))
        paths.append(np.column_stack([xy, rng.gamma(4, 0.06, n_fixations)]))
    return paths


def ask_multimatch(
    first: list[NDArray], second: list[NDArray], simplify: dict[str, float] | None = None
) -> list[Any]:
    import multimatch_gaze

    options: dict[str, Any] = {}
    if simplify:
        options = {
            "grouping": True,
            "TAmp": simplify["amplitude_px"],
            "TDir": simplify["direction_deg"],
            "TDur": simplify["duration_s"],
        }
    fields = [(name, float) for name in ("start_x", "start_y", "duration")]
    own, other = (
        [np.array([tuple(row) for row in path.tolist()], dtype=fields) for path in paths]
        for paths in (first, second)
    )
    return [
        multimatch_gaze.docomparison(a, b, [SCREEN[1], SCREEN[0]], **options)
        for a, b in zip(own, other, strict=True)
    ]


def scanmatch_plainly(
    first: list[NDArray], second: list[NDArray], bin_s: float | None, *, lists: bool
) -> list[float]:
    """Strings of regions and one table after the other, as in the toolbox."""
    matrix = make_substitution_scores(GRID, THRESHOLD)
    scores = matrix.tolist()

    def make_string(path: NDArray) -> list[int]:
        string = []
        for x, y, seconds in path.tolist():
            region = int(y * GRID[0] / SCREEN[0]) * GRID[1] + int(x * GRID[1] / SCREEN[1])
            string += [region] * (1 if bin_s is None else round(seconds / bin_s))
        return string

    result = []
    for own, other in zip(first, second, strict=True):
        a, b = make_string(own), make_string(other)
        longer = max(len(a), len(b))
        if not lists:
            filled = np.zeros((len(a) + 1, len(b) + 1))
            for i in range(1, len(a) + 1):
                for j in range(1, len(b) + 1):
                    match = filled[i - 1, j - 1] + matrix[a[i - 1], b[j - 1]]
                    filled[i, j] = max(match, filled[i - 1, j], filled[i, j - 1])
            result.append(filled.max() / (THRESHOLD * longer))
            continue
        table = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                match = table[i - 1][j - 1] + scores[a[i - 1]][b[j - 1]]
                table[i][j] = max(match, table[i - 1][j], table[i][j - 1])
        result.append(max(map(max, table)) / (THRESHOLD * longer))
    return result


def make_scanpath_tasks(options: argparse.Namespace) -> dict[str, Task]:
    rng = np.random.default_rng(options.seed)
    paths = draw_scanpaths(rng, options.scanpaths)
    first, second = paths, [paths[k] for k in rng.permutation(len(paths))]

    def scanmatch(bin_s: float | None, *, lists: bool) -> Task:
        return (
            lambda: compute_scanmatch(
                first, second, size_px=SCREEN, grid=GRID, threshold=THRESHOLD, bin_s=bin_s
            ),
            lambda: scanmatch_plainly(first, second, bin_s, lists=lists),
        )

    return {
        "MultiMatch / multimatch-gaze": (
            lambda: compute_multimatch(first, second, size_px=SCREEN),
            lambda: ask_multimatch(first, second),
        ),
        "MultiMatch, simplified": (
            lambda: compute_multimatch(first, second, size_px=SCREEN, **SIMPLIFY),
            lambda: ask_multimatch(first, second, SIMPLIFY),
        ),
        "ScanMatch, 50 ms / array": scanmatch(0.05, lists=False),
        "ScanMatch, 50 ms / lists": scanmatch(0.05, lists=True),
        "ScanMatch, regions / array": scanmatch(None, lists=False),
        "ScanMatch, regions / lists": scanmatch(None, lists=True),
    }


def make_map_tasks(options: argparse.Namespace) -> dict[str, Task]:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(options.seed)
    y, x = np.mgrid[: SCREEN[0], : SCREEN[1]]
    maps, fixations = [], []
    for _ in range(options.maps):
        centre = rng.uniform((300, 200), (700, 550))
        blob = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * 150.0**2))
        maps.append(blob + 0.2 * rng.random(SCREEN))
        fixations.append(rng.normal(centre, 120, (140, 2)).clip(0, (1023, 767)))

    def ask_sklearn() -> list[float]:
        result = []
        for values, xy in zip(maps, fixations, strict=True):
            columns, rows = xy.astype(int).T
            label = np.concatenate([np.ones(len(xy), bool), np.zeros(values.size, bool)])
            result.append(roc_auc_score(label, np.concatenate([values[rows, columns], values.ravel()])))
        return result

    def each(metric: Callable[..., Any]) -> list[Any]:
        return [metric(values, xy) for values, xy in zip(maps, fixations, strict=True)]

    tasks: dict[str, Task] = {
        "AUC / scikit-learn": (lambda: [own.mean() for own in each(compute_auc)], ask_sklearn)
    }
    try:
        pysaliency = importlib.import_module("pysaliency")
    except ImportError:
        print("pysaliency is not installed: its lines are left out")
        return tasks
    model, stimuli, table = _describe_to_pysaliency(pysaliency, maps, fixations)

    return tasks | {
        "AUC / pysaliency": (
            lambda: np.concatenate(each(compute_auc)),
            lambda: model.AUCs(stimuli, table, nonfixations="uniform"),
        ),
        "AUC-Judd / pysaliency": (
            lambda: np.mean(each(compute_auc_judd)),
            lambda: model.AUC_Judd(stimuli, table),
        ),
        "shuffled AUC / pysaliency": (
            lambda: np.concatenate(compute_shuffled_auc(maps, fixations)),
            lambda: model.AUCs(stimuli, table, nonfixations="shuffled"),
        ),
        "NSS / pysaliency": (
            lambda: np.concatenate(each(compute_nss)),
            lambda: model.NSSs(stimuli, table),
        ),
    }


def _describe_to_pysaliency(
    pysaliency: Any, maps: list[NDArray], fixations: list[NDArray]
) -> tuple[Any, Any, Any]:
    class Maps(pysaliency.SaliencyMapModel):
        def _saliency_map(self, stimulus: NDArray) -> NDArray:
            return maps[int(stimulus[0, 0])]

    # Images that differ, so that the library can tell them apart; it computes their identity once.
    stimuli = pysaliency.Stimuli([np.full(SCREEN, number, dtype=np.uint8) for number in range(len(maps))])
    model = Maps()
    for stimulus in stimuli.stimulus_objects:
        model.saliency_map(stimulus)
    x, y = np.concatenate(fixations).T
    numbers = np.repeat(np.arange(len(maps)), [len(xy) for xy in fixations])
    return model, stimuli, pysaliency.Fixations.create_without_history(x=x, y=y, n=numbers)


def print_floors(options: argparse.Namespace) -> None:
    """Milliseconds a map of the steps that every exact area needs, the least of 25 runs over all maps."""
    rng = np.random.default_rng(options.seed)
    maps = [rng.random(SCREEN[0] * SCREEN[1]) for _ in range(options.maps)]
    places = np.sort(rng.integers(maps[0].size, size=140 * options.maps))
    size, n_classes = 1 << 15, 1 << 13  # pieces that stay in cache

    def read_range(values: NDArray) -> None:
        for start in range(0, values.size, size):
            piece = values[start : start + size]
            piece.min(), piece.max()

    def count_classes(values: NDArray) -> None:
        scaled, narrow = np.empty(size), np.empty(size, dtype=np.int32)
        for start in range(0, values.size, size):
            np.multiply(values[start : start + size], n_classes, out=scaled)
            narrow[:] = scaled
            np.bincount(narrow.astype(np.intp), minlength=n_classes)

    steps: dict[str, Callable[[NDArray], Any]] = {
        "uniform: range": read_range,
        "uniform: classes, counted": count_classes,
        "uniform: full sort instead": np.sort,
        "shuffled: take": lambda values: values.take(places),
        "shuffled: take and sort": lambda values: np.sort(values.take(places)),
    }
    for name, step in steps.items():
        runs = []
        for _ in range(25):
            start = time.process_time()
            for values in maps:
                step(values)
            runs.append(time.process_time() - start)
        print(f"floor, {name:26s} {1000 * min(runs) / len(maps):7.3f} ms a map")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {"scanpaths": 1000, "maps": 20, "rounds": 5, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    parser.add_argument("--floor", action="store_true", help="print what exact areas cannot do without")
    options = parser.parse_args()
    print(
        f"{options.scanpaths} scanpaths of 8-20 fixations, {options.maps} maps of "
        f"{SCREEN[0]} x {SCREEN[1]} px, threads {os.environ.get('OMP_NUM_THREADS', 'all')}, seed "
        f"{options.seed}, {options.rounds} rounds"
    )
    if options.floor:
        print_floors(options)
        return
    for name, (ours, peer) in {**make_scanpath_tasks(options), **make_map_tasks(options)}.items():
        if options.only not in name:
            continue
        first = measure(peer), measure(ours)  # also the warm-up of both
        rounds = [(measure(peer)[0], measure(ours)[0]) for _ in range(options.rounds)]
        peer_s, ours_s = (statistics.median(entry[side] for entry in rounds) for side in (0, 1))
        ratio = statistics.median(theirs / own for theirs, own in rounds)
        difference = np.nanmax(np.abs(first[0][1] - first[1][1]))
        print(
            f"{name:29s} peer {peer_s:8.4f} s  ours {ours_s:8.4f} s  ratio {ratio:6.1f}  "
            f"largest difference {difference:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
