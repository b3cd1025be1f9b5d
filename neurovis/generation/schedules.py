"""Noise levels and the step between them: DPM-Solver++ (2M, also with noise), DDIM and Euler in one form.

The state is always ``z = a x0 + s eps`` with ``a**2 + s**2 = 1`` (variance-preserving), for every sampler, so
that guidance is written once. In these coordinates DDIM (Song, Meng & Ermon 2021, ICLR, eq. 12 without
noise), the Euler method of Karras et al. (2022, NeurIPS) and the first-order step of DPM-Solver++ (Lu et al.
2022, arXiv 2211.01095) are one formula; they differ in the noise levels that they visit. Levels come from
the scheduler of diffusers of the same name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurovis.core import check_option, import_optional

_SCHEDULERS = {
    "dpm++": "DPMSolverMultistepScheduler",
    "sde-dpm++": "DPMSolverMultistepScheduler",
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
}

SAMPLERS = tuple(_SCHEDULERS)
PREDICTIONS = ("epsilon", "v_prediction")

_NOT_SUPPORTED = {
    "clip_sample": "latents have no range to be clipped to",
    "thresholding": "latents have no range to be clipped to",
    "rescale_betas_zero_snr": "x0 cannot be told from a noise prediction where no signal is left",
    "use_flow_sigmas": "signal and noise must keep unit variance",
}


@dataclass(frozen=True)
class Schedule:
    """Noise levels of a denoising run, from noise to image.

    Parameters
    ----------
    timesteps : Tensor of shape (n_steps,)
        What the network is told.
    alpha, sigma : tuple of float of length n_steps
        Signal and noise before each step.
    alpha_next, sigma_next : tuple of float of length n_steps
        Signal and noise after each step. With DDIM and evenly spread timesteps the level after a step may
        differ by rounding from the one before the next step, as in diffusers.
    start : float
        Standard deviation of the noise that a run starts from.
    prediction : {"epsilon", "v_prediction"}
        What the network's output is.
    second_order : bool
        Whether a step uses the estimate of the step before.
    stochastic : bool
        Whether a step takes more noise away than it has to and adds as much anew.
    """

    timesteps: Tensor
    alpha: tuple[float, ...]
    sigma: tuple[float, ...]
    alpha_next: tuple[float, ...]
    sigma_next: tuple[float, ...]
    start: float
    prediction: str
    second_order: bool
    stochastic: bool = False

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.alpha)

    def to_noise(self, output: Tensor, latents: Tensor, step: int) -> Tensor:
        """The noise in ``latents`` that the network's output means."""
        if self.prediction == "epsilon":
            return output
        return self.alpha[step] * output + self.sigma[step] * latents

    def to_clean(self, noise: Tensor, latents: Tensor, step: int) -> Tensor:
        """The clean latents x0 that a noise prediction means."""
        return (latents - self.sigma[step] * noise) / self.alpha[step]

    def advance(
        self, noise: Tensor, latents: Tensor, before: Tensor | None, step: int, fresh: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step towards the image.

        Parameters
        ----------
        noise : Tensor of shape (n, ...)
            Predicted, and guided, noise.
        latents : Tensor of shape (n, ...)
            State before the step.
        before : Tensor of shape (n, ...), optional
            Clean latents estimated in the step before; needed from the second step on where the schedule is
            of second order.
        step : int
            Number of the step.
        fresh : Tensor of shape (n, ...), optional
            Standard normal noise; needed where the schedule is stochastic.

        Returns
        -------
        latents : Tensor of shape (n, ...)
            State after the step.
        clean : Tensor of shape (n, ...)
            Clean latents estimated in this step.

        Notes
        -----
        With ``ratio = (s' a) / (a' s)``, which is exp(-h) in the notation of Lu et al.,
        ``z' = (s' / s) z + a' (1 - ratio) D``: D is the clean estimate, or with the second order its linear
        extrapolation to the middle of the step in log signal-to-noise (their eq. 13 and algorithm 2). A
        stochastic step keeps only ``ratio`` times that noise, goes as if twice as far and adds new noise of
        variance ``s'^2 (1 - ratio^2)`` (their SDE-DPM-Solver++ 2M), so that errors of earlier steps fade.

        Raises
        ------
        ValueError
            If noise is needed and not given.
        """
        clean = self.to_clean(noise, latents, step)
        estimate = clean
        if before is not None and self._is_second_order(step):
            estimate = clean + (clean - before) * (self._log_ratio(step) / (2 * self._log_ratio(step - 1)))
        ratio = self.sigma_next[step] * self.alpha[step] / (self.alpha_next[step] * self.sigma[step])
        moved = (self.sigma_next[step] / self.sigma[step]) * latents
        if not self.stochastic:
            return moved + self.alpha_next[step] * (1 - ratio) * estimate, clean
        if fresh is None:
            raise ValueError("fresh must be standard normal noise for a stochastic schedule, got None.")
        renewed = self.sigma_next[step] * math.sqrt(1 - ratio**2) * fresh
        return ratio * moved + self.alpha_next[step] * (1 - ratio**2) * estimate + renewed, clean

    def _is_second_order(self, step: int) -> bool:
        return self.second_order and step > 0 and self.sigma_next[step] > 0

    def _log_ratio(self, step: int) -> float:
        """Gain of a step in log signal-to-noise, h of Lu et al."""
        before = self.alpha[step] / self.sigma[step]
        return math.log(self.alpha_next[step] / self.sigma_next[step] / before)


def make_schedule(config: Mapping[str, Any], *, n_steps: int, sampler: str = "dpm++") -> Schedule:
    """Noise levels of a sampler for a model's noise schedule.

    Parameters
    ----------
    config : mapping
        Configuration of any scheduler of diffusers: ``beta_start``, ``beta_end``, ``beta_schedule``,
        ``prediction_type``, ``timestep_spacing``, ``use_karras_sigmas`` and so on.
    n_steps : int
        Steps from noise to image.
    sampler : {"dpm++", "sde-dpm++", "ddim", "euler"}
        DPM-Solver++ 2M (second order, midpoint, ending at no noise), the same with noise added in each step
        (SDE-DPM-Solver++ 2M), DDIM without noise, or Euler.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If the sampler is unknown, ``n_steps`` is out of range, or the configuration asks for something that
        these samplers do not do.
    """
    check_option("sampler", sampler, SAMPLERS)
    diffusers = import_optional("diffusers", extra="diffusion")
    for name, reason in _NOT_SUPPORTED.items():
        if config.get(name):
            raise ValueError(f"{name} of the scheduler must be false, got {config[name]!r}: {reason}.")
    prediction = check_option(
        "prediction_type of the scheduler", config.get("prediction_type", "epsilon"), PREDICTIONS
    )
    n_train = int(config.get("num_train_timesteps", 1000))
    if not 1 <= n_steps <= n_train:
        raise ValueError(f"n_steps must be between 1 and {n_train}, got {n_steps}; pass for example 50.")
    own: dict[str, Any] = {"clip_sample": False} if sampler == "ddim" else {}
    if _SCHEDULERS[sampler] == "DPMSolverMultistepScheduler":
        own = {
            "algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint",
            "final_sigmas_type": "zero",
        }  # fmt: skip
    known = {name: value for name, value in config.items() if not name.startswith("_")}
    scheduler = getattr(diffusers, _SCHEDULERS[sampler]).from_config(known, **own)
    scheduler.set_timesteps(n_steps)
    if sampler == "ddim":
        alpha, alpha_next = _read_ddim_levels(scheduler, n_train // n_steps)
        start = 1.0
    else:
        levels = 1 / torch.sqrt(1 + scheduler.sigmas.double() ** 2)
        alpha, alpha_next = levels[:-1], levels[1:]
        start = float(scheduler.init_noise_sigma) * (float(alpha[0]) if sampler == "euler" else 1.0)
    return Schedule(
        scheduler.timesteps, *_list_levels(alpha), *_list_levels(alpha_next), start=start,
        prediction=prediction, second_order=sampler in ("dpm++", "sde-dpm++"),
        stochastic=sampler == "sde-dpm++",
    )  # fmt: skip


def _read_ddim_levels(scheduler: Any, stride: int) -> tuple[Tensor, Tensor]:
    """Signal before and after each step, as DDIM's scheduler looks them up."""
    cumulative = scheduler.alphas_cumprod.double()
    after = scheduler.timesteps - stride
    last = scheduler.final_alpha_cumprod.double()
    alpha_next = torch.where(after >= 0, cumulative[after.clamp(min=0)], last)
    return cumulative[scheduler.timesteps].sqrt(), alpha_next.sqrt()


def _list_levels(alpha: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Signal, and the noise that keeps unit variance with it."""
    sigma = (1 - alpha**2).clamp(min=0).sqrt()
    return tuple(alpha.tolist()), tuple(sigma.tolist())
