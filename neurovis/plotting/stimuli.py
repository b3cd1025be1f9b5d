"""Stimuli as they were shown, many on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from neurovis.core import check_array
from neurovis.plotting.style import INK, make_axes, styled


@styled
def plot_stimulus_gallery(
    images: Sequence[NDArray] | NDArray,
    *,
    labels: Sequence[str] | None = None,
    n_columns: int = 8,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Sheet of images of one size, row by row.

    Parameters
    ----------
    images : array of shape (n, height, width, 3) or (n, height, width)
        uint8 in 0..255, or floats in [0, 1].
    labels : sequence of str, length n, optional
        Written under each image.
    n_columns : int
        Images in a row.
    title, ax
        Title; where to draw.

    Raises
    ------
    ValueError
        If there is no image, sizes differ, floats leave [0, 1], or ``labels`` has another length.
    """
    sizes = {np.shape(image) for image in images}
    if len(sizes) != 1:
        raise ValueError(
            f"images must be one or more of the same shape, got {sorted(sizes) or 'none'}; resize them first."
        )
    stack = check_array("images", np.stack(list(images)), ndim=(3, 4))
    if stack.dtype.kind == "f":
        stack = (check_array("images", stack, minimum=0, maximum=1) * 255).round().astype(np.uint8)
    if stack.ndim == 3:
        stack = np.repeat(stack[..., None], 3, axis=-1)
    n, height, width = stack.shape[:3]
    if labels is not None and len(labels) != n:
        raise ValueError(f"labels must have one entry for each of the {n} images, got {len(labels)}.")
    n_columns = min(int(check_array("n_columns", n_columns, ndim=0, minimum=1)), n)
    n_rows = -(-n // n_columns)
    gap = max(1, width // 16)
    text = round(0.24 * height) if labels is not None else 0
    sheet = np.full(
        (n_rows * (height + text + gap) - gap, n_columns * (width + gap) - gap, 3), 255, dtype=np.uint8
    )
    inch = 7.6
    scale = inch / sheet.shape[1]
    ax = make_axes(ax, width=inch, height=sheet.shape[0] * scale + (0.35 if title else 0.05))
    for index, image in enumerate(stack):
        row, column = divmod(index, n_columns)
        top, left = row * (height + text + gap), column * (width + gap)
        sheet[top : top + height, left : left + width] = image
        if labels is not None:
            ax.text(
                left + width / 2,
                top + height + 0.2 * text,
                labels[index],
                ha="center",
                va="top",
                fontsize=min(8.0, 60 * scale * width / max(6, *map(len, labels))),
                color=INK,
            )
    ax.imshow(sheet, interpolation="antialiased")
    ax.set_axis_off()
    ax.set_title(title)
    return ax
