"""Tables as text for the report: aligned numbers, one format a column, missing values visible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

MAX_ROWS = 400


@dataclass(frozen=True)
class Cell:
    """Text to show, the key to sort by, and a CSS class."""

    text: str
    key: str
    css: str


@dataclass(frozen=True)
class HtmlTable:
    """A formatted table.

    Parameters
    ----------
    columns : tuple of (text, unit, CSS class)
        Headings.
    rows : tuple of tuples of Cell
        What is shown.
    shared : tuple of (heading, text)
        Long texts that every row has, said once.
    n_rows : int
        Length of the whole table.
    """

    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]
    shared: tuple[tuple[str, str], ...]
    n_rows: int


def make_html_table(table: pd.DataFrame, *, units: Mapping[str, str] | None = None) -> HtmlTable:
    """Format a table column by column.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns named ``p`` or ``p_...`` are shown as p-values, booleans as marks, NaN as ``n/a``.
    units : mapping of str to str, optional
        Unit by column.

    Returns
    -------
    HtmlTable
        With the first 400 rows. A text of more than 24 characters that is the same in all of several rows is
        taken out of the rows and said once.
    """
    shared = [str(name) for name in table.columns if _is_shared(table[name])]
    shown = table.head(MAX_ROWS).drop(columns=shared)
    formatted = [_format_column(str(name), shown[name]) for name in shown.columns]
    columns = tuple(
        (str(name).replace("_", " "), (units or {}).get(str(name), ""), column[0])
        for name, column in zip(shown.columns, formatted, strict=True)
    )
    rows = tuple(zip(*(column[1] for column in formatted), strict=True)) if formatted else ()
    said_once = tuple((name.replace("_", " "), str(table[name].iloc[0])) for name in shared)
    return HtmlTable(columns, rows, said_once, len(table))


def format_number(value: float) -> str:
    """A lone number for people: three decimals below 100, none above, an exponent only for extremes."""
    size = abs(value)
    if size >= 1e7 or 0 < size < 5e-4:
        text = f"{value:.1e}"
    elif size >= 100 or float(value).is_integer():
        text = f"{value:,.0f}"
    else:
        text = f"{value:.3f}"
    return text.replace("-", "−") if np.isfinite(value) else str(value)


def _is_shared(column: pd.Series) -> bool:
    if len(column) < 2 or column.dtype.kind in "iufb" or column.isna().any():
        return False
    return len(str(column.iloc[0])) > 24 and bool((column == column.iloc[0]).all())


def _format_column(name: str, column: pd.Series) -> tuple[str, list[Cell]]:
    missing = column.isna()
    kinds = {str(value).lower() for value in column[~missing]}
    if kinds and kinds <= {"true", "false"}:
        marks = {"true": Cell("✓", "1", "yes"), "false": Cell("✗", "0", "no")}
        return "mark", [
            _NA if bad else marks[str(value).lower()] for value, bad in zip(column, missing, strict=True)
        ]
    if column.dtype.kind not in "iuf":
        texts = ["" if bad else str(value) for value, bad in zip(column, missing, strict=True)]
        long = max(map(len, texts), default=0) > 40
        return "long" if long else "text", [Cell(t, t, "text") if t else _NA for t in texts]
    numbers = column.to_numpy(dtype=float)
    write = _choose_format(name, numbers[np.isfinite(numbers)])
    return "number", [
        _NA if np.isnan(value) else Cell(write(value).replace("-", "−"), repr(value), "number")
        for value in numbers.tolist()
    ]


def _choose_format(name: str, finite: np.ndarray):  # noqa: ANN202 (a private formatter)
    if name == "p" or name.startswith("p_"):
        return lambda value: "< 0.001" if value < 0.001 else f"{value:.3f}"
    if finite.size == 0 or np.all(finite == np.round(finite)):
        return lambda value: f"{value:,.0f}"
    largest = float(np.abs(finite).max())
    if largest < 1e-3 or largest >= 1e7:
        return lambda value: f"{value:.2e}"
    decimals = int(np.clip(2 - np.floor(np.log10(largest)), 0, 3))
    return lambda value: f"{value:,.{decimals}f}"


_NA = Cell("n/a", "", "missing")
