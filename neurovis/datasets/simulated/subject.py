"""A simulated subject: one row per vertex with everything that decides its responses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from neurovis.core import make_rng
from neurovis.datasets.simulated.anatomy import CATEGORY_OF_REGION, EARLY_REGIONS, make_anatomy
from neurovis.datasets.simulated.responses import compute_reference_sd
from neurovis.stimuli.world import CATEGORY_OF
from neurovis.stimuli.world_shares import SUBTYPE_NAMES

SILENT_SHARE = 0.22

# Population receptive field size [dva] at the fovea and its growth per degree of eccentricity.
_PRF_SIZE = {
    "V1": (0.45, 0.10),
    "V2": (0.55, 0.15),
    "V3": (0.65, 0.20),
    "hV4": (0.9, 0.30),
    "hMT": (1.0, 0.35),
}
# Highest preferred spatial frequency [cpd], at the fovea.
_FREQUENCY_SCALE = {"V1": 2.0, "V2": 1.7, "V3": 1.4, "hV4": 1.2}
# Category regions: mean and spread of eccentricity, and receptive field size [dva]. Face, word and food
# regions look at the fovea, place regions at the periphery (Levy et al. 2001).
_CATEGORY_FIELD = {
    "OFA": (0.7, 0.5, 1.4),
    "FFA": (0.6, 0.4, 1.8),
    "EBA": (1.3, 0.7, 2.1),
    "FBA": (1.0, 0.6, 2.2),
    "OPA": (2.4, 0.8, 1.9),
    "PPA": (2.2, 0.8, 2.4),
    "RSC": (2.4, 0.8, 2.6),
    "VWFA": (0.5, 0.4, 1.9),
    "food": (0.8, 0.5, 1.9),
}
# A second category that part of a region's cells prefers.
_SECOND_CATEGORY = {
    "OFA": "body",
    "FFA": "body",
    "EBA": "face",
    "FBA": "face",
    "OPA": "object",
    "PPA": "object",
    "RSC": "object",
    "VWFA": "object",
    "food": "object",
}
_NCSNR_MEDIAN = {"hMT": 0.4}

_TUNING_COLUMNS = (
    "x_dva",
    "y_dva",
    "sigma_dva",
    "orientation_deg",
    "spatial_frequency_cpd",
    "direction_deg",
    "speed_dps",
)


@dataclass(frozen=True)
class SimulatedSubject:
    """One simulated brain.

    Parameters
    ----------
    subject : str
        Label, e.g. ``"01"``.
    seed : int
        Seed it was made with.
    table : pandas.DataFrame
        One row per analysed vertex, ordered by vertex:

        - ``vertex`` (0-20483 of fsaverage5, left hemisphere first), ``hemisphere``, ``region`` and
          ``subdivision`` ("" or "<region>-1"/"-2": posterior and anterior part of a category region, or
          the medial and lateral strip of the food region, which prefer the first and the second subtype);
        - ``responsive``: False for silent vertices, whose signal is exactly zero;
        - ``x_dva, y_dva, sigma_dva``: receptive field (right and up positive) [degrees];
        - ``orientation_deg`` (of the bars, counter-clockwise from horizontal) and
          ``spatial_frequency_cpd`` in V1-hV4; ``direction_deg`` and ``speed_dps`` in hMT; NaN elsewhere;
        - ``w_<subtype>``: weights of the twelve kinds of evidence, zero outside category regions;
        - ``gain``: percent signal change per unit of the raw response;
        - ``signal_sd``, ``noise_sd`` [percent] of one trial over reference scenes, and
          ``ncsnr = signal_sd / noise_sd``.
    """

    subject: str
    seed: int
    table: pd.DataFrame

    @property
    def n_vertices(self) -> int:
        """Number of analysed vertices."""
        return len(self.table)

    @property
    def neuroid_ids(self) -> list[str]:
        """Names of the vertices, ``sub-<subject>_v<vertex>``."""
        return [f"sub-{self.subject}_v{vertex:05d}" for vertex in self.table["vertex"]]


def make_subject(subject: str, *, seed: int) -> SimulatedSubject:
    """Make one subject; another label gives another anatomy and tuning under the same seed.

    Parameters
    ----------
    subject : str
        Label of letters and digits, as in BIDS, e.g. ``"01"``.
    seed : int
        Seed of all subjects.

    Returns
    -------
    SimulatedSubject
        About 2100 vertices, 22 % of them silent.

    Raises
    ------
    ValueError
        If the label is not made of letters and digits.
    """
    if not (isinstance(subject, str) and subject.isalnum()):
        raise ValueError(
            f"subject must be a label of letters and digits, got {subject!r}; pass for example '01'."
        )
    return SimulatedSubject(subject, seed, _make_table(subject, seed).copy())


@lru_cache(maxsize=16)
def _make_table(subject: str, seed: int) -> pd.DataFrame:
    table = make_anatomy(subject, seed=seed)
    rng = make_rng(seed, "tuning", subject)
    n = len(table)
    table["responsive"] = rng.random(n) >= SILENT_SHARE
    _add_receptive_fields(table, rng)
    early = table["region"].isin(EARLY_REGIONS).to_numpy()
    hmt = (table["region"] == "hMT").to_numpy()
    eccentricity = np.hypot(table["x_dva"].to_numpy(), table["y_dva"].to_numpy())
    scale = table["region"].map(_FREQUENCY_SCALE).to_numpy(dtype=float)
    frequency = scale / (1 + 0.35 * eccentricity) * np.exp(rng.normal(0, 0.25, n))
    table["orientation_deg"] = np.where(early, rng.uniform(0, 180, n), np.nan)
    table["spatial_frequency_cpd"] = np.where(early, np.clip(frequency, 0.5, 2.2), np.nan)
    table["direction_deg"] = np.where(hmt, rng.uniform(0, 360, n), np.nan)
    table["speed_dps"] = np.where(hmt, np.exp(rng.uniform(np.log(1.5), np.log(6.0), n)), np.nan)
    weights = _make_evidence_weights(table, rng)
    for column, subtype in enumerate(SUBTYPE_NAMES):
        table[f"w_{subtype}"] = weights[:, column]

    median = table["region"].map(_NCSNR_MEDIAN).fillna(1.0).to_numpy(dtype=float)
    ncsnr = median * np.clip(np.exp(rng.normal(0.0, 0.35, n)), 0.5, 2.0)
    noise_sd = np.exp(rng.normal(np.log(0.8), 0.25, n))
    responsive = table["responsive"].to_numpy()
    table["noise_sd"] = noise_sd
    table["ncsnr"] = np.where(responsive, ncsnr, 0.0)
    table["signal_sd"] = table["ncsnr"] * noise_sd
    # Tuning of a silent vertex means nothing; nothing is kept that could be mistaken for the truth.
    table.loc[~responsive, list(_TUNING_COLUMNS)] = np.nan
    table["gain"] = 0.0
    raw_sd = compute_reference_sd(table)
    table.loc[responsive, "gain"] = table.loc[responsive, "signal_sd"] / raw_sd[responsive]
    return table


def _add_receptive_fields(table: pd.DataFrame, rng: np.random.Generator) -> None:
    """Fill ``x_dva, y_dva, sigma_dva`` in place; early areas keep the positions of their map."""
    n = len(table)
    region = table["region"].to_numpy()
    side = np.where(table["hemisphere"] == "left", 1.0, -1.0)
    sigma = np.zeros(n)
    draws = rng.normal(size=(n, 3))
    angle = rng.uniform(-0.5, 0.5, n) * np.pi
    for name, (mean, spread, size) in _CATEGORY_FIELD.items():
        here = region == name
        eccentricity = np.abs(mean + spread * draws[here, 0])
        # A receptive field over the fovea reaches into both halves of the field.
        table.loc[here, "x_dva"] = side[here] * eccentricity * np.cos(angle[here])
        table.loc[here, "y_dva"] = eccentricity * np.sin(angle[here])
        sigma[here] = size * np.exp(0.15 * draws[here, 1])
    here = region == "hMT"
    eccentricity = rng.uniform(0.5, 3.5, int(here.sum()))
    table.loc[here, "x_dva"] = side[here] * eccentricity * np.cos(angle[here])
    table.loc[here, "y_dva"] = eccentricity * np.sin(angle[here])
    for name, (fovea, growth) in _PRF_SIZE.items():
        here = region == name
        eccentricity = np.hypot(table.loc[here, "x_dva"], table.loc[here, "y_dva"])
        sigma[here] = (fovea + growth * eccentricity) * np.exp(0.1 * draws[here, 2])
    table["sigma_dva"] = sigma


def _make_evidence_weights(table: pd.DataFrame, rng: np.random.Generator) -> NDArray[np.float64]:
    weights = np.zeros((len(table), len(SUBTYPE_NAMES)))
    category_of = [CATEGORY_OF[subtype] for subtype in SUBTYPE_NAMES]
    for region, category in CATEGORY_OF_REGION.items():
        rows = np.flatnonzero((table["region"] == region) & table["responsive"])
        n = len(rows)
        block = 0.08 * np.exp(rng.normal(0, 0.5, (n, len(SUBTYPE_NAMES))))
        second = rng.uniform(0.05, 0.25, n)
        for column, name in enumerate(category_of):
            if name == _SECOND_CATEGORY[region]:
                block[:, column] += second
        first_subtype = category_of.index(category)
        part = table["subdivision"].to_numpy()[rows] == f"{region}-2"
        preferred, other = first_subtype + part, first_subtype + 1 - part
        block[np.arange(n), preferred] = np.exp(rng.normal(0, 0.1, n))
        block[np.arange(n), other] = rng.uniform(0.35, 0.6, n)
        weights[rows] = block
    return weights
