"""The one form in which every study of a published data set reports its numbers.

A study answers the question of one data set (``data/<name>.yaml``) with a table: one row for each number,
each with its confidence interval, its chance level, its permutation null and the split it was measured on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array
from neurovis.metrics.significance import compute_p_value

COLUMNS = {
    "study": "name of the data set",
    "subject": "subject, or 'group' / 'mean' where subjects were combined",
    "region": "region, or 'all'",
    "quantity": "what was measured, e.g. 'accuracy, 8 categories'",
    "value": "the measured number",
    "ci_low": "lower end of its 95 % confidence interval (NaN: none is possible)",
    "ci_high": "upper end",
    "chance": "value expected without any effect (NaN: none is defined)",
    "null_95": "95th percentile of the permutation null (NaN: no permutation)",
    "p_value": "one-sided permutation p, (1 + nulls at or above value) / (1 + permutations)",
    "n": "independent cases behind the number",
    "split": "what was held out, and what the interval resamples and the null permutes",
    "reference": "number published with the data (NaN: none)",
    "note": "deviations and warnings, or empty",
}
_TEXT = ("study", "subject", "region", "quantity", "split", "note")
_NUMBERS = tuple(name for name in COLUMNS if name not in _TEXT)


@dataclass(frozen=True)
class StudyResult:
    """What every ``analyse_<name>`` returns.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns :data:`COLUMNS`, made with :func:`make_result_table`.
    figures_data : mapping of str to array
        Arrays for figures, e.g. ``"confusion"`` or ``"null_accuracy"``; the study's docstring names them.
    """

    table: pd.DataFrame
    figures_data: Mapping[str, NDArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_result_table(self.table)


def make_result_row(
    *,
    study: str,
    quantity: str,
    value: float,
    n: int,
    split: str,
    subject: str = "group",
    region: str = "all",
    ci: tuple[float, float] | None = None,
    chance: float = np.nan,
    null: ArrayLike | None = None,
    reference: float = np.nan,
    note: str = "",
) -> dict[str, Any]:
    """One row of a study's table; :data:`COLUMNS` says what each entry means.

    Parameters
    ----------
    study, quantity, value, n, split, subject, region, chance, reference, note
        As in :data:`COLUMNS`.
    ci : tuple of float, optional
        (low, high) of the 95 % confidence interval.
    null : array of shape (n_permutations,), optional
        The same quantity under permutation; gives ``null_95`` and ``p_value``. Larger must mean more effect:
        state a difference in the direction that is tested.

    Raises
    ------
    ValueError
        If the value is not finite or the interval is not ordered.
    """
    value = float(check_array("value", value, ndim=0))
    null_95 = p_value = np.nan
    if null is not None:
        null = check_array("null", null, ndim=1, dtype=float)
        null_95 = float(np.percentile(null, 95))
        p_value = compute_p_value(value, null).item()
    low, high = (np.nan, np.nan) if ci is None else (float(ci[0]), float(ci[1]))
    if low > high:
        raise ValueError(f"ci must be (low, high), got ({low}, {high}); swap its ends.")
    return {
        "study": study,
        "subject": subject,
        "region": region,
        "quantity": quantity,
        "value": value,
        "ci_low": low,
        "ci_high": high,
        "chance": float(chance),
        "null_95": null_95,
        "p_value": p_value,
        "n": int(n),
        "split": split,
        "reference": float(reference),
        "note": note,
    }


def make_result_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Table of the rows of :func:`make_result_row`, in the common column order, checked."""
    return check_result_table(pd.DataFrame(list(rows), columns=list(COLUMNS)))


def check_result_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``table`` if it has the common form; raise otherwise.

    Raises
    ------
    ValueError
        If columns are missing, foreign or out of order, a number column is not numeric, a value or ``n``
        is missing, or two rows state the same quantity for the same study, subject and region.
    """
    if list(table.columns) != list(COLUMNS):
        raise ValueError(
            f"table must have the columns {list(COLUMNS)}, got {list(table.columns)}; make its rows with "
            "make_result_row."
        )
    wrong = [name for name in _NUMBERS if table[name].dtype.kind not in "fiu"]
    if wrong or (len(table) and not np.isfinite(table[["value", "n"]].to_numpy(dtype=float)).all()):
        raise ValueError(
            f"table must hold numbers in {list(_NUMBERS)} and finite 'value' and 'n', got "
            f"{ {name: str(table[name].dtype) for name in wrong} or 'NaN entries' }; use make_result_row."
        )
    keys = ["study", "subject", "region", "quantity"]
    twice = table.duplicated(keys)
    if twice.any():
        raise ValueError(
            f"table must state each quantity once, got {table.loc[twice, keys].iloc[0].to_dict()} twice; "
            "name the quantities apart."
        )
    return table
