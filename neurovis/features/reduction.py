"""A layer's output to one row of features for each image, with the place of every feature on the grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_option, import_optional

if TYPE_CHECKING:
    from torch import Tensor

TOKENS = ("flatten", "mean", "first", "patches")
MAPS = ("auto", "channels_first", "channels_last")

_MAX_PREFIX = 8
_SAME_STRIDE = 0.05


@dataclass(frozen=True)
class Reduction:
    """What to keep of maps and of sequences.

    Parameters
    ----------
    pool : int, optional
        Average maps, and patch tokens that are kept as ``"patches"``, down to at most ``pool`` by ``pool``
        places; ``None`` keeps every place.
    tokens : {"flatten", "mean", "first", "patches"}
        Of sequences (n, tokens, channels): all tokens, their mean, the class token, or the patches without
        class and register tokens.
    n_prefix_tokens : int, optional
        Tokens before the patches; ``None`` finds out how many leave a grid of the input's shape.
    maps : {"auto", "channels_first", "channels_last"}
        Order of maps; ``"auto"`` takes the order in which both sides shrink by the same factor, and channels
        first if that does not tell.
    token_grid : bool
        Whether patches come row by row. Networks that reorder their tokens inside do without places.
    token_frames : int
        Times that a video transformer's patches cover, one after the other; ``"patches"`` averages over them.

    Raises
    ------
    ValueError
        If an option is unknown or a number is not positive.
    """

    pool: int | None = None
    tokens: str = "flatten"
    n_prefix_tokens: int | None = None
    maps: str = "auto"
    token_grid: bool = True
    token_frames: int = 1

    def __post_init__(self) -> None:
        check_option("tokens", self.tokens, TOKENS)
        check_option("maps", self.maps, MAPS)
        if self.pool is not None and self.pool < 1:
            raise ValueError(f"pool must be at least 1, got {self.pool}; pass None to keep every place.")
        if self.n_prefix_tokens is not None and self.n_prefix_tokens < 0:
            raise ValueError(f"n_prefix_tokens must not be negative, got {self.n_prefix_tokens}.")

    def __call__(
        self, output: Tensor, *, layer: str, n_rows: int, input_px: tuple[int, int]
    ) -> tuple[NDArray[np.float32], dict[str, NDArray[np.int32]]]:
        """Reduce one batch to an array; parameters and errors as :meth:`reduce`."""
        values, coords = self.reduce(output, layer=layer, n_rows=n_rows, input_px=input_px)
        return values.cpu().numpy(), coords

    def reduce(
        self, output: Tensor, *, layer: str, n_rows: int, input_px: tuple[int, int]
    ) -> tuple[Tensor, dict[str, NDArray[np.int32]]]:
        """Reduce one batch, differentiably.

        Parameters
        ----------
        output : Tensor of shape (n_rows, ...)
            (n, channels), (n, tokens, channels), maps of four dimensions, or (n, channels, frames, height,
            width), which is averaged over frames.
        layer : str
            For messages.
        n_rows : int
            Images in the batch.
        input_px : tuple of int
            Height and width of the network's input.

        Returns
        -------
        values : Tensor of shape (n_rows, n_features)
        coords : dict of str to int array of shape (n_features,)
            ``channel``, ``row`` and ``column``; the latter -1 for what has no place.

        Raises
        ------
        ValueError
            If the first dimension is not that of images, or a class token is asked for where there is none.
        """
        if output.ndim < 2 and output.shape[:1] == (n_rows,):
            output = output[:, None]
        if output.ndim == 0 or output.shape[0] != n_rows:
            raise ValueError(
                f"layer {layer!r} must return images first, got shape {tuple(output.shape)} for {n_rows} "
                "images; choose a layer after the dimensions are put in order."
            )
        if output.ndim == 5:
            output = output.mean(dim=2)
        if output.ndim == 4:
            return self._reduce_maps(output, input_px)
        if output.ndim == 3:
            return self._reduce_tokens(output, layer, input_px)
        values = output.flatten(1)
        return values, make_places(values.shape[1], None)

    def _reduce_maps(
        self, output: Tensor, input_px: tuple[int, int]
    ) -> tuple[Tensor, dict[str, NDArray[np.int32]]]:
        last = self.maps == "channels_last" or (
            self.maps == "auto"
            and _is_grid(tuple(output.shape[1:3]), input_px)
            and not _is_grid(tuple(output.shape[2:4]), input_px)
        )
        values = self._pool(output.movedim(3, 1) if last else output)
        places = make_places(values.shape[1], tuple(values.shape[2:]))
        return values.flatten(1), places

    def _reduce_tokens(
        self, output: Tensor, layer: str, input_px: tuple[int, int]
    ) -> tuple[Tensor, dict[str, NDArray[np.int32]]]:
        n_tokens, n_channels = output.shape[1:]
        n_prefix, grid = self._find_grid(n_tokens, input_px)
        if self.tokens == "first" and n_prefix == 0 and (grid or self.n_prefix_tokens is not None):
            raise ValueError(
                f"tokens='first' wants a class token, but the {n_tokens} tokens of layer {layer!r} are all "
                "patches; pass tokens='mean' or 'patches'."
            )
        if self.tokens in ("first", "mean"):
            values = output[:, 0] if self.tokens == "first" else output.mean(dim=1)
            return values, make_places(n_channels, None)
        if self.tokens == "patches":
            if grid is None:
                raise ValueError(
                    f"tokens='patches' wants a grid of patches, got {n_tokens} tokens at layer {layer!r} for "
                    f"an input of {input_px} px; pass n_prefix_tokens or tokens='flatten'."
                )
            maps = output[:, n_prefix:].reshape(len(output), -1, *grid, n_channels).mean(dim=1)
            maps = self._pool(maps.movedim(3, 1))
            places = make_places(n_channels, tuple(maps.shape[2:]))
            return maps.flatten(1), places
        return output.flatten(1), _make_token_places(n_tokens, n_channels, n_prefix, grid)

    def _pool(self, maps: Tensor) -> Tensor:
        if self.pool is None:
            return maps
        torch = import_optional("torch", extra="torch")
        places = [min(side, self.pool) for side in maps.shape[-2:]]
        return torch.nn.functional.adaptive_avg_pool2d(maps, places)

    def _find_grid(self, n_tokens: int, input_px: tuple[int, int]) -> tuple[int, tuple[int, int] | None]:
        """Tokens before the patches, and the patches' (rows, columns) where they make a grid."""
        declared = self.n_prefix_tokens
        # Class tokens may join late, so a declared number may be that of later layers only.
        if declared and n_tokens <= declared:
            return n_tokens, None
        tried = range(_MAX_PREFIX + 1) if declared is None else (declared, 0)
        for n_prefix in tried:
            n_patches, left = divmod(n_tokens - n_prefix, self.token_frames)
            grid = None if left else _factor(n_patches, input_px)
            if grid is not None and (declared is not None or min(grid) > 1):
                return n_prefix, grid if self.token_grid else None
        return declared or 0, None


