"""Types and helpers that everything else shares; imports nothing from the rest of the package."""

from neurovis.core.imports import import_optional
from neurovis.core.neural import NeuralData, align, average_repeats, check_neural_data, make_neural_data
from neurovis.core.paths import find_cache_root, find_data_root, find_model
from neurovis.core.protocols import Encoder, FeatureExtractor, Loader, Metric
from neurovis.core.provenance import compute_config_hash, compute_file_hash, make_provenance
from neurovis.core.registry import Registry
from neurovis.core.score import Score
from neurovis.core.seeds import make_rng
from neurovis.core.stimuli import StimulusSet
from neurovis.core.units import compute_px_per_dva, make_grid_dva
from neurovis.core.validation import check_array, check_option

__all__ = [
    "Encoder",
    "FeatureExtractor",
    "Loader",
    "Metric",
    "NeuralData",
    "Registry",
    "Score",
    "StimulusSet",
    "align",
    "average_repeats",
    "check_array",
    "check_neural_data",
    "check_option",
    "compute_config_hash",
    "compute_file_hash",
    "compute_px_per_dva",
    "find_cache_root",
    "find_data_root",
    "find_model",
    "import_optional",
    "make_grid_dva",
    "make_neural_data",
    "make_provenance",
    "make_rng",
]
