"""One self-contained HTML page from a folder of figures and tables.

Everything that has a record beside it (:mod:`neurovis.plotting.sidecars`) is shown; what is missing or
broken is listed with the reason, and the rest of the page stands. Pictures are embedded, nothing is loaded
from elsewhere.
"""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from neurovis import __version__
from neurovis.core import check_option, import_optional
from neurovis.io import atomic_path, read_json, read_table
from neurovis.plotting.benchmarks import format_seconds, read_benchmarks, summarise_benchmarks
from neurovis.plotting.sidecars import CHECK_COLUMNS
from neurovis.plotting.tables import HtmlTable, format_number, make_html_table

KINDS = {
    "simulated": "Simulated cortex: the truth is known",
    "real": "Recorded data",
}
_MIME = {".png": "image/png", ".svg": "image/svg+xml"}
_LOG_LINES = 25
_REQUIRED = {"kind", "file", "title", "caption", "section", "order"}


@dataclass(frozen=True)
class _Item:
    kind: str
    title: str
    caption: str
    section: str
    order: float
    file: str
    alt: str = ""
    width_px: int = 0
    source: str = ""
    table: HtmlTable | None = None
    checks: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class _Failure:
    step: str
    reason: str
    log: str = ""


def build_report(
    results_dir: str | Path,
    out: str | Path,
    *,
    title: str,
    summary: str = "",
    kind: str = "simulated",
    sections: Mapping[str, str] | None = None,
    benchmarks: str | Path | None = None,
    failures: Sequence[tuple[str, str, str | Path | None]] = (),
    details: Mapping[str, Mapping[str, Any]] | None = None,
    next_steps: Sequence[tuple[str, str]] = (),
    created: datetime | None = None,
) -> Path:
    """Write ``report.html`` from every figure and table under a folder.

    Parameters
    ----------
    results_dir : path
        Searched through with its subfolders for ``*.figure.json`` and ``*.table.json``.
    out : path
        The HTML file.
    title, summary : str
        Heading, and a paragraph that says what this is (plain text).
    kind : {"simulated", "real"}
        Whether the brain data are the embedded default or recorded; stated in the header.
    sections : mapping of str to str, optional
        Heading -> introduction (may be empty), in the order of the page. Sections that only the records
        name follow in order of appearance.
    benchmarks : path, optional
        Folder of Snakemake benchmark files, for "What ran".
    failures : sequence of (step, reason, log path or None)
        Branches that stopped; the end of each log is shown.
    details : mapping of str to mapping, optional
        Named blocks of provenance, e.g. ``{"Versions": {...}, "Configuration": {...}}``.
    next_steps : sequence of (sentence, command)
        How to go on; the command may be empty.
    created : datetime, optional
        Time stamp of the page; now by default.

    Returns
    -------
    pathlib.Path
        ``out``.

    Raises
    ------
    FileNotFoundError
        If ``results_dir`` is not a folder.
    ValueError
        If ``kind`` is unknown.
    """
    results_dir, out = Path(results_dir), Path(out)
    check_option("kind", kind, KINDS)
    if not results_dir.is_dir():
        raise FileNotFoundError(f"results_dir must be a folder, got {results_dir}; run the pipeline first.")
    jinja2 = import_optional("jinja2", extra="plot")
    items, broken = _collect(results_dir)
    stopped = [_read_failure(*failure) for failure in failures] + broken
    jobs = read_benchmarks(benchmarks) if benchmarks is not None else None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["duration"] = format_seconds
    page = environment.get_template("report.html.j2").render(
        title=title,
        summary=summary,
        kind=kind,
        kind_text=KINDS[kind],
        created=(created or datetime.now(UTC)).strftime("%Y-%m-%d %H:%M %Z").strip(),
        version=__version__,
        python=platform.python_version(),
        panels=[item for item in items if item.kind == "checks"],
        sections=_arrange([item for item in items if item.kind != "checks"], sections or {}),
        failures=stopped,
        steps=[] if jobs is None else summarise_benchmarks(jobs),
        jobs=None if jobs is None or jobs.empty else _tabulate_jobs(jobs),
        details=[(name, list(_flatten(block))) for name, block in (details or {}).items()],
        next_steps=next_steps,
    )
    with atomic_path(out) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def _tabulate_jobs(jobs: pd.DataFrame) -> HtmlTable:
    return make_html_table(jobs.drop(columns="ended"), units={"time": "s", "cpu_time": "s", "memory": "MB"})


