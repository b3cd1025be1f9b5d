"""What a study of published data found: its table as a forest plot, and its arrays as figures.

Studies hand arrays over by agreed names, see :func:`plot_study_arrays`; a study that uses these names gets
its figures without a line of code here.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurovis.core import check_option
from neurovis.plotting.gaze import plot_gaze_comparison
from neurovis.plotting.motion import plot_flow_reports
from neurovis.plotting.rdm import plot_rdm, plot_rsa_bars
from neurovis.plotting.recovery import plot_intervals
from neurovis.plotting.scores import (
    plot_confusion,
    plot_feature_comparison,
    plot_null_distribution,
    plot_score_against_ceiling,
)
from neurovis.plotting.stimuli import plot_stimulus_gallery
from neurovis.plotting.style import ACCENT, INK, add_note, make_axes, styled
from neurovis.plotting.surface import plot_surface_categories, plot_surface_map

_UNIT = re.compile(r" \[(.+)\]$")
_LABEL_WIDTH = 58
_N_IMAGES = 12
Figure = tuple[str, str, str, Axes]
"""Name of the file, title, caption, Axes."""


def find_units(table: pd.DataFrame) -> list[str]:
    """Units of a study's quantities, the most frequent first; "" where a quantity states none.

    Parameters
    ----------
    table : pandas.DataFrame
        A study's table; a quantity states its unit in square brackets at its end.
    """
    return table["quantity"].map(_get_unit).value_counts(sort=True).index.tolist()


@styled
def plot_study(table: pd.DataFrame, *, unit: str | None = None, ax: Axes | None = None) -> Axes:
    """Forest plot of the rows of a study that share a unit.

    Parameters
    ----------
    table : pandas.DataFrame
        With the columns ``subject, region, quantity, value, ci_low, ci_high, chance, null_95, reference``,
        as every study makes it.
    unit : str, optional
        One of :func:`find_units`; by default the most frequent.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    Axes
        What all rows share (subject, region, beginning of the quantity) is said once, below the axis; how
        many rows in other units are left to the table is said there too.

    Raises
    ------
    ValueError
        If the table is empty or has no row of that unit.
    """
    if table.empty:
        raise ValueError("table must hold at least one row, got none; run the study first.")
    units = find_units(table)
    unit = units[0] if unit is None else check_option("unit", unit, units)
    own = table[table["quantity"].map(_get_unit) == unit]
    labels, shared = _shorten(own)
    label = ", ".join([*(shared or ["value"]), "95 % interval"]) + (f" [{unit}]" if unit else "")
    label = "\n".join(textwrap.wrap(label, _LABEL_WIDTH))
    if len(own) < len(table):
        label += f"\n(further rows of the table, in other units: {len(table) - len(own)})"
    longest = max(len(line) for name in labels for line in name.split("\n"))
    ax = make_axes(ax, width=4.2 + 0.07 * longest, height=1.1 + 0.29 * len(labels))
    ax = plot_intervals(
        labels,
        own["value"],
        lower=own["ci_low"],
        upper=own["ci_high"],
        targets=own["reference"] if own["reference"].notna().any() else None,
        chance=own["chance"] if own["chance"].notna().any() else None,
        null_upper=own["null_95"] if own["null_95"].notna().any() else None,
        label=label,
        ax=ax,
    )
    # Room beside bars that start at the edge.
    low, high = ax.get_xlim()
    ax.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    legend = ax.get_legend()
    for text in legend.get_texts() if legend is not None else ():
        if text.get_text() == "target":
            text.set_text("published")
    return ax


def plot_study_arrays(figures_data: Mapping[str, NDArray]) -> list[Figure]:
    """Every figure that a study's arrays allow.

    Parameters
    ----------
    figures_data : mapping of str to array
        Drawn are, if present: ``confusion`` (n, n) or (subjects, n, n) with ``categories``; ``null_<name>``
        with ``<name>``, whose mean is the observed value (the diagonal of ``confusion`` for accuracies);
        ``score_<features>``, ``ci_<features>`` and ``null_<features>`` by ``regions``, with ``ceiling``;
        ``mean_response`` and ``se_mean_response`` (categories, conditions) with ``categories`` and
        ``conditions``; ``similarity`` and ``ci`` by ``models``; ``rdm*``; ``images`` with
        ``reconstructions``; area names and numbers by ``vertices`` of fsaverage5; ``distilled_r`` with
        ``ridge_r``; ``ridge_r_<session>`` with ``reliability``; ``human`` and ``truth`` (n, 2), flow at
        probes; ``frame_r`` (n_frames,) with ``frame_ci`` (2, n_frames); ``gaze_gain`` (n,) with
        ``gaze_gain_ci`` (2, n), ``gaze_models`` and ``gaze_roles``.

    Returns
    -------
    list of (name, title, caption, Axes)
        Empty if no array has one of these names.
    """
    parts = (
        *(_draw_confusions, _draw_nulls, _draw_feature_scores, _draw_means, _draw_models, _draw_rdms),
        *(_draw_reconstructions, _draw_areas, _draw_encoders, _draw_flow_reports, _draw_frames),
        _draw_gaze_models,
    )
    return [figure for part in parts for figure in part(figures_data)]


def _get_unit(quantity: str) -> str:
    found = _UNIT.search(quantity)
    return found.group(1) if found else ""


def _shorten(rows: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Label of each row from what varies, and what they all share."""
    subject = rows["subject"].map(_name_subject)
    region = rows["region"].astype(str)
    quantity = rows["quantity"].str.replace(_UNIT, "", regex=True)
    shared = []
    beginning = quantity.iloc[0].partition(", ")[0] + ", "
    if _varies(quantity) and quantity.str.startswith(beginning).all():
        shared.append(beginning.removesuffix(", "))
        quantity = quantity.str.removeprefix(beginning)
    varying = [column for column in (subject, region, quantity) if _varies(column)] or [quantity]
    constant = [column for column in (quantity, region, subject) if not any(column is own for own in varying)]
    shared += [str(column.iloc[0]) for column in constant if column.iloc[0] != "all"]
    labels = [" · ".join(parts) for parts in zip(*varying, strict=True)]
    return ["\n".join(textwrap.wrap(label, _LABEL_WIDTH)) for label in labels], shared


