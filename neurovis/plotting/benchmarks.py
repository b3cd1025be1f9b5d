"""Snakemake's benchmark files as one table: what ran, how long it took, how much memory it had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_COLUMNS = ("step", "job", "time", "cpu_time", "memory", "ended")


def read_benchmarks(folder: str | Path) -> pd.DataFrame:
    """Every ``*.jsonl``, ``*.tsv`` or ``*.txt`` benchmark under a folder.

    Parameters
    ----------
    folder : path
        As given to the ``benchmark:`` directive of the rules; a missing folder gives an empty table.

    Returns
    -------
    pandas.DataFrame
        One row a job, in order of completion: ``step`` (rule), ``job`` (its wildcards or the file's name),
        ``time`` and ``cpu_time`` [s], ``memory`` (peak resident [MB], NaN for jobs under half a second) and
        ``ended`` (seconds since the epoch, when the file was written). Files that are not benchmarks are
        left out.
    """
    folder = Path(folder)
    rows = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".jsonl", ".tsv", ".txt")):
        name = path.relative_to(folder).with_suffix("")
        for record in _read_records(path):
            step = _first(record.get("rule_name")) or (name.parts[0] if len(name.parts) > 1 else name.name)
            wildcards = _first(record.get("wildcards"))
            job = " ".join(f"{k}={v}" for k, v in wildcards.items()) if isinstance(wildcards, dict) else ""
            rows.append(
                {
                    "step": step,
                    "job": job or "/".join(name.parts[1:]) or name.name,
                    "time": _number(record.get("s")),
                    "cpu_time": _number(record.get("cpu_time")),
                    "memory": _number(record.get("max_rss")),
                    "ended": path.stat().st_mtime,
                }
            )
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    return table.dropna(subset=["time"]).sort_values("ended", kind="stable").reset_index(drop=True)


def summarise_benchmarks(jobs: pd.DataFrame) -> list[dict[str, Any]]:
    """Jobs of :func:`read_benchmarks` by step, in order of first completion, with the share of all time."""
    total = float(jobs["time"].sum()) or 1.0
    steps = []
    for step, group in jobs.groupby("step", sort=False):
        seconds = float(group["time"].sum())
        memory = group["memory"].max()
        steps.append(
            {
                "step": str(step),
                "n_jobs": len(group),
                "seconds": seconds,
                "longest": float(group["time"].max()),
                "share": seconds / total,
                "memory_mb": None if np.isnan(memory) else float(memory),
            }
        )
    return steps


def format_seconds(seconds: float) -> str:
    """Duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def _read_records(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(errors="replace")
    if path.suffix != ".jsonl":
        head, *lines = [line.split("\t") for line in text.splitlines()] or [[]]
        if "h:m:s" not in head:
            return []
        # A line that was cut off has fewer fields than the head.
        return [dict(zip(head, line, strict=True)) for line in lines if len(line) == len(head)]
    records = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue  # the last line of a killed run
        if isinstance(record, dict):
            records.append(record)
    return records


def _first(value: Any) -> Any:
    """Snakemake 9 writes some fields as lists of one entry."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _number(value: Any) -> float:
    try:
        return float(_first(value))
    except (TypeError, ValueError):
        return float("nan")
