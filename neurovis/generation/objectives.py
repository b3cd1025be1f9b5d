"""Objectives of generated images: what a region, a contrast or a pattern of responses makes of them.

An objective is a function of images (n, 3, height, width) in [0, 1] to (n,), larger is better. Those here
read the responses of an encoder: a network, the encoder's features and its weights in one differentiable
chain, e.g. ``nn.Sequential(make_differentiable(extractor), to_torch(encoder))``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from neurovis.core import check_array, check_option

Respond = Callable[[Tensor], Tensor]
"""Images (n, 3, height, width) in [0, 1] to responses (n, n_neuroids); differentiable."""

MATCHES = ("correlation", "distance")


@dataclass(frozen=True)
class RegionObjective:
    """Mean response of some neuroids: a region, a part of one, or a single vertex.

    Parameters
    ----------
    respond : callable
        Images to responses (n, n_neuroids).
    neuroids : sequence of int
        Columns of the responses, e.g. from :func:`find_neuroids`.

    Raises
    ------
    ValueError
        If there is no neuroid, or one twice.
    """

    respond: Respond
    neuroids: Sequence[int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "neuroids", _check_columns("neuroids", self.neuroids))

    def __call__(self, images: Tensor) -> Tensor:
        """Mean response to each image (n,)."""
        return _select(self.respond(images), self.neuroids).mean(dim=1)


@dataclass(frozen=True)
class ContrastObjective:
    """Mean response of some neuroids minus that of others: what drives one region and not the other.

    Parameters
    ----------
    respond : callable
        Images to responses (n, n_neuroids).
    preferred, suppressed : sequence of int
        Columns whose mean response is to be large, and to be small.
    weight : float
        Of the suppressed neuroids, positive.

    Raises
    ------
    ValueError
        If a set is empty, they share a neuroid, or the weight is not positive.

    Notes
    -----
    The difference of two regions that like similar things may change less with the image than either of
    them; try a larger scale of guidance.
    """

    respond: Respond
    preferred: Sequence[int]
    suppressed: Sequence[int]
    weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("preferred", "suppressed"):
            object.__setattr__(self, name, _check_columns(name, getattr(self, name)))
        shared = set(self.preferred) & set(self.suppressed)
        if shared:
            raise ValueError(
                f"preferred and suppressed must not share neuroids, got {len(shared)} in both; leave them "
                "out of one."
            )
        check_array("weight", self.weight, ndim=0, minimum=0, remedy="pass for example 1")

    def __call__(self, images: Tensor) -> Tensor:
        """Difference of mean responses to each image (n,)."""
        responses = self.respond(images)
        preferred = _select(responses, self.preferred).mean(dim=1)
        return preferred - self.weight * _select(responses, self.suppressed).mean(dim=1)


@dataclass(frozen=True)
class PatternObjective:
    """Likeness of the responses to a given pattern, e.g. one that was measured.

    Parameters
    ----------
    respond : callable
        Images to responses (n, n_neuroids).
    neuroids : sequence of int
        Columns of the responses.
    target : array of shape (len(neuroids),)
        Response of each of these neuroids, in the unit of the encoder.
    match : {"correlation", "distance"}
        Pearson's correlation over neuroids, in [-1, 1], or minus the mean squared difference, which also
        fixes the strength.

    Raises
    ------
    ValueError
        If the target does not fit the neuroids or, for a correlation, is constant.
    """

    respond: Respond
    neuroids: Sequence[int]
    target: ArrayLike
    match: str = "correlation"

    def __post_init__(self) -> None:
        check_option("match", self.match, MATCHES)
        columns = _check_columns("neuroids", self.neuroids)
        target = check_array(
            "target",
            self.target,
            shape=(len(columns),),
            dtype=np.float64,
            remedy="pass one value per neuroid",
        )
        if self.match == "correlation" and np.ptp(target) == 0:
            raise ValueError(
                f"target must vary over neuroids to be correlated, got {len(columns)} equal values; pass "
                "match='distance'."
            )
        object.__setattr__(self, "neuroids", columns)
        object.__setattr__(self, "target", target)

    def __call__(self, images: Tensor) -> Tensor:
        """Likeness of the responses to each image (n,)."""
        responses = _select(self.respond(images), self.neuroids)
        target = torch.as_tensor(self.target, dtype=responses.dtype, device=responses.device)
        if self.match == "distance":
            return -(responses - target).square().mean(dim=1)
        centred = responses - responses.mean(dim=1, keepdim=True)
        return torch.nn.functional.cosine_similarity(centred, (target - target.mean())[None], dim=1)


def find_neuroids(neuroids: Mapping[str, Any], wanted: Sequence[str]) -> NDArray[np.intp]:
    """Columns of an encoder's responses by the names of its neuroids.

    Parameters
    ----------
    neuroids : mapping
        Holds ``neuroid_id``, the encoder's neuroids in the order of their columns: neural data (or their
        coordinates), or a table.
    wanted : sequence of str
        Neuroids of a region, a part of one or a single vertex.

    Returns
    -------
    int array of shape (len(wanted),)

    Raises
    ------
    ValueError
        If some are not among the encoder's neuroids, with their number: a mean over what the encoder does not
        predict would weaken the objective unseen.
    """
    known = {str(name): column for column, name in enumerate(np.asarray(neuroids["neuroid_id"]))}
    names = [str(name) for name in np.asarray(wanted, dtype=object).ravel()]
    outside = [name for name in names if name not in known]
    if outside or not names:
        inside = len(names) - len(outside)
        raise ValueError(
            f"wanted must be neuroids of the encoder, got {inside} of {len(names)} that are"
            + (f" and {len(outside)} that are not, such as {outside[0]!r}" if outside else "")
            + "; leave those out, or fit the encoder to them too."
        )
    return np.array([known[name] for name in names], dtype=np.intp)


def find_region(neuroids: Mapping[str, Any], region: str) -> NDArray[np.intp]:
    """Columns of an encoder's responses that lie in a region.

    Parameters
    ----------
    neuroids : mapping
        As for :func:`find_neuroids`, with ``region``; a part of a region is found by its name if there is
        also ``subdivision``, and regions that overlap by their flags ``in_<region>``.
    region : str
        Name of the region or of a part.

    Raises
    ------
    ValueError
        If no neuroid of the encoder lies there, with the regions that there are.
    """
    if f"in_{region}" in neuroids:
        # Regions that overlap are flags, as those of the Natural Scenes Dataset.
        flagged = np.flatnonzero(np.asarray(neuroids[f"in_{region}"]))
        if len(flagged):
            return flagged
    labels = [np.asarray(neuroids[key]).astype(str) for key in ("region", "subdivision") if key in neuroids]
    found = np.flatnonzero(np.any([label == region for label in labels], axis=0))
    if not len(found):
        known = sorted({name for label in labels for name in label.tolist()} - {""})
        raise ValueError(f"region must be one of the encoder's ({', '.join(known)}), got {region!r}.")
    return found


def _check_columns(parameter: str, columns: Sequence[int]) -> tuple[int, ...]:
    numbers = check_array(parameter, columns, ndim=1, minimum=0, dtype=np.intp)
    if not len(numbers) or len(np.unique(numbers)) != len(numbers):
        raise ValueError(
            f"{parameter} must name at least one neuroid and none twice, got {len(numbers)} of which "
            f"{len(np.unique(numbers))} differ."
        )
    return tuple(numbers.tolist())


def _select(responses: Tensor, columns: Sequence[int]) -> Tensor:
    if responses.ndim != 2 or responses.shape[1] <= max(columns):
        raise ValueError(
            f"respond must give responses (n, n_neuroids) with column {max(columns)}, got shape "
            f"{tuple(responses.shape)}; the neuroids belong to another encoder."
        )
    return responses[:, list(columns)]
