"""Search by eccNET with the shipped network: time of every condition, and what the empty window saves.

    OMP_NUM_THREADS=1 python benchmarks/eccnet.py [--trials 2] [--conditions Ts top_down ...] [--threads 1]

Prints, for each condition, the seconds of process time and the milliseconds a fixation, once as the searcher
runs and once computing the whole window at every fixation, with the largest difference between the maps. The
published experiments have 30 or 36 displays a set size; the last line scales the measured time to them.
Process time does not count waiting for a busy machine, but a busy machine also computes more slowly.
"""

import argparse
import time

import numpy as np
import torch

from neurovis.gaze.eccnet import EccNet, _Window
from neurovis.gaze.search import make_array_task, simulate_search
from neurovis.gaze.search_protocols import find_protocol
from neurovis.gaze.vgg import load_vgg_world
from neurovis.stimuli.asymmetry_experiments import CONDITIONS, make_search_displays


def compare_windows(model: EccNet, name: str, seed: int) -> tuple[float, float, float]:
    """Milliseconds a fixation with and without the empty window, and the largest relative difference."""
    displays = make_search_displays(name, seed=seed, n_trials=1)
    task = make_array_task(displays)
    window = _Window(model, task.size_px, find_protocol(name))
    images = np.stack([task.load(number) for number in range(len(task.trials))])
    fixations = np.random.default_rng(seed).integers(0, task.size_px[0], (len(images), 2))
    found = []
    with torch.inference_mode():
        for reach in (window.reach, None):
            window.reach = reach
            window.compute_features(images, fixations)
            start = time.process_time()
            layers = window.compute_features(images, fixations)
            found.append(((time.process_time() - start) / len(images) * 1e3, layers))
    (quick, one), (whole, two) = found
    difference = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(one, two, strict=True))
    return quick, whole, difference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=2, help="displays of each set size")
    parser.add_argument("--conditions", nargs="*", default=list(CONDITIONS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, total, published = EccNet(load_vgg_world()), 0.0, 0.0
    print("condition          seconds  saccades  ms/fixation  whole window  difference")
    for name in options.conditions:
        displays = make_search_displays(name, seed=options.seed, n_trials=options.trials)
        start = time.process_time()
        found = simulate_search(model, make_array_task(displays), find_protocol(name), progress=False)
        seconds = time.process_time() - start
        quick, whole, difference = compare_windows(model, name, options.seed)
        n = int(found.trials["n_saccades"].sum())
        print(f"{name:<18} {seconds:7.1f}  {n:8d}  {quick:11.1f}  {whole:12.1f}  {difference:10.1e}")
        total += seconds
        published += seconds * CONDITIONS[name].n_trials / options.trials
    print(f"all: {total:.1f} s; with the published number of displays about {published:.0f} s")


if __name__ == "__main__":
    main()