def _name_subject(subject: object) -> str:
    """A bare number says nothing; dates of sessions are longer and stay as they are."""
    return f"subject {subject}" if re.fullmatch(r"\d{1,2}", str(subject)) else str(subject)


def _varies(column: pd.Series) -> bool:
    return bool((column != column.iloc[0]).any())


def _draw_confusions(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "confusion" not in data:
        return
    names = data["categories"].tolist()
    stack = data["confusion"].reshape(-1, len(names), len(names))
    for number, confusion in enumerate(stack, start=1):
        ending = f"-{number}" if len(stack) > 1 else ""
        title = f"Decoded against shown{f', subject {number}' if len(stack) > 1 else ''}"
        caption = f"Share of the presentations of each category; chance is {1 / len(names):.3g}."
        yield f"confusion{ending}", title, caption, plot_confusion(confusion, names)


def _draw_nulls(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    for key, null in data.items():
        name = key.removeprefix("null_")
        if name == key or f"score_{name}" in data:
            continue
        observed, chance = _find_observed(data, name)
        if observed is None:
            continue
        stack = null.reshape(len(observed), -1)
        words = name.replace("_", " ")
        for number, (one, value) in enumerate(zip(stack, observed, strict=True), start=1):
            many = len(stack) > 1
            yield (
                f"{key}-{number}".replace("_", "-") if many else key.replace("_", "-"),
                f"Null of the {words}{f', subject {number}' if many else ''}",
                f"{words.capitalize()} of the data and of {one.size} permutations of it.",
                plot_null_distribution(one, float(value), chance=chance, label=words),
            )


def _find_observed(data: Mapping[str, NDArray], name: str) -> tuple[NDArray | None, float | None]:
    """Observed values that belong to a null, one a subject, and chance."""
    if name in data:
        return np.atleast_1d(data[name].mean()), None
    if name == "accuracy" and "confusion" in data:
        # Categories are balanced, so that the mean of the diagonal is the accuracy.
        n = data["confusion"].shape[-1]
        shares = np.diagonal(data["confusion"].reshape(-1, n, n), axis1=1, axis2=2)
        return shares.mean(axis=1), 1 / n
    return None, None


def _draw_feature_scores(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    names = [key.removeprefix("score_") for key in data if key.startswith("score_")]
    if not names:
        return
    ends = np.stack([data[f"ci_{name}"] for name in names], axis=1)
    ax = plot_feature_comparison(
        np.stack([data[f"score_{name}"] for name in names]),
        names,
        data["regions"].tolist(),
        lower=ends[0],
        upper=ends[1],
        ceilings=data.get("ceiling"),
        label="prediction of left-out stimuli (Pearson r)",
    )
    caption = "Points with 95 % intervals over stimuli" + (
        ", bars are ceilings." if "ceiling" in data else "."
    )
    yield "prediction", "Prediction by feature space and region", caption, ax


def _draw_means(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "mean_response" not in data:
        return
    means, error = data["mean_response"], data["se_mean_response"]
    ax = plot_feature_comparison(
        means,
        data["categories"].tolist(),
        [name.replace(", ", "\n") for name in data["conditions"].tolist()],
        lower=means - error,
        upper=means + error,
        label="response [% BOLD]",
    )
    yield "responses", "Response to each category", "Means and standard errors over stimuli.", ax


def _draw_models(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "similarity" not in data:
        return
    order = np.argsort(-data["similarity"])
    lower, upper = data["ci"][:, order]
    names = data["models"][order].tolist()
    ax = plot_rsa_bars(names, data["similarity"][order], lower=lower, upper=upper)
    caption = "Spearman with the mean of people and sessions; 95 % intervals over images."
    yield "models", "Which model groups images as the brain does", caption, ax


def _draw_rdms(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    for key, rdm in data.items():
        if key.split("_")[0] != "rdm":
            continue
        fits = "categories" in data and len(data["categories"]) == len(rdm)
        ax = styled(make_axes)(None, width=5.4, height=4.4)
        ax = plot_rdm(rdm, groups=data["categories"].tolist() if fits else None, ax=ax)
        region = key.removeprefix("rdm").replace("_", " ").strip().upper()
        title = f"Dissimilarity of every pair{f' in {region}' if region else ''}"
        yield key.replace("_", "-"), title, f"{len(rdm)} conditions, in the order of the data set.", ax


def _draw_reconstructions(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "reconstructions" not in data:
        return
    n = len(data["images"])
    # Evenly spaced, so that the choice does not depend on how well they came out.
    shown = np.unique(np.linspace(0, n - 1, _N_IMAGES).round().astype(int))
    sheet = np.concatenate([data["images"][shown], data["reconstructions"][shown].clip(0, 1)])
    caption = (
        f"{len(shown)} of {n}, evenly spaced: shown (above) and reconstructed from a model fitted without "
    )
    caption += "the trial (below), grey levels clipped to those of the screen."
    ax = plot_stimulus_gallery(sheet, n_columns=len(shown))
    yield "reconstructions", "Shown images above their reconstructions", caption, ax


def _draw_areas(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "vertices" not in data:
        return
    vertices = data["vertices"]
    fitting = {key: values for key, values in data.items() if len(values) == len(vertices)}
    areas = {key: values for key, values in fitting.items() if values.dtype.kind == "U"}
    for key, values in areas.items():
        ax = plot_surface_categories(values, vertices=vertices, regions=values, views=("flat",))
        yield f"areas-{key}", f"Areas of {key.capitalize()}", f"{key.capitalize()}'s areas, flattened.", ax
    first = next(iter(areas), None)
    for key, values in fitting.items():
        if key in areas or key == "vertices":
            continue
        label = re.sub(" (dva|deg)$", r" [\1]", key.replace("_", " "))
        ax = plot_surface_map(
            values,
            vertices=vertices,
            regions=None if first is None else areas[first],
            label=label,
            # Sizes grow without bound towards the periphery and would hide the middle of the field.
            vmax=float(np.percentile(values, 80)) if key.endswith("_dva") else None,
            views=("flat",),
        )
        caption = "Flattened" + (f", with {first.capitalize()}'s areas." if first else ".")
        yield f"map-{key.replace('_', '-')}", f"Map of {label}", caption, ax


def _draw_encoders(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "distilled_r" in data:
        yield (
            "distilled-against-ridge",
            "Distilled networks against ridge, neuron by neuron",
            "Correlation with held-out responses; above the line the distilled network predicts better.",
            _plot_pairs(data["ridge_r"], data["distilled_r"], "ridge on SqueezeNet", "distilled network"),
        )
    for key, values in data.items():
        if key.startswith("ridge_r_") and "reliability" in data:
            session = key.removeprefix("ridge_r_")
            ax = plot_score_against_ceiling(values, np.sqrt(data["reliability"]), fraction=None)
            caption = f"Each neuron of session {session}; the ceiling is the square root of the reliability."
            yield f"ceiling-{session}", "Prediction against its ceiling", caption, ax


@styled
def _draw_flow_reports(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "human" in data and "truth" in data:
        caption = "Mean report of motion at each probe against the true flow; the line is equality."
        yield "reports", "Flow as people see it", caption, plot_flow_reports(data["human"], data["truth"])


@styled
def _plot_frames(r: NDArray, ends: NDArray) -> Axes:
    ax = make_axes(None, width=5.0, height=3.2)
    frames = np.arange(1, len(r) + 1)
    ax.vlines(frames, *ends, color=ACCENT, lw=1.6)
    ax.plot(frames, r, "o-", color=ACCENT, ms=4, lw=0.8)
    ax.set_xticks(frames)
    ax.set_xlabel("frame whose true flow is compared")
    ax.set_ylabel("Pearson r with the mean report")
    ax.grid(axis="y")
    return ax


def _draw_frames(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "frame_r" in data:
        caption = (
            "Agreement of reports with the true flow of each frame around the probed one; 95 % intervals."
        )
        yield "frames", "When motion is read", caption, _plot_frames(data["frame_r"], data["frame_ci"])


def _draw_gaze_models(data: Mapping[str, NDArray]) -> Iterator[Figure]:
    if "gaze_gain" not in data:
        return
    lower, upper = data["gaze_gain_ci"]
    ax = plot_gaze_comparison(
        data["gaze_models"].tolist(), data["gaze_gain"], data["gaze_roles"].tolist(), lower=lower, upper=upper
    )
    caption = (
        "Information about the next fixation on images left out, beyond a uniform density; 95 % intervals "
        "over images. Other people on the same image are the ceiling of models without a history; models of "
        "saccades know the fixations before, and may exceed it."
    )
    yield "gaze-models", "What models of gaze tell about people", caption, ax


def _plot_pairs(x: NDArray, y: NDArray, x_label: str, y_label: str) -> Axes:
    ax = make_axes(None, width=4.2, height=4.0)
    low, high = min(x.min(), y.min()) - 0.05, max(x.max(), y.max()) + 0.05
    ax.plot([low, high], [low, high], color=INK, lw=1, zorder=0)
    ax.plot(x, y, "o", ms=6, color=ACCENT)
    ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    ax.set_xlabel(f"{x_label} (Pearson r)")
    ax.set_ylabel(f"{y_label} (Pearson r)")
    add_note(ax, f"mean difference = {np.mean(y - x):+.2f}\nn = {len(x)}")
    return ax
