"""How human is a search model: asymmetry between easy and hard search, saccades, scanpaths and success.

Gupta, Zhang, Wu, Wolfe & Kreiman (2021) Visual search asymmetry: deep nets and humans share similar inherent
biases. NeurIPS (arXiv 2106.02953). Everything is computed from what the authors stored: reaction times of
people, tables of their models, and scanpaths of both.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from neurovis.core import Fixations, make_rng
from neurovis.datasets.cards import find_dataset
from neurovis.datasets.visual_search_asymmetry import (
    NAME,
    PARTS,
    PX_PER_DVA,
    SEARCHERS,
    SIZE_PX,
    load_stored_similarities,
    load_success_counts,
    load_visual_search_asymmetry,
    read_asymmetry_trials,
)
from neurovis.evaluation.studies.gaze_models import make_gaze_arrays, make_gaze_rows
from neurovis.evaluation.studies.resampling import compute_bootstrap_ci
from neurovis.evaluation.studies.results import StudyResult, make_result_row, make_result_table
from neurovis.gaze.gaze_comparison import FitGazeModel, GazeComparison, compare_gaze_models
from neurovis.gaze.search_behaviour import (
    analyse_asymmetry,
    compute_asymmetry_indices,
    compute_search_slopes,
    make_human_summary,
)
from neurovis.gaze.search_density import list_search_fits
from neurovis.gaze.search_success import compute_saccade_sizes, compute_split_half_reliability
from neurovis.metrics.regression import pearson_r
from neurovis.metrics.saliency import compute_fixation_density
from neurovis.metrics.scanmatch import compute_scanmatch
from neurovis.metrics.scanpath_agreement import bootstrap_images, compare_observers, compare_with_observers

MODELS = {
    "eccNET": "eccNET/out/eccNET",
    "IVSN": "eccNET/out/IVSN",
    "eccNET without eccentricity": "eccNET/out/eccNET_noecc",
    "eccNET, one layer": "eccNET/out/eccNET_0_0_1",
    "eccNET trained on MNIST": "eccNET/out/eccNET_MNIST",
    "eccNET trained on rotated images": "eccNET/out/eccNET_Rot90",
    "eccNET trained on fish-eye images": "eccNET/out_aug/eccNET_fisheye",
    "eccNET trained on gridded images": "eccNET/out_aug/eccNET_lines",
    "eccNET trained on Places365": "eccNET/out_aug/eccNET_places365",
    "eccNET trained on rotated Places365": "eccNET/out_aug/eccNET_places365_90",
    "chance": "chance",
    "pixel match": "pixelMatch",
}
"""Model -> its folder below ``vs_exp`` of the authors' repository; each holds ``out_data``."""

