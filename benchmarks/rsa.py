"""RDMs, their comparison and ceilings: ours against rsatoolbox, in alternation in one process.

    python benchmarks/rsa.py [--stimuli 500 --neuroids 5000 --subjects 8 --pairs 5]

Prints one line per task: median seconds, their ratio and the largest difference of the results.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from neurovis.metrics.rdm import compare_rdms, compute_rdm
from neurovis.metrics.rsa import compute_rsa_ceiling

METHODS = {"pearson_r": "corr", "spearman_r": "spearman", "rho_a": "rho-a", "kendall_tau_a": "tau-a"}
METHODS["cosine"] = "cosine"


def measure(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, np.asarray(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("stimuli", 500), ("neuroids", 5000), ("subjects", 8), ("pairs", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    # The peer's plotting needs a newer scikit-learn than Brain-Score allows; its numerical parts do not.
    sys.modules.setdefault("rsatoolbox.vis", ModuleType("rsatoolbox.vis"))
    import rsatoolbox
    from rsatoolbox.inference import boot_noise_ceiling

    rng = np.random.default_rng(options.seed)
    patterns = rng.normal(size=(options.stimuli, options.neuroids))
    n_pairs = options.stimuli * (options.stimuli - 1) // 2
    rdms = rng.normal(size=n_pairs) + rng.normal(size=(options.subjects, n_pairs))
    theirs = rsatoolbox.rdm.RDMs(rdms)
    two = rsatoolbox.rdm.RDMs(rdms[:2])
    data = rsatoolbox.data.Dataset(patterns)
    tasks: dict[str, tuple[Callable, Callable]] = {
        "RDM, correlation": (
            lambda: compute_rdm(patterns),
            lambda: rsatoolbox.rdm.calc_rdm(data, method="correlation").dissimilarities[0],
        ),
        "ceiling, cosine": (
            lambda: compute_rsa_ceiling(rdms, comparison="cosine"),
            lambda: boot_noise_ceiling(theirs, method="cosine"),
        ),
    }
    for ours, method in METHODS.items():
        tasks[f"compare, {ours}"] = (
            lambda ours=ours: compare_rdms(rdms[:2], rdms[:2], comparison=ours),
            lambda method=method: rsatoolbox.rdm.compare(two, two, method=method),
        )
    print(
        f"{options.stimuli} stimuli, {options.neuroids} neuroids, {options.subjects} subjects, threads "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')}, seed {options.seed}"
    )
    for name, (ours, peer) in tasks.items():
        measure(ours), measure(peer)
        rounds = [(measure(peer), measure(ours)) for _ in range(options.pairs)]
        peer_s, ours_s = (statistics.median(entry[side][0] for entry in rounds) for side in (0, 1))
        ratio = statistics.median(p[0] / o[0] for p, o in rounds)
        difference = np.abs(rounds[0][0][1] - rounds[0][1][1]).max()
        print(
            f"{name:24s} peer {peer_s:8.4f} s  ours {ours_s:8.4f} s  ratio {ratio:6.1f}  "
            f"largest difference {difference:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
