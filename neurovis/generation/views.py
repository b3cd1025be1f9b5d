"""Responses averaged over slightly different views of each image, to guide by what all of them share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.core import check_array, make_rng


class ViewAverage:
    """Mean response to shifted, zoomed and noisy views of each image.

    Following the gradient of one network, images come to hold what only this network takes for a face: the
    prediction leaves the range of natural images and no other observer agrees. The gradient of the expected
    response over small changes of the image, which mean nothing to a visual system, points to what survives
    them (Athalye et al., 2018, ICML, equation 1; Cohen et al., 2019, ICML, for noise).

    Parameters
    ----------
    respond : callable
        Images (n, 3, height, width) in [0, 1] to responses (n, n_neuroids).
    n_views : int
        Views of each image. 1 is the plain view, unchanged (BrainDiVE).
    shift : float
        Largest shift, as a share of the side; edges are mirrored.
    zoom : float
        Largest change of size, as a share.
    noise_sd : float
        Standard deviation of Gaussian pixel noise, which may leave [0, 1].
    seed : int
        Decides the views. They are the same for all images and in all calls, so that an image's objective
        does not depend on others or on when it is asked.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    A deviation from BrainDiVE, which follows one view. It costs ``n_views`` passes through the encoder, none
    through the denoiser or the decoder.
    """

    def __init__(
        self,
        respond: Callable[[Tensor], Tensor],
        *,
        n_views: int = 8,
        shift: float = 0.2,
        zoom: float = 0.3,
        noise_sd: float = 0.08,
        seed: int = 0,
    ) -> None:
        check_array("n_views", n_views, ndim=0, minimum=1, remedy="1 is the plain view")
        for name, value in (("shift", shift), ("zoom", zoom)):
            check_array(name, value, ndim=0, minimum=0, maximum=0.5, remedy="pass a share of the side")
        check_array("noise_sd", noise_sd, ndim=0, minimum=0, remedy="pass for example 0.08")
        self.respond, self.n_views = respond, int(n_views)
        self._noise_sd, self._seed = noise_sd, seed
        draws = torch.from_numpy(make_rng(seed, "views").uniform(-1, 1, (self.n_views, 3)))
        self._maps = torch.zeros(self.n_views, 2, 3, dtype=torch.float64)
        self._maps[:, 0, 0] = self._maps[:, 1, 1] = 1 + zoom * draws[:, 0]
        # Coordinates of affine_grid run from -1 to 1, so a share of the side is twice as long.
        self._maps[:, :, 2] = 2 * shift * draws[:, 1:]
        self._noise = torch.zeros(0)

    def __call__(self, images: Tensor) -> Tensor:
        """Mean responses (n, n_neuroids) to images (n, 3, height, width)."""
        if self.n_views == 1:
            return self.respond(images)
        n = len(images)
        copies = images.repeat_interleave(self.n_views, dim=0)
        grid = functional.affine_grid(
            self._maps.to(images).repeat(n, 1, 1), list(copies.shape), align_corners=False
        )
        views = functional.grid_sample(copies, grid, padding_mode="reflection", align_corners=False)
        noisy = views + self._draw_noise(images.shape[1:]).to(images).repeat(n, 1, 1, 1)
        return self.respond(noisy).unflatten(0, (n, self.n_views)).mean(dim=1)

    def _draw_noise(self, shape: torch.Size) -> Tensor:
        if self._noise.shape[1:] != shape:
            rng = make_rng(self._seed, "noise of views")
            draws = rng.standard_normal((self.n_views, *shape)) * self._noise_sd
            self._noise = torch.from_numpy(draws)
        return self._noise