_HUMAN_SLOPES = {
    "curve_in_lines": 0.80, "line_in_curves": 7.59, "top_down": 4.21, "left_right": 23.88, "non_cross": 45.0,
    "cross": 96.0, "Ts": 14.0, "Ls": 33.0, "homo_t20": 2.38, "homo_t0": 9.86, "hetero_t0": 23.73,
    "hetero_t20": 71.12,
}  # fmt: skip
_HUMAN_INDICES = (0.809, 0.701, 0.362, 0.404, 0.611, 0.500)
_HUMAN_MEAN = 0.564
_INDICES = {
    "eccNET": (1, 1, 0.495, 0.789, -1, 0.791),
    "IVSN": (0.830, 0.988, -0.631, 0.290, -0.581, 1),
    "eccNET without eccentricity": (0.962, -0.771, -0.679, 0.803, 1, -1),
    "eccNET, one layer": (-0.008, 0.970, -0.276, 0.392, -0.528, -0.046),
}
_MEANS = dict(
    zip(MODELS, (0.513, 0.316, 0.052, 0.084, 0.185, -0.405, -0.027, 0.109, 0.213, 0.603, -0.003, -0.178),
        strict=True)
)  # fmt: skip
_SLOPE_R = dict(zip(_INDICES, (0.400, 0.227, 0.215, 0.345), strict=True))
_SLOPES = {"cross": 96.97, "Ls": 99.31, "Ts": 11.68, "homo_t20": 100.39}
_SACCADES = {
    "hetero_t20": (1.000, 1.167, 1.400, 1.600), "cross": (2.000, 3.250, 4.306), "Ls": (1.750, 2.722, 4.111),
    "Ts": (1.028, 1.139, 1.306), "homo_t20": (1.000, 1.967, 3.633, 5.333),
}  # fmt: skip
_FOUND = {
    "ObjArr": {
        "human": (0.268, 0.534, 0.694, 0.812, 0.886, 0.932),
        "eccNET": (0.407, 0.577, 0.703, 0.793, 0.927, 1.0),
        "IVSN": (0.297, 0.497, 0.643, 0.773, 0.920, 1.0),
    },
    "NaturalDesign": {"human": (0.16, np.nan, np.nan, 0.50, np.nan, 0.60)},
}
# Of people, eccNET and IVSN.
_STORED_SCANMATCH = {
    "ObjArr": (0.441, 0.412, 0.404), "Waldo": (0.352, 0.313, 0.287), "NaturalDesign": (0.395, 0.311, 0.313),
}  # fmt: skip
_SCANMATCH = {
    "ObjArr": (0.5605, 0.5380, 0.5321), "Waldo": (0.2882, 0.2193, 0.2163),
    "NaturalDesign": (0.4512, 0.2721, 0.2765),
}  # fmt: skip
_OTHER_IMAGE = {"ObjArr": 0.4293, "Waldo": 0.1848, "NaturalDesign": 0.2656}
_SACCADE_SIZES = {"Waldo": (4.79, 4.89, 19.02), "NaturalDesign": (6.22, 5.79, 15.97)}
_RELIABILITY = {"ObjArr": 0.63, "Waldo": 0.82, "NaturalDesign": 0.83}
_WHO = dict(zip(SEARCHERS, ("people (ceiling)", "eccNET", "IVSN"), strict=True))
_N_BOOTSTRAPS = 1000
_DENSITY_PART = "NaturalDesign"
_SHRINK = 8
_PUBLISHED = "no fitting; published means, hence no interval"
_DISPLAYS = "no fitting; interval resamples displays of each set size"


def analyse_visual_search_asymmetry(
    root: str | Path | None = None, *, n_permutations: int = 1000, seed: int = 0
) -> StudyResult:
    """Compare people with the authors' models in arrays, objects on a ring and scenes.

    Parameters
    ----------
    root : path, optional
        As in :func:`neurovis.datasets.cards.find_dataset`. The folder may hold ``vs_exp`` of the authors'
        repository, for the models' asymmetry, and any of the parts NaturalDesign, Waldo and ObjArr of
        ``vs_saccade_exp/out``; what is not there is left out.
    n_permutations : int
        Permutations of each null.
    seed : int
        Of splits, fits, nulls and bootstraps.

    Returns
    -------
    StudyResult
        ``figures_data``: the arrays of :func:`neurovis.evaluation.studies.gaze_models.make_gaze_result` for
        NaturalDesign, if it is there.

    Notes
    -----
    ``reference`` is the number recomputed from the authors' files when they were published, or, for people,
    their figures. No output of GBVS was stored, so that its mean index (-0.018) has no row. Intervals of the
    shares of targets that people found resample people and images at once (Owen 2007, The pigeonhole
    bootstrap, Annals of Applied Statistics 1:386-411), because searches of one person, and searches in
    one image, are alike; those of a model, which searched each image once, are Wilson's. NaturalDesign
    has no images here: the densities of eccNET and IVSN are their stored fixations, blurred.
    """
    folder = find_dataset(NAME, root)
    rows = _describe_people()
    stored = [name for name, path in MODELS.items() if (folder / "vs_exp" / path / "out_data").is_dir()]
    for name in stored:
        trials = read_asymmetry_trials(folder / "vs_exp" / MODELS[name] / "out_data")
        rows += _describe_model(name, trials, n_permutations, seed)
    if not stored:
        rows[-1]["note"] = "models' tables (vs_exp of the source) are not here"
    arrays: dict[str, NDArray] = {}
    for part in (name for name in PARTS if (folder / name).is_dir()):
        gaze = {
            searcher: load_visual_search_asymmetry(root=root, part=part, searcher=searcher)[1]
            for searcher in SEARCHERS
        }
        rows += [
            *_describe_success(root, part, seed),
            *_describe_similarity(root, part, gaze, seed),
            *_describe_saccades(root, part, seed),
        ]
        if part == _DENSITY_PART:
            comparison = _compare_densities(root, gaze, seed)
            made = make_gaze_rows(comparison, study=NAME, n_permutations=n_permutations, seed=seed)
            rows += [row | {"region": part} for row in made]
            arrays = make_gaze_arrays(comparison)
    return StudyResult(make_result_table(rows), arrays)


