"""Responses made ready for a split without leakage: z-scored within sessions, repeats averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import NeuralData, StimulusSet, average_repeats, check_neural_data, check_option, make_rng
from neurovis.metrics.trials import zscore_trials

ROWS = ("presentation", "stimulus")
"""Rows that can be split by stimulus."""


def zscore_sessions(data: NeuralData, *, reference: ArrayLike | None = None) -> NeuralData:
    """Z-score every neuroid within each session, with statistics of reference trials only.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation", no time dimension, finite; data without the coordinate ``session`` count as one
        session.
    reference : array of bool, shape (n_presentations,), optional
        Trials that give mean and standard deviation: the training trials of a split. All by default.

    Returns
    -------
    NeuralData
        In units "z". A neuroid that is constant over the reference trials of a session is 0 there.

    Raises
    ------
    ValueError
        If a session has fewer than two reference trials, or a response is not finite.

    Notes
    -----
    Removes offsets and gains that differ between sessions, as the noise ceiling of Allen et al. (Nature
    Neuroscience 2022) assumes. Statistics of training trials only keep the held-out responses out of the
    fitted model.
    """
    check_neural_data(data, rows="presentation")
    n = data.sizes["presentation"]
    chosen = np.ones(n, dtype=bool) if reference is None else np.asarray(reference)
    if chosen.shape != (n,) or chosen.dtype != bool:
        raise ValueError(
            f"reference must be a boolean mask of the {n} presentations, got {chosen.dtype} of shape "
            f"{chosen.shape}; compare a coordinate, e.g. np.isin(data['stimulus_id'], training_ids)."
        )
    if not np.isfinite(data.values).all():
        bad = int((~np.isfinite(data.values)).any(axis=0).sum())
        raise ValueError(f"data must be finite, got NaN or infinity in {bad} neuroids; drop those neuroids.")
    session = data["session"].values if "session" in data.coords else np.zeros(n, dtype=int)
    values = np.empty(data.shape, dtype=np.result_type(data.dtype, np.float32))
    for label in np.unique(session):
        here = session == label
        n_used = int(chosen[here].sum())
        if n_used < 2:
            raise ValueError(
                f"reference must hold at least 2 trials of each session, got {n_used} in session {label}; "
                "use another split or join the sessions."
            )
        values[here], _ = zscore_trials(data.values[here], chosen[here])
    return data.copy(data=values).assign_attrs(units="z")


def prepare_split(
    data: NeuralData, test_ids: Sequence[str], *, zscore: bool = True
) -> tuple[NeuralData, NeuralData, NeuralData]:
    """Training means, test means and test trials of one split by stimulus.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation" or "stimulus".
    test_ids : sequence of str
        Held-out stimuli; all others train.
    zscore : bool
        Z-score single trials within sessions on the training trials; rows "stimulus" stay as they are.

    Returns
    -------
    train, test : NeuralData
        Rows "stimulus".
    trials : NeuralData
        The test rows before averaging, for the noise ceiling.

    Raises
    ------
    ValueError
        If a test stimulus is unknown, a side of the split is smaller than three stimuli, or rows are times.
    """
    check_neural_data(data)
    check_option("rows of data", data.dims[0], ROWS, remedy="average time series within stimuli first")
    ids = data["stimulus_id"].values.astype(str)
    held_out = np.isin(ids, list(test_ids))
    unknown = sorted(set(map(str, test_ids)) - set(ids))
    n_test = len(set(ids[held_out]))
    n_train = len(set(ids[~held_out]))
    if unknown or min(n_test, n_train) < 3:
        raise ValueError(
            f"test_ids must name stimuli of data and leave at least 3 on each side, got {n_test} test and "
            f"{n_train} training stimuli and {len(unknown)} unknown ids {unknown[:1]}; check the split."
        )
    trials = data.dims[0] == "presentation"
    if trials and zscore:
        data = zscore_sessions(data, reference=~held_out)
    train, test = data[~held_out], data[held_out]
    if not trials:
        return train, test, test
    return average_repeats(train), average_repeats(test), test


def centre_groups(values: NDArray, groups: NDArray) -> NDArray[np.float64]:
    """Rows minus the mean of their group, in float64.

    Parameters
    ----------
    values : array of shape (n, k)
        Any unit.
    groups : array of shape (n,)
        Group of each row, such as its fold.
    """
    _, number, size = np.unique(groups, return_inverse=True, return_counts=True)
    member = np.zeros((len(size), len(values)))
    member[number, np.arange(len(values))] = 1 / size[number]
    return values - (member @ values)[number]


def look_up_groups(groups: Mapping[str, str], ids: Iterable[str]) -> NDArray:
    """Group of each stimulus.

    Parameters
    ----------
    groups : mapping of stimulus to group
        Of every stimulus.
    ids : iterable of str
        Stimuli.

    Returns
    -------
    array of shape (n,)

    Raises
    ------
    ValueError
        If a stimulus has none.
    """
    names = [str(item) for item in ids]
    missing = [item for item in names if item not in groups]
    if missing:
        raise ValueError(
            f"groups must name the group of every stimulus, got none for {missing[0]!r}; give a stimulus "
            "that stands alone a group of its own."
        )
    return np.array([groups[item] for item in names])


def find_test_ids(stimuli: StimulusSet, data: NeuralData) -> list[str] | None:
    """Held-out stimuli that were presented.

    Parameters
    ----------
    stimuli : StimulusSet
        A column ``split`` with "train" and "test" fixes the split.
    data : NeuralData
        Rows "presentation" or "stimulus".

    Returns
    -------
    list of str or None
        In the order of the set; None if it fixes no split.
    """
    if "split" not in stimuli.table.columns:
        return None
    presented = set(data["stimulus_id"].values.astype(str))
    return [item for item in stimuli.table.index[stimuli.table["split"] == "test"] if item in presented]


def select_training_part(
    data: NeuralData, part: tuple[int, int], *, test_ids: Sequence[str] | None = None, seed: int = 0
) -> NeuralData:
    """Only one of several disjoint parts of the training stimuli; the held-out ones stay.

    Encoders of different parts have no image in common, so that one can judge what another was used for.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation" or "stimulus".
    part : (int, int)
        Number of the part, from 1, and number of parts.
    test_ids : sequence of str, optional
        Held-out stimuli, which every part keeps.
    seed : int
        Of the assignment, which does not depend on the order of rows.

    Returns
    -------
    NeuralData
        Rows of the part in their order.

    Raises
    ------
    ValueError
        If the part does not exist or rows are times.
    """
    number, n_parts = part
    if not 1 <= number <= n_parts:
        raise ValueError(f"part must be 1/n to n/n, got {number}/{n_parts}; for example (1, 2).")
    check_option("rows of data", data.dims[0], ROWS, remedy="average time series within stimuli first")
    ids = data["stimulus_id"].values.astype(str)
    held_out = np.isin(ids, [] if test_ids is None else list(test_ids))
    training = np.unique(ids[~held_out])
    shuffled = make_rng(seed, "training part", n_parts).permutation(training)
    return data[held_out | np.isin(ids, shuffled[number - 1 :: n_parts])]
