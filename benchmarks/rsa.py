"""RDMs, their comparison, bootstrap, permutation and ceilings: ours against rsatoolbox, in alternation.

    python benchmarks/rsa.py [--stimuli 1000 --neuroids 10000 --subjects 8 --resamples 50 --pairs 5]

Comparisons are of all subjects with two models. Prints one line per task: median seconds, median ratio over
pairs of runs, the largest difference of the results and the peaks of new memory (in runs of their own).
"""

import argparse
import os
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from neurovis.core import make_rng
from neurovis.metrics.rdm import compare_rdms, compute_rdm
from neurovis.metrics.rsa import RsaBootstrap, bootstrap_rsa, compute_rsa_ceiling, compute_rsa_p_value

METHODS = {
    "cosine": "cosine",
    "pearson_r": "corr",
    "spearman_r": "spearman",
    "rho_a": "rho-a",
    "kendall_tau_a": "tau-a",
    "whitened_cosine": "cosine_cov",
    "whitened_pearson_r": "corr_cov",
}


def measure(function: Callable[[], Any]) -> tuple[float, NDArray]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, np.asarray(result)


def measure_peak(function: Callable[[], Any]) -> float:
    """Peak of newly allocated memory [MB]."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return peak


def bootstrap_theirs(toolbox: Any, subjects: Any, model: Any, method: str, n: int, ceiling: bool) -> NDArray:
    """The peer's bootstrap over stimuli on our draws, so that the results can be compared."""
    rng = make_rng(0, "bootstrap-rsa")
    draws = iter([rng.integers(subjects.n_cond, size=subjects.n_cond) for _ in range(n)])
    with (
        mock.patch("numpy.random.randint", side_effect=draws),
        mock.patch("tqdm.trange", range),
    ):
        fixed = toolbox.model.ModelFixed("model", model)
        result = toolbox.inference.eval_bootstrap_pattern(
            fixed, subjects, method=method, N=n, boot_noise_ceil=ceiling
        )
    similarity = result.evaluations.reshape(n, 1)
    return np.hstack([similarity, result.noise_ceiling.T]) if ceiling else similarity


def permute_theirs(toolbox: Any, subjects: Any, model: Any, method: str, n: int) -> float:
    """The p of a permutation test made of the peer's own steps."""
    rng = make_rng(0, "permutation-rsa")
    observed = toolbox.rdm.compare(subjects, model, method=method).mean()
    reached = 0
    for _ in range(n):
        order = rng.permutation(subjects.n_cond)
        moved = toolbox.rdm.rdms.permute_rdms(model, p=order)
        reached += toolbox.rdm.compare(subjects, moved, method=method).mean() >= observed
    return (1 + reached) / (1 + n)


def stack(samples: RsaBootstrap) -> NDArray:
    return np.hstack([samples.similarity, samples.ceiling])


def make_tasks(toolbox: Any, options: argparse.Namespace) -> dict[str, tuple[Callable, Callable]]:
    rng = np.random.default_rng(options.seed)
    patterns = rng.normal(size=(options.stimuli, options.neuroids)) + rng.normal(size=options.neuroids)
    shared = compute_rdm(rng.normal(size=(options.stimuli, 50)))
    rdms = shared + rng.normal(size=(options.subjects, len(shared))) * shared.std()
    models = (shared + rng.normal(size=(2, len(shared))) * shared.std()).clip(1e-3)
    theirs, their_models = toolbox.rdm.RDMs(rdms), toolbox.rdm.RDMs(models)
    one, their_one = models[:1], toolbox.rdm.RDMs(models[:1])
    two, their_two = rdms[:2], toolbox.rdm.RDMs(rdms[:2])
    data = toolbox.data.Dataset(patterns)
    n = options.resamples
    tasks: dict[str, tuple[Callable, Callable]] = {
        "RDM, correlation": (
            lambda: compute_rdm(patterns),
            lambda: toolbox.rdm.calc_rdm(data, method="correlation").dissimilarities[0],
        ),
        "bootstrap, cosine": (
            lambda: (
                bootstrap_rsa(
                    two[:1], one, comparison="cosine", resample="stimuli", n_bootstraps=n
                ).similarity
            ),
            lambda: bootstrap_theirs(toolbox, toolbox.rdm.RDMs(two[:1]), their_one, "cosine", n, False),
        ),
        "bootstrap and ceiling, cosine": (
            lambda: stack(bootstrap_rsa(rdms, one, comparison="cosine", resample="stimuli", n_bootstraps=n)),
            lambda: bootstrap_theirs(toolbox, theirs, their_one, "cosine", n, True),
        ),
        "permutation, cosine": (
            lambda: compute_rsa_p_value(rdms, one, comparison="cosine", n_permutations=n),
            lambda: permute_theirs(toolbox, theirs, their_one, "cosine", n),
        ),
        "permutation, spearman_r": (
            lambda: compute_rsa_p_value(two, one, comparison="spearman_r", n_permutations=n),
            lambda: permute_theirs(toolbox, their_two, their_one, "spearman", n),
        ),
    }
    for ours in ("cosine", "pearson_r", "spearman_r"):
        tasks[f"ceiling, {ours}"] = (
            lambda ours=ours: compute_rsa_ceiling(rdms, comparison=ours),
            lambda ours=ours: toolbox.inference.boot_noise_ceiling(theirs, method=METHODS[ours]),
        )
    for ours, method in METHODS.items():
        tasks[f"compare, {ours}"] = (
            lambda ours=ours: compare_rdms(rdms, models, comparison=ours),
            lambda method=method: toolbox.rdm.compare(theirs, their_models, method=method),
        )
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = {"stimuli": 300, "neuroids": 3000, "subjects": 8, "resamples": 20, "pairs": 5, "seed": 0}
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", default="", help="tasks whose name contains this")
    options = parser.parse_args()
    # The peer's plotting needs a newer scikit-learn than Brain-Score allows; its numerical parts do not.
    sys.modules.setdefault("rsatoolbox.vis", ModuleType("rsatoolbox.vis"))
    import rsatoolbox

    print(
        f"{options.stimuli} stimuli, {options.neuroids} neuroids, {options.subjects} subjects, "
        f"{options.resamples} resamples, threads {os.environ.get('OMP_NUM_THREADS', 'all')}, "
        f"seed {options.seed}, {options.pairs} pairs of runs"
    )
    for name, (ours, peer) in make_tasks(rsatoolbox, options).items():
        if options.only not in name:
            continue
        peaks = [measure_peak(peer), measure_peak(ours)]
        rounds = [(measure(peer), measure(ours)) for _ in range(options.pairs)]
        peer_s, ours_s = (statistics.median(entry[side][0] for entry in rounds) for side in (0, 1))
        ratio = statistics.median(p[0] / o[0] for p, o in rounds)
        difference = np.abs(rounds[0][0][1] - rounds[0][1][1]).max()
        print(
            f"{name:29s} peer {peer_s:8.4f} s  ours {ours_s:8.4f} s  ratio {ratio:6.1f}  "
            f"largest difference {difference:.1e}  peak MB {peaks[0]:7.1f} / {peaks[1]:7.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
