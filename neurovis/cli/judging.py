"""What several commands about images ask: which neuroids, which features, what a judge sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from neurovis.core import NeuralData, StimulusSet


def read_neuroids(encoding: Path, subregions: Path | None) -> Any:
    """Scores of an encoder; the parts of a table of `generation subregions` can be named as regions."""
    from neurovis.evaluation.encoding import read_encoding
    from neurovis.io import read_table

    neuroids = read_encoding(encoding).score.values
    if subregions is None:
        return neuroids
    table = read_table(subregions, required=("neuroid_id", "subregion"))
    part = dict(zip(table["neuroid_id"].astype(str), table["subregion"], strict=True))
    names = [part.get(name, "") for name in neuroids["neuroid_id"].values.astype(str)]
    return neuroids.assign_coords(subdivision=("neuroid", names))


def choose_neuroids(neuroids: Any, region: str, fdr: float) -> list[int]:
    """Columns of a region, those that the encoder predicts better than chance."""
    import numpy as np

    from neurovis.generation.objectives import find_region

    columns = find_region(neuroids.coords, region)
    passing = columns[np.nan_to_num(neuroids["q_value"].values[columns], nan=1.0) <= fdr]
    if not len(passing):
        raise ValueError(
            f"region {region} must hold neuroids that the encoder predicts at fdr {fdr:g}, got none of "
            f"{len(columns)}; fit a better encoder or raise fdr."
        )
    return passing.tolist()


def extract_joined(features: str, options: str, stimuli: StimulusSet, device: str) -> NDArray:
    """All layers of a feature space, side by side, from the cache where they are known."""
    from neurovis.cli.names import build_features, parse_options
    from neurovis.features.cache import extract_cached, join_layers

    return join_layers(
        extract_cached(build_features(features, parse_options(options)), stimuli, device=device)
    ).values


def look_up_responses(data: NeuralData, stimuli: StimulusSet) -> NDArray:
    """Recorded responses to each stimulus, NaN where there are none."""
    import numpy as np

    from neurovis.core import average_repeats
    from neurovis.evaluation.preparation import zscore_sessions

    if data.dims[0] == "presentation":
        data = average_repeats(zscore_sessions(data))
    row = {str(name): number for number, name in enumerate(data["stimulus_id"].values)}
    found = np.full((len(stimuli), data.sizes["neuroid"]), np.nan)
    for number, name in enumerate(stimuli.stimulus_ids):
        if name in row:
            found[number] = data.values[row[name]]
    return found


def judge_images(
    judge: str, prompts: dict[str, Any], categories: list[str], stimuli: StimulusSet, device: str
) -> list[str]:
    """Category of each image by the classifier of the stimulus world, or by a model of images and texts."""
    import numpy as np

    from neurovis.cli.names import build_features
    from neurovis.evaluation.zero_shot import classify_zero_shot, embed_prompts

    if judge == "world-judge":
        from neurovis.features.world_judge import classify_images
        from neurovis.stimuli.world import CATEGORIES

        images = np.stack([stimuli.load(name) for name in stimuli.stimulus_ids])
        return [CATEGORIES[number] for number in classify_images(images, device=device).argmax(axis=1)]
    words = prompts or {name: [name] for name in categories}
    model = judge.partition(":")[2]
    texts = embed_prompts(build_features(f"open_clip-text:{model}", {}), words)
    found = classify_zero_shot(extract_joined(judge, "{}", stimuli, device), texts)
    return [list(words)[number] for number in found.argmax(axis=1)]


def read_weights(encoder: Any) -> NDArray:
    """Weights (n_neuroids, d) of a ridge encoder."""
    from neurovis.encoding.ridge import Ridge

    if not isinstance(encoder, Ridge):
        raise TypeError(
            f"weights must be those of a ridge encoder, got {type(encoder).__name__}; captions and parts "
            "read one weight vector per neuroid."
        )
    return encoder.coef_.T


def list_neuroids(values: xr.DataArray) -> pd.DataFrame:
    """One row per neuroid with its place, for tables of captions and parts."""
    import pandas as pd

    known: dict[str, NDArray] = {
        str(name): coord.values for name, coord in values.coords.items() if coord.dims == ("neuroid",)
    }
    table = pd.DataFrame({name: known[name] for name in ("neuroid_id", "subject", "region")})
    table["hemisphere"] = known.get("hemisphere", "")
    return table.assign(voxel=known.get("vertex", range(len(table))))
