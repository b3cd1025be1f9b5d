"""Test sets of the Natural Scenes Dataset, each with the release and the rule that made it.

Which shared images a subject saw, and how often, depends on the sessions: results on "the shared images" are
comparable only between equal rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import check_option
from neurovis.datasets.nsd_layout import N_SESSIONS, N_SHARED, N_TRIALS, Design

RULES = {
    "shared1000": "the shared images that the subject saw at least once",
    "shared907": "the shared images that all eight subjects saw at least once in all their sessions",
    "shared515": "the shared images that all eight subjects saw three times in all their sessions",
    "mindeye1-982": "the shared images that the subject saw at least once in sessions 1-37",
}
RELEASES = {
    40: "all sessions, public since 2023-08-20",
    37: "sessions public before 2023-08-20, the last three of each subject held out",
}
_MINDEYE1_SUBJECTS = ("1", "2", "5", "7")


@dataclass(frozen=True)
class TestSet:
    """Held-out images.

    Parameters
    ----------
    nsd_id : array of shape (n,)
        Images, from 0.
    release, rule : str
        What of the data set the rule looks at, and the rule.
    """

    __test__ = False  # not a class of tests, whatever its name says to pytest

    nsd_id: NDArray[np.int64]
    release: str
    rule: str


def find_last_session(test_set: str | Sequence[str] | None, subject: str) -> int:
    """Last session that may be read with a test set: 37 for MindEye1's, else the subject's last.

    Raises
    ------
    ValueError
        If the test set is unknown or not defined for the subject.
    """
    if isinstance(test_set, str):
        check_option("test_set", test_set, RULES, remedy="or pass a list of stimulus ids, or None")
    if test_set != "mindeye1-982":
        return N_SESSIONS[subject]
    check_option("subject", subject, _MINDEYE1_SUBJECTS, remedy="test_set 'mindeye1-982' has only these")
    return 37


def make_test_set(
    test_set: str | Sequence[str] | None, design: Design, subject: str, trials: pd.DataFrame
) -> TestSet:
    """Images to hold out.

    Parameters
    ----------
    test_set : str, sequence of str or None
        Name of a rule, the stimulus ids themselves, or none to hold out.
    design : Design
        Of the subject.
    subject : str
        "1" to "8".
    trials : pandas.DataFrame
        The trials that are read; images that none of them shows are left out of a named set.

    Raises
    ------
    ValueError
        If an id was not shown, or no image of the set was.
    """
    shown = trials["nsd_id"].unique()
    release = RELEASES[37 if test_set == "mindeye1-982" else 40]
    if test_set is None:
        return TestSet(np.empty(0, dtype=np.int64), release, "none held out")
    if not isinstance(test_set, str):
        wanted = set(map(str, test_set))
        missing = sorted(wanted - set(trials["stimulus_id"]))
        if missing or not wanted:
            raise ValueError(
                f"test_set must name images that subject {subject} saw in these sessions, got "
                f"{len(missing)} others of {len(wanted)} {missing[:1]}; write ids as nsd_00013, from 0."
            )
        ids = trials.loc[trials["stimulus_id"].isin(wanted), "nsd_id"].unique()
        return TestSet(np.sort(ids), release, f"{len(wanted)} images named by the caller")
    ids = np.intersect1d(_apply_rule(test_set, design), shown)
    if not len(ids):
        raise ValueError(
            f"test_set {test_set!r} must hold images of these sessions, got none; read more sessions."
        )
    return TestSet(ids, release, f"{test_set}: {RULES[test_set]}; all other images train")


def _apply_rule(name: str, design: Design) -> NDArray[np.int64]:
    if name == "shared1000":
        return design.shared
    last, least = {
        "shared907": (min(N_SESSIONS.values()), 1),
        "shared515": (min(N_SESSIONS.values()), 3),
        "mindeye1-982": (37, 1),
    }[name]
    # All subjects share the order, so who had the fewest sessions saw each image the least often.
    counts = np.bincount(design.order[: last * N_TRIALS], minlength=N_SHARED)[:N_SHARED]
    return design.shared[counts >= least]