def _factor(n: int, input_px: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of ``n`` square patches of an input of this shape, if there are such."""
    if n < 1:
        return None
    n_rows = round((n * input_px[0] / input_px[1]) ** 0.5)
    if n_rows < 1 or n % n_rows or not _is_grid((n_rows, n // n_rows), input_px):
        return None
    return n_rows, n // n_rows


def _is_grid(sides: tuple[int, ...], input_px: tuple[int, int]) -> bool:
    down, across = input_px[0] / sides[0], input_px[1] / sides[1]
    return abs(down - across) <= _SAME_STRIDE * max(down, across)


def make_places(n_channels: int, grid: tuple[int, ...] | None) -> dict[str, NDArray[np.int32]]:
    """Coordinates of features in the order channel, row, column; of vectors if there is no grid."""
    if grid is None:
        nowhere = np.full(n_channels, -1, dtype=np.int32)
        return {"channel": np.arange(n_channels, dtype=np.int32), "row": nowhere, "column": nowhere}
    channel, row, column = np.indices((n_channels, *grid), dtype=np.int32).reshape(3, -1)
    return {"channel": channel, "row": row, "column": column}


def _make_token_places(
    n_tokens: int, n_channels: int, n_prefix: int, grid: tuple[int, int] | None
) -> dict[str, NDArray[np.int32]]:
    """Coordinates of features in the order token, channel."""
    place = np.full((2, n_tokens), -1, dtype=np.int32)
    if grid is not None:
        one = np.indices(grid, dtype=np.int32).reshape(2, -1)
        place[:, n_prefix:] = np.tile(one, (n_tokens - n_prefix) // one.shape[1])
    row, column = np.repeat(place, n_channels, axis=1)
    return {"channel": np.tile(np.arange(n_channels, dtype=np.int32), n_tokens), "row": row, "column": column}
