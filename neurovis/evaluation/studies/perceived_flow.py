"""How far is the motion that people see from the true flow (Yang et al., iScience 2023).

Reports follow the truth and deviate from it in ways that people share: the partial correlation of one person
with the others, the truth held fixed, is the ceiling of a model of perceived motion. No movies come with the
data, so the only real model here is FlowNet 2, whose flow at the probes was published.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import make_rng
from neurovis.datasets.perceived_flow import MODULATIONS, NAME, PROBED_FRAME, SOURCES, load_perceived_flow
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.metrics.flow import (
    compute_deviation_null,
    compute_direction_error,
    compute_epe,
    compute_rci,
    make_group_permuter,
    make_group_sampler,
    score_perceived_flow,
    summarise_epe,
)
from neurovis.metrics.regression import standardise_columns

_SOURCE_REFERENCE = (0.846, 0.777, 0.280, 0.733, 0.509, 0.440, 0.498, 0.907, 0.715, 0.798)
_MOVIE_REFERENCE = {"ambush_2": 1.204, "ambush_4": 1.181, "cave_4": 0.429}
_FRAME_REFERENCE = {1: 0.47, 7: 0.69, 8: 0.70, 15: 0.36}
_PERSON_REFERENCE = {"1": 0.989, "2": 0.981}
_NOISE_SD = 0.5  # [px per frame], of the model that knows the truth and nothing of people
_UPWARDS = (1, -1)
_N_BOOTSTRAPS = 500
_FITTING = "no fitting; null permutes reports over, and interval resamples, "
_DEVIATIONS = "no fitting; null permutes deviations from the truth over, and interval resamples, "
_CLIP = ["movie", "timing", "play"]
_PROBE = [*_CLIP, "location"]


def analyse_perceived_flow(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> StudyResult:
    """Compare reports with the truth, with each other, and with FlowNet 2.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.perceived_flow.load_perceived_flow`.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of permutations, bootstraps and the noisy model.

    Returns
    -------
    StudyResult
        ``figures_data``: ``human`` and ``truth`` (1600, 2; px per frame, v down) with ``source`` (1600,),
        ``frame_r`` (15,) and ``frame_ci`` (2, 15): correlation of the mean report with the truth of each
        frame; ``flownet2_partial_r`` (1,) and its ``null_flownet2_partial_r`` (n_permutations,).

    Notes
    -----
    u and v are stacked in every correlation, as published. A stack has one mean, so that its correlation
    depends on where v points: in the large set upwards, as in its files. References of the ten kinds of
    movies are those of all 12 sessions, of which 8 are here. A gross outlier among the reports (74 px per
    frame) is why Spearman correlation and median errors stand beside them.
    """
    data = load_perceived_flow(root=root)
    probes, probe_figures = _compare_probes(data.probes, n_permutations, seed)
    temporal, temporal_figures = _compare_times(data.temporal, data.temporal_flow, n_permutations, seed)
    rows = [
        *probes,
        *_compare_sintel(data.sintel_slow, n_permutations, seed),
        *temporal,
        *_compare_second_order(data.second_order, n_permutations, seed),
    ]
    return StudyResult(make_result_table(rows), {**probe_figures, **temporal_figures})


def _compare_probes(
    table: pd.DataFrame, n_permutations: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    rows = []
    movies = table.groupby(["dataset", "session", "movie"]).ngroup().to_numpy()
    split = _FITTING + "movies"
    for number, reference in enumerate(_SOURCE_REFERENCE, start=1):
        own = (table["dataset"] == number).to_numpy()
        human, truth = (flow * _UPWARDS for flow in _get_flows(table[own]))
        rows.append(
            _make_correlation(
                human, truth, movies[own], n_permutations, seed, quantity="r of report and truth",
                region=SOURCES[number - 1], reference=reference, split=split,
                note="reference: all 12 sessions, here 8",
            )
        )  # fmt: skip
    human, truth = _get_flows(table)
    for axis, reference in enumerate((0.69, 0.53)):
        rows.append(
            _make_correlation(
                human[:, [axis]], truth[:, [axis]], movies, n_permutations, seed,
                quantity=f"r of report and truth, {'uv'[axis]}", reference=reference, split=split,
            )
        )  # fmt: skip
    robust: dict[str, Callable[[NDArray, NDArray], float]] = {
        "Spearman of report and truth": lambda r, g: score_perceived_flow(r, g)["rho_truth"],
        "end-point error, mean [px/frame]": lambda r, g: summarise_epe(compute_epe(g, r))["mean"],
        "end-point error, winsorised [px/frame]": lambda r, g: summarise_epe(compute_epe(g, r))["winsorised"],
        "end-point error, median [px/frame]": lambda r, g: summarise_epe(compute_epe(g, r))["median"],
        "reported over true speed, median": lambda r, g: score_perceived_flow(r, g)["speed_ratio"],
        "angle of report and truth, median [deg]": lambda r, g: float(
            np.nanmedian(compute_direction_error(g, r))
        ),
    }
    rows += [
        _make_plain(human, truth, movies, seed, quantity, compute, "movies")
        for quantity, compute in robust.items()
    ]
    return rows, {"human": human, "truth": truth, "source": table["source"].to_numpy(dtype=str)}


def _compare_sintel(table: pd.DataFrame, n_permutations: int, seed: int) -> list[dict[str, Any]]:
    human, truth = _get_flows(table)
    probes = np.arange(len(table))
    place: dict[str, Any] = {"region": "Sintel-slow"}
    rows = [
        _make_correlation(
            human, truth, probes, n_permutations, seed, quantity="r of report and truth", reference=0.89,
            split=_FITTING + "probes", note="0.924 with all five movies", **place,
        ),
        _make_plain(
            human, truth, probes, seed, "r of reported and true speed",
            lambda r, g: score_perceived_flow(r, g)["r_truth_speed"], "probes",
            note="0.900 with all five movies", **place,
        ),
    ]  # fmt: skip
    for movie, reference in _MOVIE_REFERENCE.items():
        own = (table["movie"] == movie).to_numpy()
        rows.append(
            _make_plain(
                human[own], truth[own], np.arange(own.sum()), seed, "end-point error, mean [px/frame]",
                lambda r, g: float(compute_epe(g, r).mean()), "probes", region=movie, reference=reference,
            )
        )  # fmt: skip
    # Models that need no movie: people themselves, and three that know the truth and a share of people.
    for name, model in (
        ("people themselves (ceiling)", human),
        ("mean of people and truth", (human + truth) / 2),
        ("truth, and the opposite of people's deviation", 2 * truth - human),
    ):
        rows.append(
            _make_plain(
                human, truth, probes, seed, f"RCI of {name}",
                lambda r, g, m: float(compute_rci(r, g, m).mean()), "probes", model=model, **place,
            )
        )  # fmt: skip
    noise = make_rng(seed, NAME, "noise").normal(scale=_NOISE_SD, size=truth.shape)
    rows += _score_model(
        human, truth, truth + noise, probes, n_permutations, seed,
        name=f"truth with noise of {_NOISE_SD} px", cases="probes",
        references={"r_model": np.nan, "partial_uv": np.nan, "rci": np.nan}, **place,
    )  # fmt: skip
    return rows


def _compare_times(
    reports: pd.DataFrame, flow: pd.DataFrame, n_permutations: int, seed: int
) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    columns = ["human_u", "human_v"]
    mean = reports.groupby(_PROBE)[columns].mean()
    human = mean.to_numpy()
    clips = mean.reset_index().groupby(_CLIP).ngroup().to_numpy()
    flows = {
        key: own.set_index(_PROBE).loc[mean.index, ["u", "v"]].to_numpy()
        for key, own in flow.groupby(["source", "frame"])
    }
    truth = flows["truth", PROBED_FRAME]
    rows, r, ends = [], [], []
    for frame in range(1, 16):
        row = _make_correlation(
            human, flows["truth", frame], clips, n_permutations if frame in _FRAME_REFERENCE else 1, seed,
            quantity=f"r of report and truth of frame {frame}", reference=_FRAME_REFERENCE.get(frame, np.nan),
            split=_FITTING + "clips", region="temporal", note="the eighth of 15 frames was probed",
        )  # fmt: skip
        r.append(row["value"])
        ends.append((row["ci_low"], row["ci_high"]))
        rows += [row] if frame in _FRAME_REFERENCE else []
    model = flows["flownet2", PROBED_FRAME]
    rows += _score_model(
        human, truth, model, clips, n_permutations, seed, name="FlowNet 2", cases="clips", region="temporal",
        references={"r_model": np.nan, "partial_uv": np.nan, "rci": np.nan},
    )  # fmt: skip
    people = reports.groupby(["participant", *_PROBE])[columns].mean()
    for person in reports["participant"].unique():
        own = people.loc[person].loc[mean.index].to_numpy()
        others = people.drop(index=person, level=0).groupby(_PROBE).mean().loc[mean.index].to_numpy()
        rows += _score_model(
            own, truth, others, clips, n_permutations, seed, name="the other people (ceiling)", cases="clips",
            region="temporal", subject=str(person), references={"partial_uv": np.nan},
        )  # fmt: skip
    null = compute_deviation_null(human, truth, model, groups=clips, n_permutations=n_permutations, seed=seed)
    figures = {
        "frame_r": np.array(r),
        "frame_ci": np.array(ends).T,
        "flownet2_partial_r": np.array([score_perceived_flow(human, truth, model)["partial_uv"]]),
        "null_flownet2_partial_r": null["partial_uv"].to_numpy(),
    }
    return rows, figures


def _compare_second_order(table: pd.DataFrame, n_permutations: int, seed: int) -> list[dict[str, Any]]:
    """Correlations are taken within each modulation and averaged over the seven."""
    rows = []
    by_person = {
        str(person): [_get_flows(own[own["modulation"] == name]) for name in MODULATIONS]
        for person, own in table.groupby("participant")
    }
    place: dict[str, Any] = {"region": "second order"}
    for person, pairs in by_person.items():
        human = np.concatenate([h for h, _ in pairs], axis=1)
        truth = np.concatenate([g for _, g in pairs], axis=1)
        rows.append(
            _make_correlation(
                human, truth, np.arange(len(human)), n_permutations, seed, subject=person,
                quantity="r of report and truth, mean of 7 modulations",
                reference=_PERSON_REFERENCE.get(person, np.nan), split=_FITTING + "scenes", **place,
            )
        )  # fmt: skip
    if len(by_person) == 2:
        first, second = by_person.values()
        human = np.concatenate([h for h, _ in first])
        truth = np.concatenate([g for _, g in first])
        other = np.concatenate([h for h, _ in second])
        scenes = np.tile(np.arange(len(first[0][0])), len(first))
        rows += _score_model(
            human, truth, other, scenes, n_permutations, seed, name="the other person (ceiling)",
            cases="scenes", references={"partial_uv": np.nan}, **place,
        )  # fmt: skip
    return rows


_SCORES = {
    "r_model": "r of report and {}",
    "partial_uv": "partial r of report and {}, truth fixed",
    "rci": "RCI of {}",
}


def _score_model(
    human: NDArray,
    truth: NDArray,
    model: NDArray,
    groups: NDArray,
    n_permutations: int,
    seed: int,
    *,
    name: str,
    cases: str,
    references: dict[str, float],
    region: str,
    subject: str = "mean",
) -> list[dict[str, Any]]:
    """Rows of the scores that ``references`` names."""
    null = compute_deviation_null(
        human, truth, model, groups=groups, n_permutations=n_permutations, seed=seed
    )
    draw, rng = make_group_sampler(groups), make_rng(seed, NAME, name, subject)
    drawn = [draw(rng) for _ in range(_N_BOOTSTRAPS)]
    samples = pd.DataFrame([score_perceived_flow(human[i], truth[i], model[i]) for i in drawn])
    found = score_perceived_flow(human, truth, model)
    return [
        make_result_row(
            study=NAME,
            subject=subject,
            region=region,
            quantity=_SCORES[score].format(name),
            value=found[score],
            ci=tuple(np.percentile(samples[score], [2.5, 97.5])),
            # Whoever knows the truth correlates with reports, so that r is not tested against this null.
            null=None if score == "r_model" else null[score],
            chance=np.nan if score == "r_model" else 0.0,
            n=len(human),
            split=_DEVIATIONS + cases,
            reference=reference,
        )
        for score, reference in references.items()
    ]


def _make_correlation(
    human: NDArray,
    truth: NDArray,
    groups: NDArray,
    n_permutations: int,
    seed: int,
    *,
    quantity: str,
    region: str = "all",
    subject: str = "mean",
    **extra: Any,
) -> dict[str, Any]:
    """Row of a correlation over probes; flows (n, 2 k) give the mean of k correlations of stacked u and v."""
    rng = make_rng(seed, NAME, quantity, region, subject)
    draw = make_group_sampler(groups)
    samples = []
    for _ in range(_N_BOOTSTRAPS):
        rows = draw(rng)
        samples.append(_correlate(_stack(human[rows]), _stack(truth[rows])))
    permute = make_group_permuter(groups)
    orders = [permute(rng) for _ in range(n_permutations)]
    target = _stack(truth)
    return make_result_row(
        study=NAME,
        subject=subject,
        region=region,
        quantity=quantity,
        value=_correlate(_stack(human), target),
        ci=tuple(np.percentile(samples, [2.5, 97.5])),
        chance=0.0,
        null=[_correlate(_stack(human[order]), target) for order in orders],
        n=len(human),
        **extra,
    )


def _make_plain(
    human: NDArray,
    truth: NDArray,
    groups: NDArray,
    seed: int,
    quantity: str,
    compute: Callable[..., float],
    cases: str,
    *,
    model: NDArray | None = None,
    region: str = "all",
    **extra: Any,
) -> dict[str, Any]:
    """Row of a number that has no null: an error, a ratio, or an index of a model made of the reports."""
    flows = (human, truth) if model is None else (human, truth, model)
    draw, rng = make_group_sampler(groups), make_rng(seed, NAME, quantity, region)
    drawn = [draw(rng) for _ in range(_N_BOOTSTRAPS)]
    samples = [compute(*(flow[rows] for flow in flows)) for rows in drawn]
    return make_result_row(
        study=NAME,
        subject="mean",
        region=region,
        quantity=quantity,
        value=compute(*flows),
        ci=tuple(np.percentile(samples, [2.5, 97.5])),
        n=len(human),
        split=f"no fitting; interval resamples {cases}",
        **extra,
    )


def _get_flows(table: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    human, truth = (table[[f"{kind}_u", f"{kind}_v"]].to_numpy(dtype=float) for kind in ("human", "true"))
    return human, truth


def _stack(flows: NDArray) -> NDArray[np.float64]:
    """Flows (n, 2 k) as k columns of u above v; a single component stays a column."""
    n_axes = min(2, flows.shape[1])
    return flows.reshape(len(flows), -1, n_axes).transpose(2, 0, 1).reshape(n_axes * len(flows), -1)


def _correlate(first: NDArray, second: NDArray) -> float:
    return float((standardise_columns(first) * standardise_columns(second)).sum(axis=0).mean())