def _collect(folder: Path) -> tuple[list[_Item], list[_Failure]]:
    items, broken = [], []
    found = sorted(path for ending in ("figure", "table") for path in folder.rglob(f"*.{ending}.json"))
    for path in found:
        name = path.relative_to(folder)
        if any(part.startswith(".") for part in name.parts):
            continue  # a writer that was killed leaves its unfinished folder hidden
        try:
            items.append(_read_item(path, name.parent))
        except (OSError, ValueError, TypeError) as error:
            broken.append(_Failure(f"showing {name.as_posix()}", str(error)))
    return sorted(items, key=lambda item: (item.order, item.title)), broken


def _read_item(path: Path, folder: Path) -> _Item:
    record = read_json(path)
    missing = sorted(_REQUIRED - record.keys())
    if missing:
        raise ValueError(f"{path.name} must have the entries {sorted(_REQUIRED)}, got none for {missing}.")
    kind = check_option("kind", record["kind"], ("figure", "table", "checks"))
    file = path.parent / record["file"]
    common = {
        "kind": kind,
        "title": str(record["title"]),
        "caption": str(record["caption"]),
        "section": str(record["section"]),
        "order": float(record["order"]),
        "file": (folder / record["file"]).as_posix(),
    }
    if kind == "figure":
        check_option("the suffix of the figure", file.suffix, _MIME)
        if not file.is_file():
            raise FileNotFoundError(f"{file.name} is not there; run its step again.")
        encoded = base64.b64encode(file.read_bytes()).decode("ascii")
        return _Item(
            **common,
            alt=str(record.get("alt") or record["caption"]),
            width_px=int(record.get("width_px", 720)),
            source=f"data:{_MIME[file.suffix]};base64,{encoded}",
        )
    table = read_table(file, required=CHECK_COLUMNS if kind == "checks" else ())
    if kind == "table":
        return _Item(**common, table=make_html_table(table, units=record.get("units", {})))
    return _Item(**common, checks=tuple(_read_check(row) for row in table.to_dict("records")))


def _read_check(row: Mapping[Any, Any]) -> dict[str, Any]:
    """One check as text; ``passed`` is True, False, or None where nothing was promised."""
    passed = row["passed"]
    interval = ""
    if pd.notna(row["lower"]) and pd.notna(row["upper"]):
        interval = f"{format_number(row['lower'])} to {format_number(row['upper'])}"
    return {
        "quantity": str(row["quantity"]),
        "target": "" if pd.isna(row["target"]) else str(row["target"]),
        "mean": "n/a" if pd.isna(row["mean"]) else format_number(row["mean"]),
        "interval": interval,
        "passed": None if pd.isna(passed) else str(passed).strip().lower() in ("true", "1", "1.0"),
        "n": "" if pd.isna(row.get("n", float("nan"))) else f"{int(row['n'])}",
        "note": "" if pd.isna(row.get("note", "")) else str(row.get("note", "")),
    }


def _arrange(items: Sequence[_Item], sections: Mapping[str, str]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys([*sections, *(item.section for item in items)]))
    return [
        {
            "name": name,
            "text": sections.get(name, ""),
            "figures": [item for item in items if item.section == name and item.kind == "figure"],
            "tables": [item for item in items if item.section == name and item.kind == "table"],
        }
        for name in names
        if any(item.section == name for item in items)
    ]


def _read_failure(step: str, reason: str, log: str | Path | None) -> _Failure:
    if log is None:
        return _Failure(step, reason)
    path = Path(log)
    if not path.is_file():
        return _Failure(step, reason, f"(no log at {path})")
    lines = path.read_text(errors="replace").rstrip().splitlines()
    return _Failure(step, reason, "\n".join(lines[-_LOG_LINES:]))


def _flatten(block: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mapping as (dotted name, text) rows."""
    rows: list[tuple[str, str]] = []
    for name, value in block.items():
        if isinstance(value, Mapping):
            rows += _flatten(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            rows.append((f"{prefix}{name}", text))
    return rows
