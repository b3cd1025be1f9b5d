"""Sentences for voxels: encoder weights projected onto natural embeddings and decoded (BrainSCUBA).

Names are resolved on first use, so that torch is not imported before it is needed.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neurovis.captioning.bank import EmbeddingBank, draw_repeats, read_bank
    from neurovis.captioning.bank_building import build_bank
    from neurovis.captioning.bank_sources import (
        FolderImages,
        ParquetImages,
        StimulusImages,
        TarImages,
    )
    from neurovis.captioning.captioner import (
        Captions,
        PrefixCaptioner,
        merge_similar,
        read_captioner,
        write_captioner,
    )
    from neurovis.captioning.clipcap import load_captioner
    from neurovis.captioning.coca import CocaCaptioner, load_coca
    from neurovis.captioning.decoding import Decoding
    from neurovis.captioning.embedders import ExtractorEmbedder
    from neurovis.captioning.gates import gate_voxels, permute_weights
    from neurovis.captioning.identification import VoxelIdentification, embed_captions, identify_voxels
    from neurovis.captioning.leakage import find_leaks, remove_leaks
    from neurovis.captioning.nouns import PERSON_WORDS, find_nouns
    from neurovis.captioning.projection import (
        Projection,
        compute_repeat_agreement,
        make_tiles,
        project_weights,
    )
    from neurovis.captioning.statistics import (
        compute_diversity,
        compute_word_fraction,
        compute_word_log_odds,
        summarise_by_region,
    )
    from neurovis.captioning.training import train_world_captioner
    from neurovis.captioning.voxels import VoxelCaptions, caption_random_images, caption_voxels

_MODULE_OF = {
    "Captions": "captioner",
    "CocaCaptioner": "coca",
    "Decoding": "decoding",
    "EmbeddingBank": "bank",
    "ExtractorEmbedder": "embedders",
    "FolderImages": "bank_sources",
    "PERSON_WORDS": "nouns",
    "ParquetImages": "bank_sources",
    "PrefixCaptioner": "captioner",
    "Projection": "projection",
    "StimulusImages": "bank_sources",
    "TarImages": "bank_sources",
    "VoxelCaptions": "voxels",
    "VoxelIdentification": "identification",
    "build_bank": "bank_building",
    "caption_random_images": "voxels",
    "caption_voxels": "voxels",
    "compute_diversity": "statistics",
    "compute_repeat_agreement": "projection",
    "compute_word_fraction": "statistics",
    "compute_word_log_odds": "statistics",
    "draw_repeats": "bank",
    "embed_captions": "identification",
    "find_leaks": "leakage",
    "find_nouns": "nouns",
    "gate_voxels": "gates",
    "identify_voxels": "identification",
    "load_captioner": "clipcap",
    "load_coca": "coca",
    "make_tiles": "projection",
    "merge_similar": "captioner",
    "permute_weights": "gates",
    "project_weights": "projection",
    "read_bank": "bank",
    "read_captioner": "captioner",
    "remove_leaks": "leakage",
    "summarise_by_region": "statistics",
    "train_world_captioner": "training",
    "write_captioner": "captioner",
}

__all__ = [
    "PERSON_WORDS",
    "Captions",
    "CocaCaptioner",
    "Decoding",
    "EmbeddingBank",
    "ExtractorEmbedder",
    "FolderImages",
    "ParquetImages",
    "PrefixCaptioner",
    "Projection",
    "StimulusImages",
    "TarImages",
    "VoxelCaptions",
    "VoxelIdentification",
    "build_bank",
    "caption_random_images",
    "caption_voxels",
    "compute_diversity",
    "compute_repeat_agreement",
    "compute_word_fraction",
    "compute_word_log_odds",
    "draw_repeats",
    "embed_captions",
    "find_leaks",
    "find_nouns",
    "gate_voxels",
    "identify_voxels",
    "load_captioner",
    "load_coca",
    "make_tiles",
    "merge_similar",
    "permute_weights",
    "project_weights",
    "read_bank",
    "read_captioner",
    "remove_leaks",
    "summarise_by_region",
    "train_world_captioner",
    "write_captioner",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value
