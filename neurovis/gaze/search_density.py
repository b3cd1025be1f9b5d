"""Search models as densities of gaze: the map of attention to a target, made into a density as saliency is.

eccNET and IVSN say where they would look next. How much their map tells about where people look is judged
beside other gaze models once it is fitted as :func:`neurovis.gaze.saliency_map.fit_map_density` does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurovis.core import Fixations, GazeModel, StimulusSet
from neurovis.gaze.gaze_comparison import AnyGazeModel, GazeTraining, fit_saccades_on
from neurovis.gaze.models import get_size
from neurovis.gaze.saliency_map import MapDensity, fit_map_density
from neurovis.gaze.search import Glance, Searcher, SearchSetup, make_scene_task
from neurovis.gaze.search_protocols import SearchProtocol


def compute_search_maps(
    searcher: Searcher, stimuli: StimulusSet, protocol: SearchProtocol, *, progress: bool = True
) -> dict[str, NDArray[np.float32]]:
    """The searcher's map of attention before its first saccade, for every image and its target.

    Parameters
    ----------
    searcher : Searcher
        For example :class:`neurovis.gaze.eccnet.EccNet`.
    stimuli : StimulusSet
        As for :func:`neurovis.gaze.search.make_scene_task`.
    protocol : SearchProtocol
        Of scenes; its ``size_px`` is the size of the maps.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    dict
        stimulus_id to map (height, width), seen from the middle of the image. What is out of sight has the
        lowest value of the map.

    Raises
    ------
    ValueError
        As :func:`neurovis.gaze.search.make_scene_task`.
    """
    from tqdm import tqdm

    task = make_scene_task(stimuli, protocol)
    attend = searcher.begin(SearchSetup(task, protocol))
    middle = np.array([[task.size_px[0] // 2, task.size_px[1] // 2]])
    maps = {}
    for number, stimulus_id in enumerate(
        tqdm(stimuli.stimulus_ids, desc=f"{searcher.name}: maps", disable=None if progress else True,
             file=sys.stderr)
    ):  # fmt: skip
        found = attend(Glance(task.load(number)[None], middle, np.array([number])))[0]
        seen = np.isfinite(found)
        maps[stimulus_id] = np.where(seen, found, found[seen].min()).astype(np.float32)
    return maps


@dataclass(frozen=True, eq=False)
class SearchDensity:
    """Density from the maps of a searcher; made by :func:`fit_search_density`.

    Parameters
    ----------
    maps : mapping of stimulus_id to array of shape (height, width)
        Of every stimulus that is asked for, at the size of its image.
    fitted : MapDensity
        Blur, nonlinearity and weight of the centre bias; its own way to a map is not used.
    name : str
        Name in tables.
    """

    maps: Mapping[str, NDArray[np.floating]]
    fitted: MapDensity
    name: str
    _bound: dict[str, GazeModel] = field(default_factory=dict, repr=False)

    def for_trial(self, stimulus_id: str, subject: str) -> GazeModel:  # noqa: ARG002 (part of the protocol)
        """The density for one stimulus, the same for everyone.

        Raises
        ------
        KeyError
            If there is no map of the stimulus.
        """
        if stimulus_id not in self.maps:
            raise KeyError(f"maps of {self.name!r} have no stimulus {stimulus_id!r}; compute all of them.")
        if stimulus_id not in self._bound:
            self._bound[stimulus_id] = _SceneDensity(self.maps[stimulus_id], self.fitted, self.name)
        return self._bound[stimulus_id]


@dataclass(frozen=True, eq=False)
class _SceneDensity:
    """The density of one stimulus, computed once."""

    search_map: NDArray[np.floating]
    fitted: MapDensity
    name: str
    uses_history = False
    _found: list[NDArray[np.float64]] = field(default_factory=list, repr=False)

    def log_density(
        self, image: NDArray[Any], history: Fixations, *, target: NDArray[Any] | None = None
    ) -> NDArray[np.float64]:
        """See :class:`neurovis.core.GazeModel`."""
        if get_size(image) != self.search_map.shape:
            raise ValueError(
                f"image must have the size of its map {self.search_map.shape}, got {get_size(image)}; resize "
                "the map."
            )
        if not self._found:
            self._found.append(self.fitted.log_density(self.search_map, history, target=target))
        return self._found[0].copy()


def fit_search_density(
    training: GazeTraining, maps: Mapping[str, NDArray[np.floating]], *, name: str
) -> SearchDensity:
    """Fit the way from a searcher's maps to a density to training images.

    Parameters
    ----------
    training : GazeTraining
        As :func:`neurovis.gaze.gaze_comparison.compare_gaze_models` hands it over.
    maps : mapping of stimulus_id to array of shape (height, width)
        Of the training images and of those that will be asked for; see :func:`compute_search_maps`. They are
        resized to the images that the training loads, by areas.
    name : str
        Name in tables.

    Returns
    -------
    SearchDensity
    """
    first = training.load_image(training.stimuli.stimulus_ids[0])
    shrunk = {key: _resize(found, get_size(first)) for key, found in maps.items()}
    own = {key: shrunk[key] for key in training.stimuli.stimulus_ids}
    fitted = fit_map_density(
        own, training.fixations, training.centre_bias, compute_map=_keep, first_index=training.first_index,
        name=name,
    )  # fmt: skip
    return SearchDensity(shrunk, fitted, name)


def list_search_fits(
    maps: Mapping[str, NDArray[np.floating]], *, name: str
) -> dict[str, Callable[[GazeTraining], AnyGazeModel]]:
    """What :func:`neurovis.gaze.gaze_comparison.compare_gaze_models` needs to compare a searcher.

    Parameters
    ----------
    maps : mapping of stimulus_id to array of shape (height, width)
        As in :func:`fit_search_density`.
    name : str
        The searcher's.

    Returns
    -------
    dict
        The ways to fit its density, and saccades on it, by the names of the models.
    """
    fitted: list[SearchDensity] = []

    def fit(training: GazeTraining) -> AnyGazeModel:
        fitted[:] = [fit_search_density(training, maps, name=name)]
        return fitted[0]

    def fit_saccades(training: GazeTraining) -> AnyGazeModel:
        return fit_saccades_on(training, prior=fitted[0] if fitted else fit(training), name=on)

    on = f"saccades on {name}"
    return {name: fit, on: fit_saccades}


def _keep(search_map: NDArray[Any]) -> NDArray[np.float64]:
    """A map is its own map."""
    return search_map.astype(float)


def _resize(values: NDArray[np.floating], size_px: tuple[int, int]) -> NDArray[np.float32]:
    from PIL import Image

    picture = Image.fromarray(values.astype(np.float32))
    return np.asarray(picture.resize(size_px[::-1], Image.Resampling.BOX))