def _describe_people() -> list[dict[str, Any]]:
    slopes = compute_search_slopes(make_human_summary())
    indices = compute_asymmetry_indices(slopes)
    common: dict[str, Any] = {"study": NAME, "subject": "people", "split": _PUBLISHED}
    summary = make_human_summary()
    rows = [
        make_result_row(
            quantity="search slope [ms/item]", region=name, value=slopes[name], reference=reference,
            n=int((summary["condition"] == name).sum()), **common,
        )
        for name, reference in _HUMAN_SLOPES.items()
    ]  # fmt: skip
    rows += [
        make_result_row(
            quantity=_name_index(number), value=value, n=2, chance=0.0, reference=reference, **common
        )
        for (number, value), reference in zip(indices.items(), _HUMAN_INDICES, strict=True)
    ]
    mean = make_result_row(
        quantity=_name_index("mean"), value=indices.mean(), n=len(indices), chance=0.0, reference=_HUMAN_MEAN,
        **common,
    )  # fmt: skip
    return [*rows, mean]


def _name_index(number: object) -> str:
    which = "mean of 6 experiments" if number == "mean" else f"experiment {number}"
    return f"asymmetry index, {which} [-1 to 1]"


def _describe_model(name: str, trials: pd.DataFrame, n_permutations: int, seed: int) -> list[dict[str, Any]]:
    """Indices and slopes of a model, and its mean numbers of saccades where they were published."""
    report = analyse_asymmetry(trials, n_bootstraps=n_permutations, seed=seed)
    common: dict[str, Any] = {"study": NAME, "subject": name}
    references = dict(enumerate(_INDICES.get(name, (np.nan,) * 6), start=1)) | {"mean": _MEANS[name]}
    rows = []
    for number, found in zip(references, report.indices.to_dict("records"), strict=True):
        row = make_result_row(
            quantity=_name_index(number), value=found["asymmetry_index"], ci=(found["low"], found["high"]),
            chance=0.0, n=len(trials), reference=references[number],
            split=_DISPLAYS + ", null exchanges them between conditions", **common,
        )  # fmt: skip
        rows.append(row | {"null_95": found["null_95"], "p_value": found["p_value"]})
    if np.isfinite(report.slope_r):  # equal slopes correlate with nothing
        human = report.slopes["human_slope_ms"].to_numpy()
        rng = make_rng(seed, NAME, "slopes", name)
        shuffled = np.stack([rng.permutation(human) for _ in range(n_permutations)], axis=1)
        null = pearson_r(shuffled, np.tile(report.slopes["slope_ms"].to_numpy()[:, None], n_permutations))
        rows.append(
            make_result_row(
                quantity="r of slopes with people", value=report.slope_r, ci=report.slope_r_interval,
                chance=0.0, null=null, n=len(human), reference=_SLOPE_R.get(name, np.nan),
                split=_DISPLAYS + ", null permutes conditions", **common,
            )
        )  # fmt: skip
    if name != "eccNET":
        return rows
    for condition, found in report.slopes.to_dict("index").items():
        half = 1.96 * found["sem_ms"]
        rows.append(
            make_result_row(
                quantity="search slope [ms/item]", region=str(condition), value=found["slope_ms"],
                ci=(found["slope_ms"] - half, found["slope_ms"] + half), chance=0.0,
                n=int((trials["condition"] == condition).sum()),
                reference=_SLOPES.get(str(condition), np.nan), split=_DISPLAYS, **common,
            )
        )  # fmt: skip
    for condition, numbers in _SACCADES.items():
        own = trials[trials["condition"] == condition]
        for size, reference in zip(sorted(set(own["set_size"])), numbers, strict=True):
            n = own.loc[own["set_size"] == size, "n_saccades"].to_numpy(dtype=float)
            rng = make_rng(seed, NAME, condition, int(size))
            ci = compute_bootstrap_ci(partial(_average, n), len(n), rng, n_bootstraps=_N_BOOTSTRAPS)
            rows.append(
                make_result_row(
                    quantity=f"saccades until found, {size} items [saccades]", region=condition,
                    value=float(n.mean()), ci=(ci[0], ci[1]), n=len(n), reference=reference,
                    split=_DISPLAYS, **common,
                )
            )  # fmt: skip
    return rows


