"""Brain-Score's regressions on wide features, as they are and after the lossless rotation.

Both run in turn in one process, ``--pairs`` times; each line gives the median ratio of wall times and the
largest difference of the scores. Run: ``OMP_NUM_THREADS=1 python benchmarks/brainscore_rotation.py``.
"""

import argparse
import os
import time
import warnings

import numpy as np
import xarray as xr

from neurovis.core import make_neural_data, make_rng
from neurovis.evaluation.brainscore_scoring import score_brainscore


def make_case(
    n_stimuli: int, n_features: int, n_neuroids: int, seed: int
) -> tuple[xr.DataArray, xr.DataArray]:
    """Features with a power-law spectrum, as network layers have, and responses planted in them."""
    rng = make_rng(seed, "brain-score rotation")
    ids = [f"im{index:04d}" for index in range(n_stimuli)]
    spectrum = np.arange(1, n_stimuli + 1) ** -0.5
    values = (rng.normal(size=(n_stimuli, n_stimuli)) * spectrum) @ rng.normal(size=(n_stimuli, n_features))
    features = xr.DataArray(values, dims=("stimulus", "feature"), coords={"stimulus_id": ("stimulus", ids)})
    signal = values @ rng.normal(size=(n_features, n_neuroids))
    signal /= signal.std(axis=0)
    data = make_neural_data(
        signal + rng.normal(size=signal.shape),
        rows="stimulus",
        row_coords={"stimulus_id": ids},
        neuroid_coords={
            "neuroid_id": [f"v{index}" for index in range(n_neuroids)],
            "subject": ["01"] * n_neuroids,
            "region": ["IT"] * n_neuroids,
        },
        units="z",
        source="planted",
    )
    return features, data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-stimuli", type=int, default=200)
    parser.add_argument("--n-features", type=int, default=25088)
    parser.add_argument("--n-neuroids", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    features, data = make_case(
        arguments.n_stimuli, arguments.n_features, arguments.n_neuroids, arguments.seed
    )
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    size = (
        f"{arguments.n_stimuli} stimuli x {arguments.n_features} features -> {arguments.n_neuroids} neuroids"
    )
    print(f"{size}, threads {threads}, {arguments.pairs} pair(s), seed {arguments.seed}")
    score_brainscore(features[:, :50], data, metric="ridge")  # imports and warms up
    for metric in ("ridge", "pls"):
        seconds, difference = {True: [], False: []}, 0.0
        for _ in range(arguments.pairs):
            raw = {}
            for rotate in (False, True):
                start = time.perf_counter()
                raw[rotate] = score_brainscore(features, data, metric=metric, rotate=rotate).raw
                seconds[rotate].append(time.perf_counter() - start)
            difference = max(difference, abs(raw[True] - raw[False]))
        plain, turned = np.median(seconds[False]), np.median(seconds[True])
        ratio = np.median(np.divide(seconds[False], seconds[True]))
        print(
            f"{metric:6s} unrotated {plain:7.2f} s  rotated {turned:6.2f} s  ratio {ratio:5.1f}  "
            f"score {raw[True]:.4f}  largest difference {difference:.1e}"
        )


if __name__ == "__main__":
    main()
