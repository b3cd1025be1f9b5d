"""Score: a raw value per neuroid beside the ceiling in the same metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurovis.core.validation import check_option


@dataclass(frozen=True)
class Score:
    """How well something predicts each neuroid, never averaged on the way.

    Parameters
    ----------
    values : xarray.DataArray of dims ("neuroid",) or ("neuroid", "time")
        Raw metric.
    metric : str
        Catalog name of the metric, e.g. ``"pearson_r"``.
    ceiling : xarray.DataArray, optional
        Best attainable value, same dims, **in the same metric**.
    """

    values: xr.DataArray
    metric: str
    ceiling: xr.DataArray | None = None

    def __post_init__(self) -> None:
        if "neuroid" not in self.values.dims:
            raise ValueError(f"values must have a dim 'neuroid', got {self.values.dims}; name it.")
        if self.ceiling is not None and self.ceiling.shape != self.values.shape:
            raise ValueError(
                f"ceiling must have the shape of values {self.values.shape}, got {self.ceiling.shape}; "
                "compute both on the same neuroids."
            )

    @property
    def ceiled(self) -> xr.DataArray:
        """``values / ceiling``, NaN where the ceiling is not positive.

        Raises
        ------
        ValueError
            If there is no ceiling.
        """
        if self.ceiling is None:
            raise ValueError(
                f"the {self.metric} score has no ceiling to divide by; compute one from repeats "
                "(neurovis.metrics.ceilings) and pass it as ceiling."
            )
        ceiling = self.ceiling.values
        ratio = np.full(self.values.shape, np.nan)
        np.divide(self.values.values, ceiling, out=ratio, where=ceiling > 0)
        return self.values.copy(data=ratio)

    def by(self, coord: str = "region", how: str = "median") -> xr.DataArray:
        """Summary of the raw values per group of neuroids.

        Parameters
        ----------
        coord : str
            Neuroid coordinate to group by.
        how : {"median", "mean"}
            Summary; NaN neuroids are left out.

        Raises
        ------
        ValueError
            If the coordinate is absent or ``how`` is unknown.
        """
        check_option("how", how, ("median", "mean"))
        if coord not in self.values.coords:
            raise ValueError(
                f"coord must be a neuroid coordinate, got {coord!r}; "
                f"choose from {', '.join(sorted(map(str, self.values.coords)))}."
            )
        grouped = self.values.groupby(coord)
        return grouped.median("neuroid") if how == "median" else grouped.mean("neuroid")