def _average(values: NDArray[np.float64], rows: NDArray[np.intp]) -> float:
    return float(values[rows].mean())


def _describe_success(root: str | Path | None, part: str, seed: int) -> list[dict[str, Any]]:
    """Share of targets found after one to six saccades, as the authors counted them."""
    rows = []
    for searcher in SEARCHERS:
        when = load_success_counts(root=root, part=part, searcher=searcher)
        references = _FOUND.get(part, {}).get(searcher, (np.nan,) * 6)
        if searcher == "human":
            split = "no fitting; interval resamples people and images"
        else:
            split = "no fitting; Wilson interval over images"
        for k, reference in enumerate(references, start=1):
            found = when <= k
            if searcher == "human":
                ci = _resample_both(found, make_rng(seed, NAME, part, "success"))
            else:
                ends = stats.binomtest(int(found.sum()), found.size).proportion_ci(method="wilson")
                ci = (ends.low, ends.high)
            rows.append(
                make_result_row(
                    study=NAME, subject=_WHO[searcher], region=part,
                    quantity=f"targets found by saccade {k} [share]", value=float(found.mean()), ci=ci,
                    n=found.shape[searcher != "human"], reference=reference, split=split,
                )
            )  # fmt: skip
    return rows


def _resample_both(values: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of the mean over people and images (n, m), both drawn anew (Owen 2007)."""
    people, images = (rng.multinomial(n, np.full(n, 1 / n), size=_N_BOOTSTRAPS) / n for n in values.shape)
    low, high = np.percentile(((people @ values) * images).sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _describe_similarity(
    root: str | Path | None, part: str, gaze: dict[str, Fixations], seed: int
) -> list[dict[str, Any]]:
    """ScanMatch as stored and as computed here, with its ceiling and scanpaths on other images as chance."""
    stored = load_stored_similarities(root=root, part=part).to_dict("index")
    score = partial(compute_scanmatch, size_px=SIZE_PX)
    # Each person against the others on the next image.
    ids = sorted(gaze["human"]["stimulus_id"].unique())
    following = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    moved = gaze["human"].assign(stimulus_id=gaze["human"]["stimulus_id"].map(following))
    chance = _resample(compare_with_observers(moved, gaze["human"], score), seed)
    tables = {name: compare_with_observers(gaze[name], gaze["human"], score) for name in ("eccNET", "IVSN")}
    tables["human"] = compare_observers(gaze["human"], score)
    rows = [
        make_result_row(
            study=NAME, subject="people", region=part,
            quantity="ScanMatch, scanpaths on other images [0 to 1]", value=chance["value"],
            ci=(chance["low"], chance["high"]), n=int(chance["n_images"]),
            reference=_OTHER_IMAGE[part], split="no fitting; interval resamples images",
            note="other images: the next one; which ones the reference took is not told",
        )
    ]  # fmt: skip
    for place, searcher in enumerate(SEARCHERS):
        found = _resample(tables[searcher], seed)
        value, half = stored[searcher]["scanmatch"], 1.96 * stored[searcher]["sem"]
        common: dict[str, Any] = {"study": NAME, "subject": _WHO[searcher], "region": part}
        rows += [
            make_result_row(
                quantity="ScanMatch [0 to 1]", value=found["value"], ci=(found["low"], found["high"]),
                chance=chance["value"], n=int(found["n_images"]), reference=_SCANMATCH[part][place],
                split="no fitting; interval resamples images", note="12 x 8 regions, threshold 3.5, gap 0",
                **common,
            ),
            make_result_row(
                quantity="ScanMatch, stored by the authors [0 to 1]", value=value,
                ci=(value - half, value + half), n=PARTS[part].n_images,
                reference=_STORED_SCANMATCH[part][place],
                split="no fitting; interval from the stored standard error",
                note="settings of the toolbox are not told", **common,
            ),
        ]  # fmt: skip
    return rows


def _resample(table: pd.DataFrame, seed: int) -> dict[Any, Any]:
    """Mean over images of a score and its interval."""
    return bootstrap_images(table, seed=seed).to_dict("index")["score"]


def _describe_saccades(root: str | Path | None, part: str, seed: int) -> list[dict[str, Any]]:
    """Median saccades, and how well half of the people predict how long the others search."""
    rows = []
    for place, searcher in enumerate(SEARCHERS):
        table = load_visual_search_asymmetry(root=root, part=part, searcher=searcher, outside="keep")[1]
        sizes = compute_saccade_sizes(table, px_per_dva=PX_PER_DVA)
        shown = table.loc[table["index"] > 0, "stimulus_id"].to_numpy(dtype=str)
        own = [sizes[shown == name] for name in np.unique(shown)]
        rng = make_rng(seed, NAME, part, searcher)
        ci = compute_bootstrap_ci(partial(_take_median, own), len(own), rng, n_bootstraps=_N_BOOTSTRAPS)
        rows.append(
            make_result_row(
                study=NAME, subject=_WHO[searcher], region=part, quantity="median saccade [dva]",
                value=float(np.median(sizes)), ci=(ci[0], ci[1]), n=len(sizes),
                reference=_SACCADE_SIZES.get(part, (np.nan,) * 3)[place],
                split="no fitting; interval resamples images",
            )
        )  # fmt: skip
        if searcher == "human":
            last = table.pivot_table(index="subject", columns="stimulus_id", values="index", aggfunc="max")
            counts = last.to_numpy(dtype=float)
            rows.append(
                make_result_row(
                    study=NAME, subject="people", region=part, quantity="split-half r of saccade counts",
                    value=compute_split_half_reliability(counts, seed=seed), n=counts.shape[1], chance=0.0,
                    reference=_RELIABILITY[part], split="no fitting; 200 splits of the people into 7 and 8",
                    note="the reference may count other searches" if part == "ObjArr" else "",
                )
            )  # fmt: skip
    return rows


def _take_median(groups: list[NDArray[np.float64]], rows: NDArray[np.intp]) -> float:
    return float(np.median(np.concatenate([groups[row] for row in rows])))


def _compare_densities(root: str | Path | None, gaze: dict[str, Fixations], seed: int) -> GazeComparison:
    """Gaze models on images left out; the first fixation is the given one at the centre."""
    stimuli, _ = load_visual_search_asymmetry(root=root, part=_DENSITY_PART)
    fits: dict[str, FitGazeModel] = {}
    size = (SIZE_PX[0] // _SHRINK, SIZE_PX[1] // _SHRINK)
    for name in ("eccNET", "IVSN"):
        chosen = gaze[name][gaze[name]["index"] > 0]
        maps = {
            str(key): compute_fixation_density(
                rows[["x_px", "y_px"]].to_numpy() / _SHRINK, size, sigma_px=1.0
            )
            for key, rows in chosen.groupby("stimulus_id")
        }
        # A search that ended at the start looked nowhere else.
        blank = np.full(size, 1 / (size[0] * size[1]))
        fits |= list_search_fits({key: maps.get(key, blank) for key in stimuli.stimulus_ids}, name=name)
    return compare_gaze_models(
        stimuli, gaze["human"], fit_models=fits, first_index=1, shrink=_SHRINK, seed=seed
    )
