"""Brain-Score benchmarks of our data, and our feature extractors as Brain-Score models.

Brain-Score resolves names by searching its own installed package, so ``score("ours", "ours")`` cannot work:
call the benchmark with the model.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from neurovis.core import (
    FeatureExtractor,
    NeuralData,
    StimulusSet,
    average_repeats,
    check_neural_data,
    check_option,
    make_rng,
)
from neurovis.evaluation.brainscore import (
    compute_data_hash,
    from_brainscore_stimuli,
    import_brainscore,
    to_neuroid_assembly,
)
from neurovis.evaluation.brainscore_scoring import (
    CROSS_VALIDATED,
    make_feature_coords,
    make_repetition_assembly,
    rotate_assemblies,
)

_N_PROBES = 2


def make_benchmark(
    data: NeuralData, stimuli: StimulusSet, *, region: str, metric: str = "ridge", rotate: bool = True
) -> Any:
    """Brain-Score ``NeuralBenchmark`` of one region of our data.

    Parameters
    ----------
    data : NeuralData
        Rows "presentation", the same number of repeats (at least 2) for every stimulus.
    stimuli : StimulusSet
        Square in degrees, as Brain-Score knows one visual angle only.
    region : str
        Region of ``data`` and recording target of the model.
    metric : str
        One of :data:`CROSS_VALIDATED`.
    rotate : bool
        Use the lossless rotation.

    Returns
    -------
    NeuralBenchmark
        Call it with a Brain-Score model; its identifier carries hashes of responses and stimuli, because
        Brain-Score caches ceilings by identifier alone.

    Raises
    ------
    ValueError
        If the region is absent, repeats differ, or the stimuli are not square.
    """
    check_neural_data(data, rows="presentation")
    check_option("metric", metric, CROSS_VALIDATED)
    check_option("region", region, sorted(set(data["region"].values.astype(str))))
    if stimuli.size_dva[0] != stimuli.size_dva[1]:
        raise ValueError(
            f"stimuli must be square in degrees for Brain-Score, got {stimuli.size_dva}; pad the images."
        )
    chosen = data[:, data["region"].values == region]
    repeated = make_repetition_assembly(chosen)
    if repeated is None:
        raise ValueError(
            "data must show every stimulus the same number of times, at least twice, for a ceiling; got "
            f"{sorted(set(pd.Series(chosen['stimulus_id'].values).value_counts()))} repeats; select stimuli."
        )
    assembly = to_neuroid_assembly(average_repeats(chosen), stimuli)
    brainscore_vision = import_brainscore()
    similarity, ceiler = (
        brainscore_vision.load_metric(metric),
        brainscore_vision.load_ceiling("internal_consistency"),
    )

    def compare(source: Any, target: Any) -> Any:
        return similarity(rotate_assemblies(source)[0] if rotate else source, target)

    neural_common = import_brainscore("brainscore_vision.benchmark_helpers.neural_common")
    return neural_common.NeuralBenchmark(
        identifier=f"{assembly.attrs['stimulus_set_identifier']}.{region}-{metric}-{compute_data_hash(chosen)}",
        version=1,
        parent=region,
        bibtex="",
        assembly=assembly,
        similarity_metric=compare,
        ceiling_func=lambda: ceiler(repeated),
        visual_degrees=stimuli.size_dva[0],
        number_of_trials=1,
    )


class ExtractorModel:
    """A Brain-Score model (``BrainModel``, by structure) around one of our feature extractors.

    Parameters
    ----------
    extractor : FeatureExtractor
        Any of :mod:`neurovis.features`.
    layers : mapping of str to str
        Recording target, e.g. ``"IT"``, to layer of the extractor.
    size_dva : float
        Visual angle that the model's input covers [degrees].

    Notes
    -----
    The identifier ends with a hash of the features of two fixed noise images, so that new weights or another
    preprocessing under an old name never meet cached scores. Time bins are ignored: features are static.
    """

    def __init__(self, extractor: FeatureExtractor, *, layers: Mapping[str, str], size_dva: float) -> None:
        for layer in layers.values():
            check_option("layers", layer, extractor.layers)
        self.extractor = extractor
        self.layers = dict(layers)
        self.size_dva = float(size_dva)
        self._target: str | None = None
        self._identifier: str | None = None

    @property
    def identifier(self) -> str:
        """Name of the extractor and a hash of what it computes."""
        if self._identifier is None:
            self._identifier = f"neurovis.{self.extractor.name}-{self._hash_probe()}"
        return self._identifier

    def visual_degrees(self) -> float:
        """Visual angle of the input [degrees]."""
        return self.size_dva

    def start_task(self, task: str, fitting_stimuli: Any = None) -> None:  # noqa: ARG002 (Brain-Score's name)
        """Accept passive viewing only.

        Raises
        ------
        ValueError
            For a behavioural task: features have no behavioural readout.
        """
        check_option("task", task, ("passive",), remedy="use a neural benchmark")

    def start_recording(self, region: str, time_bins: Sequence[Any] | None = None) -> None:  # noqa: ARG002
        """Choose the layer that the next :meth:`look_at` returns.

        Raises
        ------
        ValueError
            If no layer is committed to the region.
        """
        self._target = check_option("region", region, self.layers, remedy="commit a layer to it in `layers`")

    def look_at(self, stimuli: Any, number_of_trials: int = 1) -> Any:  # noqa: ARG002
        """Features of a Brain-Score stimulus set as a NeuroidAssembly, the same for every trial.

        Raises
        ------
        RuntimeError
            If nothing is being recorded.
        """
        if self._target is None:
            raise RuntimeError("call start_recording(region) before look_at.")
        layer = self.layers[self._target]
        shown = from_brainscore_stimuli(stimuli, size_dva=(self.size_dva, self.size_dva))
        features = self.extractor(shown, layers=[layer])[layer]
        bs = import_brainscore("brainscore_core.supported_data_standards.brainio.assemblies")
        coords = {name: ("presentation", stimuli[name].values) for name in stimuli.columns}
        if "object_name" not in coords:
            coords["object_name"] = ("presentation", stimuli.get("category", stimuli["stimulus_id"]).values)
        assembly = bs.NeuroidAssembly(
            features.values,
            coords={**coords, **make_feature_coords(features.shape[1])},
            dims=["presentation", "neuroid"],
        )
        assembly.attrs.update(stimulus_set=stimuli, stimulus_set_identifier=stimuli.identifier)
        return assembly

    def _hash_probe(self) -> str:
        noise = make_rng(0, "brain-score probe").integers(0, 256, (_N_PROBES, 64, 64, 3), dtype=np.uint8)
        with tempfile.TemporaryDirectory() as folder:
            names = [f"probe-{index}" for index in range(_N_PROBES)]
            for name, pixels in zip(names, noise, strict=True):
                Image.fromarray(pixels).save(Path(folder) / f"{name}.png")
            table = pd.DataFrame({"path": [f"{name}.png" for name in names]}, index=names)
            probes = StimulusSet("probe", table, Path(folder), (self.size_dva, self.size_dva))
            extracted = self.extractor(probes, layers=sorted(set(self.layers.values())))
        return "-".join(compute_data_hash(extracted[layer])[:8] for layer in sorted(extracted))
