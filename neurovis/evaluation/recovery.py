"""Parameter recovery: one simulated subject from pixels to a table of results against the truth.

The fast path stops at single-trial betas. The analysis is the one for recorded data; only
:mod:`neurovis.evaluation.truth`, at the end, looks at what was planted.
"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import xarray as xr

from neurovis.core import Encoder, StimulusSet, check_option
from neurovis.datasets.simulated import SimulatedTruth, compute_true_responses, make_subject, simulate_betas
from neurovis.evaluation.encoding import evaluate_encoding
from neurovis.evaluation.preference import compute_preference
from neurovis.evaluation.truth import MATCHING_FEATURES, score_recovery


def run_recovery(
    stimuli: StimulusSet,
    features: Mapping[str, xr.DataArray],
    encoder: Encoder,
    *,
    seed: int,
    subject: str = "01",
    n_test: int = 120,
    n_test_repeats: int = 6,
    n_sessions: int = 6,
    matching: Mapping[str, str] = MATCHING_FEATURES,
    n_permutations: int = 1000,
    fdr: float = 0.05,
) -> pd.DataFrame:
    """Simulate one subject, analyse it blindly and score the analysis.

    Parameters
    ----------
    stimuli : StimulusSet
        Images with the column ``category``. The first ``n_test`` are held out and repeated, all others are
        shown once. 1,200 training and 120 test images are enough for every target.
    features : mapping of str to xarray.DataArray of dims ("stimulus", "feature")
        Feature spaces of these stimuli by name, those of ``matching`` among them.
    encoder : Encoder
        Unfitted.
    seed : int
        Of subject, order and noise.
    subject : str
        Label of the subject.
    n_test, n_test_repeats, n_sessions : int
        Held-out stimuli, their repeats, and sessions.
    matching : mapping of str to str
        Feature space by region.
    n_permutations, fdr
        As :func:`neurovis.evaluation.encoding.evaluate_encoding` and
        :func:`neurovis.evaluation.truth.score_recovery`.

    Returns
    -------
    pandas.DataFrame
        Table of :func:`neurovis.evaluation.truth.score_recovery` with the column ``seed``.

    Raises
    ------
    ValueError
        If the stimuli have no categories or are too few, or a feature space is missing.
    """
    if "category" not in stimuli.table.columns or len(stimuli) <= 2 * n_test:
        raise ValueError(
            f"stimuli must have a column 'category' and more than {2 * n_test} images, got "
            f"{len(stimuli)} with columns {list(stimuli.table.columns)}; make them with make_world."
        )
    for name in sorted(set(matching.values())):
        check_option("matching", name, features, remedy="extract that feature space")
    test_ids = stimuli.stimulus_ids[:n_test]
    n_repeats = {item: n_test_repeats if row < n_test else 1 for row, item in enumerate(stimuli.stimulus_ids)}
    brain = make_subject(subject, seed=seed)
    responses = compute_true_responses(brain, stimuli)
    data = simulate_betas(
        brain, stimuli, n_repeats=n_repeats, n_sessions=n_sessions, seed=seed, responses=responses
    )
    truth = SimulatedTruth(brain, tuple(stimuli.stimulus_ids), responses, {"seed": seed})
    results = {
        name: evaluate_encoding(
            features[name], data, encoder, test_ids=test_ids, n_permutations=n_permutations, seed=seed
        )
        for name in sorted(set(matching.values()))
    }
    categories = dict(zip(stimuli.stimulus_ids, stimuli.table["category"].astype("str"), strict=True))
    preference = compute_preference(data, categories, seed=seed)
    table = score_recovery(
        truth, results, preference=preference, categories=categories, matching=matching, fdr=fdr
    )
    table.insert(0, "seed", seed)
    return table
