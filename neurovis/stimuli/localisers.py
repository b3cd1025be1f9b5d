"""Block designs of functional localisers: category blocks in balanced order, with one-back targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from neurovis.core import check_array, make_rng


def make_localiser_events(
    stimulus_ids: Mapping[str, Sequence[str]],
    *,
    n_blocks: int,
    block_s: float,
    stimulus_s: float,
    gap_s: float,
    rest_s: float,
    seed: int,
    one_back_rate: float = 0.1,
) -> pd.DataFrame:
    """Events of one localiser run, as a BIDS events table.

    Parameters
    ----------
    stimulus_ids : mapping of str to sequence of str
        Category -> stimuli to draw from (without replacement inside a block).
    n_blocks : int
        Blocks of each category in the run; every round of all categories has its own random order, and no
        category follows itself.
    block_s, stimulus_s, gap_s, rest_s : float
        Duration of a block, of one stimulus, of the blank between stimuli and of the rest after a block [s].
    seed : int
        Decides order, stimuli and repeats.
    one_back_rate : float
        Share of stimuli replaced by a repeat of the one before, for a one-back task, 0 to 1.

    Returns
    -------
    pandas.DataFrame
        Columns ``onset, duration`` [s], ``trial_type`` (category), ``stimulus_id``, ``block``, ``one_back``.
        The run begins and ends with a rest.

    Raises
    ------
    ValueError
        If a category has fewer stimuli than a block shows, or a block holds no stimulus.
    """
    check_array("one_back_rate", one_back_rate, ndim=0, minimum=0, maximum=1)
    check_array("n_blocks", n_blocks, ndim=0, minimum=1)
    per_block = int(block_s / (stimulus_s + gap_s) + 1e-9)
    if per_block < 1:
        raise ValueError(
            f"block_s must hold at least one stimulus of {stimulus_s + gap_s} s, got {block_s}; lengthen it."
        )
    for category, ids in stimulus_ids.items():
        if len(ids) < per_block:
            raise ValueError(
                f"stimulus_ids[{category!r}] must have at least {per_block} stimuli for a block of "
                f"{block_s} s, got {len(ids)}; add stimuli or shorten the blocks."
            )
    rng = make_rng(seed, "localiser")
    onset, rows, order = rest_s, [], _order_blocks(rng, list(stimulus_ids), n_blocks)
    for block, category in enumerate(order):
        shown = list(rng.choice(np.asarray(stimulus_ids[category]), per_block, replace=False))
        repeated = rng.random(per_block) < one_back_rate
        for position in range(per_block):
            one_back = bool(position and repeated[position])
            if one_back:
                shown[position] = shown[position - 1]
            start = onset + position * (stimulus_s + gap_s)
            rows.append((start, stimulus_s, category, str(shown[position]), block, one_back))
        onset += block_s + rest_s
    return pd.DataFrame(rows, columns=["onset", "duration", "trial_type", "stimulus_id", "block", "one_back"])


def _order_blocks(rng: np.random.Generator, categories: list[str], n_rounds: int) -> list[str]:
    order: list[str] = []
    for _ in range(n_rounds):
        permuted = [categories[i] for i in rng.permutation(len(categories))]
        if order and len(categories) > 1 and permuted[0] == order[-1]:
            permuted = permuted[1:] + permuted[:1]
        order += permuted
    return order
