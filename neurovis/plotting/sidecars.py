"""Figures and tables with a record beside them, which is all that the report needs to find them.

``<name>.png`` comes with ``<name>.figure.json``, ``<name>.tsv`` with ``<name>.table.json``. The record holds
title, caption, section, order and provenance; it is written last, so that a figure without one is unfinished.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from neurovis.core import check_option
from neurovis.io import atomic_path, write_json, write_table
from neurovis.plotting.style import STYLE

CHECK_COLUMNS = ("quantity", "target", "mean", "lower", "upper", "passed")
_DPI = 120
_CSS_PX_PER_INCH = 96


def write_figure(
    figure: Figure | Axes,
    path: str | Path,
    *,
    title: str,
    caption: str,
    section: str = "Results",
    order: float = 0.0,
    alt: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Save a figure as PNG or SVG with its record for the report, then close it.

    Parameters
    ----------
    figure : Figure or Axes
        What to save; Axes stand for their figure.
    path : path
        Ends in ``.png`` or ``.svg``. The record goes to ``<name>.figure.json`` beside it.
    title, caption : str
        Plain text; the caption says what is shown, on how many cases, and what the marks mean.
    section : str
        Heading of the report under which the figure appears.
    order : float
        Smaller comes first within the section.
    alt : str, optional
        Text for readers who cannot see the picture; the caption by default.
    provenance : mapping, optional
        As made by :func:`neurovis.core.make_provenance`.

    Returns
    -------
    pathlib.Path
        ``path``.

    Raises
    ------
    ValueError
        If the suffix is neither ``.png`` nor ``.svg``.
    """
    path = Path(path)
    check_option("the suffix of path", path.suffix, (".png", ".svg"), remedy="name the file figure.png")
    drawn = figure.get_figure(root=True) if isinstance(figure, Axes) else figure
    if drawn is None:
        raise ValueError("figure must be a Figure or Axes inside one, got Axes without a figure.")
    # No date inside the file: the same figure is the same bytes on every run.
    metadata = {"Date": None} if path.suffix == ".svg" else {"Software": "neurovis"}
    with mpl.rc_context(STYLE), atomic_path(path) as temporary:
        drawn.savefig(temporary, dpi=_DPI, metadata=metadata)
        width_px = round(drawn.get_figwidth() * _CSS_PX_PER_INCH)
    plt.close(drawn)
    record = _make_record("figure", path, title, caption, section, order, provenance)
    write_json({**record, "alt": alt or caption, "width_px": width_px}, path.with_suffix(".figure.json"))
    return path


def write_report_table(
    table: pd.DataFrame,
    path: str | Path,
    *,
    title: str,
    caption: str = "",
    section: str = "Results",
    order: float = 0.0,
    units: Mapping[str, str] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Save a table as TSV with its record for the report.

    Parameters
    ----------
    table : pandas.DataFrame
        Column names become headings (underscores as spaces).
    path : path
        Ends in ``.tsv``. The record goes to ``<name>.table.json`` beside it.
    title, caption, section, order, provenance
        As in :func:`write_figure`.
    units : mapping of str to str, optional
        Unit by column, shown in the heading.

    Raises
    ------
    ValueError
        If the suffix is not ``.tsv`` or a unit names no column.
    """
    path = Path(path)
    check_option("the suffix of path", path.suffix, (".tsv",), remedy="name the file table.tsv")
    for name in units or {}:
        check_option("each key of units", name, list(table.columns))
    write_table(table, path)
    record = _make_record("table", path, title, caption, section, order, provenance)
    write_json({**record, "units": dict(units or {})}, path.with_suffix(".table.json"))
    return path


def write_checks(
    checks: pd.DataFrame,
    path: str | Path,
    *,
    title: str = "Recovered against the truth",
    caption: str = "",
    order: float = 0.0,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Save the headline checks, which the report shows first.

    Parameters
    ----------
    checks : pandas.DataFrame
        One row a check with the columns ``quantity`` (text), ``target`` (text, e.g. ``">= 0.90"``), ``mean``,
        ``lower``, ``upper`` (95 % interval over seeds; NaN if there is one seed) and ``passed`` (bool, or NaN
        where nothing is promised). Optional: ``n`` (seeds) and ``note``.
    path : path
        Ends in ``.tsv``.
    title, caption, order, provenance
        As in :func:`write_figure`.

    Raises
    ------
    ValueError
        If a required column is missing.
    """
    missing = [name for name in CHECK_COLUMNS if name not in checks.columns]
    if missing:
        raise ValueError(
            f"checks must have the columns {list(CHECK_COLUMNS)}, got {list(checks.columns)} without "
            f"{missing}; add them."
        )
    path = Path(path)
    check_option("the suffix of path", path.suffix, (".tsv",), remedy="name the file checks.tsv")
    write_table(checks, path)
    record = _make_record("checks", path, title, caption, "", order, provenance)
    write_json(record, path.with_suffix(".table.json"))
    return path


def _make_record(
    kind: str,
    path: Path,
    title: str,
    caption: str,
    section: str,
    order: float,
    provenance: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "kind": kind,
        "file": path.name,
        "title": title,
        "caption": caption,
        "section": section,
        "order": float(order),
        "provenance": dict(provenance or {}),
    }
