"""File formats: every writer is atomic and stores provenance, every reader refuses foreign files."""

from neurovis.io.atomic import atomic_path
from neurovis.io.netcdf import (
    read_dataset,
    read_features,
    read_neural_data,
    read_prediction,
    read_provenance,
    read_score,
    write_dataset,
    write_features,
    write_neural_data,
    write_prediction,
    write_score,
)
from neurovis.io.stimuli import gather_stimulus_sets, read_stimulus_set, write_stimulus_table
from neurovis.io.tables import read_json, read_table, write_json, write_table

__all__ = [
    "atomic_path",
    "gather_stimulus_sets",
    "read_dataset",
    "read_features",
    "read_json",
    "read_neural_data",
    "read_prediction",
    "read_provenance",
    "read_score",
    "read_stimulus_set",
    "read_table",
    "write_dataset",
    "write_features",
    "write_json",
    "write_neural_data",
    "write_prediction",
    "write_score",
    "write_stimulus_table",
    "write_table",
]
