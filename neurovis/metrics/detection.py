"""How well presence is told from absence."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from neurovis.core import check_array


def compute_auc(present: ArrayLike, evidence: ArrayLike) -> NDArray[np.float64]:
    """Area under the ROC curve: probability that a case with the thing has more evidence than one without.

    Parameters
    ----------
    present : array of bool of shape (n, k)
        Whether each of k things is there.
    evidence : array of shape (n, k)
        Larger where it is believed to be there; ties count half.

    Returns
    -------
    array of shape (k,)
        In [0, 1], 0.5 by chance; the Mann-Whitney statistic over the number of pairs (Hanley & McNeil,
        Radiology 1982).

    Raises
    ------
    ValueError
        If the shapes differ, a value is not finite, or a thing is in all or in none of the cases.
    """
    values = check_array("evidence", evidence, ndim=2, dtype=np.float64)
    truth = check_array("present", present, shape=values.shape).astype(bool)
    n_present = truth.sum(axis=0)
    n_absent = len(truth) - n_present
    one_sided = np.flatnonzero((n_present == 0) | (n_absent == 0))
    if len(one_sided):
        raise ValueError(
            f"present must hold cases with and without every thing, got {n_present[one_sided[0]]} of "
            f"{len(truth)} with that of column {one_sided[0]}; measure on more cases."
        )
    ranks = np.where(truth, rankdata(values, axis=0), 0.0).sum(axis=0)
    return (ranks - n_present * (n_present + 1) / 2) / (n_present * n_absent)
