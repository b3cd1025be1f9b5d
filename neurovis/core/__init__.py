"""Types and helpers that everything else shares; imports nothing from the rest of the package.

Names are resolved on first use, so that the catalog and the command line start without xarray.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovis.core.fixations import Fixations, check_fixations, iterate_scanpaths, make_fixations
    from neurovis.core.imports import import_optional
    from neurovis.core.neural import (
        NeuralData,
        align,
        average_repeats,
        check_neural_data,
        make_neural_data,
    )
    from neurovis.core.paths import find_cache_root, find_data_root, find_model
    from neurovis.core.protocols import Encoder, FeatureExtractor, GazeModel, Loader, Metric, Objective
    from neurovis.core.provenance import (
        OtherConfigurationError,
        compute_config_hash,
        compute_file_hash,
        make_provenance,
    )
    from neurovis.core.registry import Registry
    from neurovis.core.score import Score
    from neurovis.core.seeds import make_rng
    from neurovis.core.stimuli import StimulusSet
    from neurovis.core.units import compute_px_per_dva, make_grid_dva
    from neurovis.core.validation import check_array, check_option

_MODULE_OF = {
    "Encoder": "protocols",
    "FeatureExtractor": "protocols",
    "Fixations": "fixations",
    "GazeModel": "protocols",
    "Loader": "protocols",
    "Metric": "protocols",
    "NeuralData": "neural",
    "Objective": "protocols",
    "OtherConfigurationError": "provenance",
    "Registry": "registry",
    "Score": "score",
    "StimulusSet": "stimuli",
    "align": "neural",
    "average_repeats": "neural",
    "check_array": "validation",
    "check_fixations": "fixations",
    "check_neural_data": "neural",
    "check_option": "validation",
    "compute_config_hash": "provenance",
    "compute_file_hash": "provenance",
    "compute_px_per_dva": "units",
    "find_cache_root": "paths",
    "find_data_root": "paths",
    "find_model": "paths",
    "import_optional": "imports",
    "iterate_scanpaths": "fixations",
    "make_fixations": "fixations",
    "make_grid_dva": "units",
    "make_neural_data": "neural",
    "make_provenance": "provenance",
    "make_rng": "seeds",
}

__all__ = [
    "Encoder",
    "FeatureExtractor",
    "Fixations",
    "GazeModel",
    "Loader",
    "Metric",
    "NeuralData",
    "Objective",
    "OtherConfigurationError",
    "Registry",
    "Score",
    "StimulusSet",
    "align",
    "average_repeats",
    "check_array",
    "check_fixations",
    "check_neural_data",
    "check_option",
    "compute_config_hash",
    "compute_file_hash",
    "compute_px_per_dva",
    "find_cache_root",
    "find_data_root",
    "find_model",
    "import_optional",
    "iterate_scanpaths",
    "make_fixations",
    "make_grid_dva",
    "make_neural_data",
    "make_provenance",
    "make_rng",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
