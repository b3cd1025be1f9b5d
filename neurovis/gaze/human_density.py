"""What people predict of each other: where the others looked is the ceiling of models without a history."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import Fixations, GazeModel, make_rng
from neurovis.gaze.models import BANDWIDTHS, get_size
from neurovis.metrics.gaze_arrays import find_pixels
from neurovis.metrics.saliency import compute_fixation_density

SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7)
"""Shares of the centre bias that a fit chooses from."""

_N_IMAGES = 30


@dataclass(frozen=True, eq=False)
class HumanDensity:
    """Where the other people looked on the same image: the ceiling of models without a history.

    A density of all other observers' fixations, blurred, with a share of the centre bias. It reads the
    fixations of the image that it is tested on and is no model of gaze.

    Parameters
    ----------
    fixations : pandas.DataFrame
        Checked fixations of all images that are asked for.
    prior : GazeModel
        Mixed in; the centre bias.
    bandwidth : float
        Width of the blur as a share of the image's longer side.
    share : float
        Share of the prior.
    first_index : int
        Fixations before this one are left out.
    name : str
        Name in tables.
    """

    fixations: Fixations
    prior: GazeModel
    bandwidth: float
    share: float
    first_index: int = 0
    name: str = "other people"
    _rows: dict[str, tuple[NDArray[np.object_], NDArray[np.float64]]] = field(
        default_factory=dict, repr=False
    )

    def __post_init__(self) -> None:
        chosen = self.fixations[self.fixations["index"] >= self.first_index]
        for stimulus_id, rows in chosen.groupby("stimulus_id"):
            self._rows[str(stimulus_id)] = (
                rows["subject"].to_numpy(dtype=object), rows[["x_px", "y_px"]].to_numpy(dtype=float),
            )  # fmt: skip

    def for_trial(self, stimulus_id: str, subject: str) -> OthersDensity:
        """The density for one person on one image: that of everyone else.

        Raises
        ------
        KeyError
            If nobody's fixations on the image are known.
        """
        if stimulus_id not in self._rows:
            raise KeyError(f"fixations of {self.name!r} have no stimulus {stimulus_id!r}; pass all of them.")
        who, xy = self._rows[stimulus_id]
        return OthersDensity(self, xy[who != subject])


@dataclass(frozen=True, eq=False)
class OthersDensity:
    """Blurred fixations ``xy_px`` of everyone but one, as a gaze model; see :class:`HumanDensity`."""

    parent: HumanDensity
    xy_px: NDArray[np.float64]
    uses_history = False

    @property
    def name(self) -> str:
        """Name in tables."""
        return self.parent.name

    def log_density(
        self, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        prior = self.parent.prior.log_density(image, history, target=target)
        if len(self.xy_px) == 0:
            return prior
        density = compute_fixation_density(
            self.xy_px, get_size(image), sigma_px=self.parent.bandwidth * max(get_size(image))
        )
        share = self.parent.share
        with np.errstate(divide="ignore"):
            return np.logaddexp(np.log(density) + math.log1p(-share), prior + math.log(share))


def fit_human_density(
    fixations: Fixations,
    training_ids: Sequence[str],
    load_image: Callable[[str], NDArray[Any]],
    prior: GazeModel,
    *,
    bandwidths: Sequence[float] = BANDWIDTHS,
    shares: Sequence[float] = SHARES,
    first_index: int = 0,
    seed: int = 0,
) -> HumanDensity:
    """Choose blur and share of the prior so that people on training images predict each other best.

    Parameters
    ----------
    fixations : pandas.DataFrame
        Checked fixations of all images, those of the test included, which the ceiling needs.
    training_ids : sequence of str
        Images on which the two numbers are chosen; at most 30 of them are used.
    load_image : callable
        stimulus_id to image (height, width, 3).
    prior : GazeModel
        Centre bias of the training images.
    bandwidths, shares : sequence of float
        Candidates: widths as shares of the longer side, and shares of the prior.
    first_index : int
        Fixations before this one are left out.
    seed : int
        Decides which training images are used.

    Returns
    -------
    HumanDensity

    Raises
    ------
    ValueError
        If no training image was seen by two people.
    """
    chosen = fixations[
        (fixations["index"] >= first_index) & fixations["stimulus_id"].isin(list(training_ids))
    ]
    shared = chosen.groupby("stimulus_id")["subject"].nunique()
    names = sorted(shared.index[shared >= 2])
    if not names:
        raise ValueError(
            "training_ids must hold an image that two people saw, got none; there is no ceiling."
        )
    drawn = make_rng(seed, "human density").permutation(len(names))[:_N_IMAGES]
    likelihood = np.zeros((len(bandwidths), len(shares)))
    mixed = np.array(shares)
    for name in (names[row] for row in drawn):
        rows, image = chosen[chosen["stimulus_id"] == name], load_image(name)
        size = get_size(image)
        base = np.exp(prior.log_density(image, rows.iloc[:0]))
        xy, who = rows[["x_px", "y_px"]].to_numpy(dtype=float), rows["subject"].to_numpy(dtype=object)
        for subject in dict.fromkeys(who):
            own = who == subject
            if own.all():
                continue
            pixels = find_pixels(xy[own], size)
            for row, bandwidth in enumerate(bandwidths):
                density = compute_fixation_density(xy[~own], size, sigma_px=bandwidth * max(size))[pixels]
                mixture = np.outer(density, 1 - mixed) + np.outer(base[pixels], mixed)
                likelihood[row] += np.log(mixture).sum(axis=0)
    best = divmod(int(likelihood.argmax()), len(shares))
    return HumanDensity(
        fixations, prior, float(bandwidths[best[0]]), float(shares[best[1]]), first_index=first_index
    )
