"""Projection of encoder weights into the space of natural image embeddings, in one pass over an image bank.

After Luo et al., "BrainSCUBA" (ICLR 2024), section 3.2. A voxel's weight vector, unlike the embedding of any
image, lies outside the narrow cone of image embeddings, so a caption model cannot read it. The projection is
a softmax-weighted mean of the bank: directions and norms are averaged apart and then joined.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional

if TYPE_CHECKING:
    from torch import Tensor

INVERSE_TEMPERATURE = 150.0
"""Of the published projection."""

PRECISIONS = ("float32", "bfloat16", "float16")
_UNIT_TOLERANCE = 0.02
# Scores are cosines with the bank minus their mean over its first tile, so no score is lower.
_LOWEST_SCORE = -4.0
_SCRATCH_BYTES = 32 * 2**20


class Tile(NamedTuple):
    """Consecutive rows of a bank: unit ``directions`` (k, d), float16 or float32, and ``norms`` (k,)."""

    directions: NDArray
    norms: NDArray


@dataclass(frozen=True)
class Projection:
    """Weights as natural embeddings, one set for each inverse temperature.

    Parameters
    ----------
    inverse_temperatures : tuple of float
        In the order asked for.
    embeddings : array of shape (n_temperatures, n_voxels, d), float32
        Unnormalised: each has the norm of natural embeddings.
    norms : array of shape (n_temperatures, n_voxels), float32
        Their norms.
    n_effective : array of shape (n_temperatures, n_voxels), float32
        Number of bank images that make up the mean, 1 / sum of squared weights: near 1 the result copies one
        image, near the size of the bank it is the same for every voxel.
    """

    inverse_temperatures: tuple[float, ...]
    embeddings: NDArray[np.float32]
    norms: NDArray[np.float32]
    n_effective: NDArray[np.float32]


def make_tiles(embeddings: ArrayLike, *, tile_rows: int = 16384) -> Iterator[Tile]:
    """Split embeddings held in memory into tiles of directions and norms.

    Parameters
    ----------
    embeddings : array of shape (n, d)
        Unnormalised image embeddings; norms are taken in float32.
    tile_rows : int
        Rows of a tile; the last one may be smaller.

    Raises
    ------
    ValueError
        If an embedding is zero or not finite, or ``tile_rows`` is not positive.
    """
    check_array("tile_rows", tile_rows, ndim=0, minimum=1, remedy="for example tile_rows=16384")
    embeddings = check_array("embeddings", embeddings, ndim=2)
    for start in range(0, len(embeddings), tile_rows):
        part = embeddings[start : start + tile_rows].astype(np.float32)
        norms = np.linalg.norm(part, axis=1)
        if not norms.all():
            row = start + int(np.flatnonzero(norms == 0)[0])
            raise ValueError(
                f"embeddings must not be zero, got a zero row {row}; drop images that failed to load."
            )
        yield Tile(part / norms[:, None], norms)


def project_weights(
    weights: ArrayLike,
    bank_tiles: Iterable[Tile],
    inverse_temperatures: float | Sequence[float] = INVERSE_TEMPERATURE,
    *,
    precision: str = "float32",
    device: str = "cpu",
) -> Projection:
    """Project weight vectors onto a bank of image embeddings, reading the bank once for all voxels.

    Parameters
    ----------
    weights : array of shape (n_voxels, d)
        Weights of a linear encoder of unit-norm embeddings; only their directions matter. Negate them to
        project what lowers the response.
    bank_tiles : iterable of Tile
        The bank in any order and of any size, from :func:`make_tiles` or
        :meth:`neurovis.captioning.bank.EmbeddingBank.iterate_tiles`.
    inverse_temperatures : float or sequence of float
        Finite and at least 0. Towards 0 every voxel becomes the mean of the bank, towards infinity the one
        image most along its weights; 150 is the published value. Which is best depends on the bank's size.
    precision : {"float32", "bfloat16", "float16"}
        Of the two matrix products; sums are always float32. ``"float16"`` needs an accelerator. On a
        processor, products in bfloat16 are rounded to 8 bits before the exponential: weights of single images
        change by some percent, directions by about 1e-3.
    device : str
        Torch device of the products and the sums.

    Returns
    -------
    Projection

    Raises
    ------
    ValueError
        If a weight vector is zero, the bank is empty, has another dimension or directions that are not of
        unit norm, or an option is out of range.

    Notes
    -----
    With unit weights w and bank directions d_k and norms n_k, alpha_k = softmax_k(beta w.d_k),
    g = sum_k alpha_k d_k and nu = sum_k alpha_k n_k, the result is nu g / |g| (section 3.2).

    The softmax is taken online (Milakov and Gimelshein, 2018, arXiv 1805.02867): running maximum,
    normaliser, sum of squares and weighted sums, d + 3 numbers per voxel and temperature besides the
    maximum. The mean of the first tile is taken off all directions before the products, which the softmax
    does not see and which keeps half-precision scores small; it is added again at the end.
    """
    torch = import_optional("torch", extra="torch")
    betas = _check_temperatures(inverse_temperatures)
    check_option("precision", precision, PRECISIONS)
    if precision == "float16" and not str(device).startswith("cuda"):
        raise ValueError(
            f"precision 'float16' needs an accelerator, got device={device!r}; use 'bfloat16' or 'float32'."
        )
    units = torch.from_numpy(_scale_to_unit(weights)).to(device)
    sums = _Sums(units, betas, getattr(torch, precision))
    with torch.inference_mode():
        for tile in bank_tiles:
            directions, norms = _check_tile(tile, units.shape[1])
            sums.add(torch.from_numpy(directions).to(device), torch.from_numpy(norms).to(device))
        return sums.finish()


def compute_repeat_agreement(embeddings: ArrayLike) -> NDArray[np.float64]:
    """How far projections onto disjoint parts of a bank agree, for each voxel.

    Parameters
    ----------
    embeddings : array of shape (n_repeats, n_voxels, d)
        Projections of the same weights; at least two repeats.

    Returns
    -------
    array of shape (n_voxels,)
        Mean cosine over all pairs of repeats, in [-1, 1].

    Raises
    ------
    ValueError
        If there are fewer than two repeats or an embedding is zero.
    """
    embeddings = check_array("embeddings", embeddings, ndim=3, dtype=np.float64)
    n_repeats = len(embeddings)
    if n_repeats < 2:
        raise ValueError(
            f"embeddings must hold at least 2 repeats, got {n_repeats}; project onto disjoint bank parts."
        )
    norms = np.linalg.norm(embeddings, axis=2, keepdims=True)
    if not norms.all():
        raise ValueError("embeddings must not be zero, got a zero row; leave those voxels out.")
    # The squared length of a sum of unit vectors is n plus twice the sum of cosines over pairs.
    squared = np.square((embeddings / norms).sum(axis=0)).sum(axis=1)
    return (squared - n_repeats) / (n_repeats * (n_repeats - 1))


class _Sums:
    """Running sums of all voxels, on the device."""

    def __init__(self, units: Tensor, betas: tuple[float, ...], dtype: Any) -> None:
        torch = import_optional("torch", extra="torch")
        n_voxels, dim = units.shape
        self.betas, self.dtype = betas, dtype
        self.units = units.to(dtype)
        self.maximum = units.new_full((n_voxels,), _LOWEST_SCORE)
        shape = (len(betas), n_voxels)
        self.normaliser, self.squares, self.norm = (units.new_zeros(shape) for _ in range(3))
        self.direction = units.new_zeros((*shape, dim))
        self.centre: Tensor | None = None
        self.scratch = [torch.empty(0, device=units.device) for _ in range(2)]

    def add(self, directions: Tensor, norms: Tensor) -> None:
        torch = import_optional("torch", extra="torch")
        if self.centre is None:
            self.centre = directions.float().mean(dim=0)
        centred = (directions.float() - self.centre).to(self.dtype)
        norms = norms.float()
        # Voxels go through in blocks whose scores stay in the cache of a processor.
        step = max(1, _SCRATCH_BYTES // (4 * len(norms)))
        for start in range(0, len(self.units), step):
            part = slice(start, start + step)
            scores = self._multiply(self.units[part], centred.T, 0)
            before = self.maximum[part]
            after = torch.maximum(before, scores.amax(dim=1))
            scores -= after[:, None]
            for i, beta in enumerate(self.betas):
                kept = torch.exp(beta * (before - after))
                last = i == len(self.betas) - 1
                alpha = scores if last else self._take(1, scores.shape).copy_(scores)
                alpha = alpha.mul_(beta).exp_()
                self.normaliser[i, part] = self.normaliser[i, part] * kept + alpha.sum(dim=1)
                squares = torch.linalg.vector_norm(alpha, dim=1).square()
                self.squares[i, part] = self.squares[i, part] * kept.square() + squares
                self.norm[i, part] = self.norm[i, part] * kept + alpha @ norms
                own = self.direction[i, part]
                own *= kept[:, None]
                if self.dtype == torch.float32:
                    own.addmm_(alpha, centred)
                else:
                    own += self._multiply(alpha.to(self.dtype), centred, None)
            self.maximum[part] = after

    def finish(self) -> Projection:
        torch = import_optional("torch", extra="torch")
        if self.centre is None:
            raise ValueError("bank_tiles must hold at least one tile, got none; check the bank.")
        norms = self.norm / self.normaliser
        direction = self.direction / self.normaliser[..., None] + self.centre
        length = torch.linalg.vector_norm(direction, dim=-1)
        if not bool((length > 0).all()):
            raise ValueError(
                "the bank's directions must not cancel out, got a mean of zero; check that the bank holds "
                "image embeddings and raise inverse_temperatures."
            )
        embeddings = direction * (norms / length)[..., None]
        effective = self.normaliser.square() / self.squares
        return Projection(self.betas, embeddings.cpu().numpy(), norms.cpu().numpy(), effective.cpu().numpy())

    def _multiply(self, a: Tensor, b: Tensor, buffer: int | None) -> Tensor:
        """Product in float32, of which half-precision kernels of processors keep 8 bits."""
        torch = import_optional("torch", extra="torch")
        out = None if buffer is None else self._take(buffer, (a.shape[0], b.shape[1]))
        if a.dtype == torch.float32:
            return torch.mm(a, b, out=out)
        if a.is_cuda:
            return torch.mm(a, b, out_dtype=torch.float32)
        return (a @ b).float() if out is None else out.copy_(a @ b)

    def _take(self, buffer: int, shape: Sequence[int]) -> Tensor:
        """Memory that is used again; fresh pages would cost as much as the exponential."""
        size = math.prod(shape)
        if self.scratch[buffer].numel() < size:
            self.scratch[buffer] = self.scratch[buffer].new_empty(size)
        return self.scratch[buffer][:size].view(*shape)


def _check_temperatures(values: float | Sequence[float]) -> tuple[float, ...]:
    betas = check_array(
        "inverse_temperatures", np.atleast_1d(np.asarray(values)), ndim=1, minimum=0, dtype=np.float64,
        remedy="pass for example 150; a large finite number picks the nearest image",
    )  # fmt: skip
    if not betas.size:
        raise ValueError("inverse_temperatures must hold at least one number, got none; pass 150.")
    return tuple(betas.tolist())


def _scale_to_unit(weights: ArrayLike) -> NDArray[np.float32]:
    weights = check_array("weights", weights, ndim=2, dtype=np.float64, remedy="pass (n_voxels, d)")
    if not weights.size:
        raise ValueError(f"weights must not be empty, got shape {weights.shape}; pass (n_voxels, d).")
    norms = np.linalg.norm(weights, axis=1, keepdims=True)
    if not norms.all():
        zero = np.flatnonzero(norms == 0)
        raise ValueError(
            f"weights must not be zero, got {len(zero)} zero rows, the first at {zero[0]}; leave out voxels "
            "that the encoder does not predict."
        )
    return (weights / norms).astype(np.float32)


def _check_tile(tile: Tile, dim: int) -> tuple[NDArray, NDArray[np.float32]]:
    directions, norms = np.asarray(tile[0]), np.asarray(tile[1], dtype=np.float32)
    if directions.ndim != 2 or directions.shape[1] != dim or norms.shape != directions.shape[:1]:
        raise ValueError(
            f"bank_tiles must hold directions (k, {dim}) and norms (k,), got shapes {directions.shape} and "
            f"{norms.shape}; bank and encoder must come from the same embedding."
        )
    if not len(norms):
        raise ValueError("bank_tiles must hold tiles with rows, got an empty one; drop it.")
    if directions.dtype != np.float16:
        directions = directions.astype(np.float32, copy=False)
    lengths = np.square(directions, dtype=np.float32).sum(axis=1)
    # Written so that NaN fails too.
    if not (np.abs(lengths - 1) < _UNIT_TOLERANCE).all():
        raise ValueError(
            "bank_tiles must hold directions of unit norm and the norms apart, got squared norms up to "
            f"{np.max(lengths):.3g}; make tiles of unnormalised embeddings with make_tiles."
        )
    if not ((norms > 0) & np.isfinite(norms)).all():
        raise ValueError("bank_tiles must hold positive finite norms, got others; drop failed images.")
    if not directions.flags.writeable:
        # Torch warns about memory maps that cannot be written.
        directions = directions.copy()
    return directions, norms
