"""Video encoders trained on responses to movies: all of a network or its last blocks, through a linear head.

The responses of neuroids to clips are the targets, as where video encoders are tuned end to end to movies in
the cortex ("Neural representations of dynamic visual stimuli", arXiv 2406.02659). The head starts as the
ridge regression on the features as they are, so that training begins where a frozen encoder ends (linear
probing, then tuning: Kumar et al. 2022, ICLR, section 4). It is not kept: the tuned network is a feature
space, to which any encoder is fitted as to others.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from neurovis.core import NeuralData, StimulusSet, check_neural_data, make_rng
from neurovis.features.capture import check_layers, list_blocks, read_ahead
from neurovis.features.differentiable import DifferentiableFeatures
from neurovis.features.video import VideoFeatures
from neurovis.metrics.regression import pearson_r
from neurovis.training.loop import ArrayBatches, TrainingResult, train

_PENALTIES = np.logspace(-4, 4, 17)
"""Of the first head, in units of the mean squared norm of a clip's standardised features."""


@dataclass(frozen=True)
class TunedFeatures:
    """A tuned feature space and how it came about.

    Parameters
    ----------
    extractor : VideoFeatures
        As the one that was given, with weights and a name of its own; on the CPU.
    training : TrainingResult
        Losses are mean squared errors of responses in units of their standard deviation over training clips.
    trained : tuple of str
        Parameters of the network that were trained.
    validation_movies : tuple of str
        Movies that chose the first head's penalty and the epoch.
    scores : xarray.DataArray of dims ("stage", "neuroid")
        Pearson r of the head's predictions of the validation clips, before and after. They choose, so they
        are no test.
    """

    extractor: VideoFeatures
    training: TrainingResult
    trained: tuple[str, ...]
    validation_movies: tuple[str, ...]
    scores: xr.DataArray


def fine_tune_video(
    extractor: VideoFeatures,
    stimuli: StimulusSet,
    responses: NeuralData,
    *,
    validation_movies: float | Sequence[str] = 0.2,
    movie_column: str | None = None,
    layer: str | None = None,
    n_blocks: int | None = None,
    n_epochs: int = 20,
    batch_size: int = 8,
    learning_rate: float = 1e-4,
    weight_decay: float = 0.05,
    patience: int | None = 5,
    seed: int = 0,
    device: str = "cpu",
    checkpoint: str | Path | None = None,
) -> TunedFeatures:
    """Train a video encoder to predict responses to clips.

    Parameters
    ----------
    extractor : VideoFeatures
        One clip for each stimulus (no ``step_s``); it stays as it is.
    stimuli : StimulusSet
        Movies or clips of them; those without a response are not used.
    responses : NeuralData
        Rows "stimulus": the training set. Test movies do not belong here.
    validation_movies : float or sequence of str
        Movies that are held out to stop in time: their names, or a share drawn by the seed.
    movie_column : str, optional
        Column of the stimulus table that names the movie of each clip, e.g. the segment or the source of
        variants; clips of one movie stay together. By default each stimulus is a movie of its own.
    layer : str, optional
        Layer that the head reads, reduced as the extractor does; default its last.
    n_blocks : int, optional
        Train this many blocks that end with the one that holds ``layer`` (with the last for a layer behind
        all blocks); everything else stays bit for bit. Default: train every parameter before the layer.
    n_epochs, learning_rate, weight_decay, patience, device, checkpoint
        As in :func:`neurovis.training.loop.train`; a killed run resumes from its checkpoint.
    batch_size : int
        Clips in a step.
    seed : int
        Of order, dropout and the validation movies.

    Returns
    -------
    TunedFeatures

    Raises
    ------
    TypeError
        If the extractor is no video encoder.
    ValueError
        If clips overlap in time, rows are no stimuli, a response is missing, the validation movies are none,
        unknown or all, or a layer, column or number of blocks does not exist.

    Notes
    -----
    BOLD series want rows of their own first: an amplitude for each clip from a general linear model, or the
    mean of the samples in which the response to it peaks. Neuroids count alike: leave out those without
    reliable responses.

    On hMT of the simulated cortex a small VideoMAE with random weights, tuned to 72 movies, predicts 24
    others with a mean r of 0.47 to 0.51, before with 0.26 to 0.34: 0.18 more, 95 % interval over three seeds
    0.09 to 0.27 (``pytest tests/features/test_video_tuning.py -k simulated_cortex --run-slow -s``).
    """
    if not isinstance(extractor, VideoFeatures):
        raise TypeError(
            f"extractor must be a video encoder, got {type(extractor).__name__}; pass for example "
            "make_huggingface_video('MCG-NJU/videomae-base')."
        )
    if extractor.sampling.step_s is not None:
        raise ValueError(
            f"extractor must take one clip of a stimulus, got step_s={extractor.sampling.step_s}; leave it "
            "out and cut movies into clips that have a response each."
        )
    check_neural_data(responses, rows="stimulus")
    if not np.isfinite(responses.values).all():
        bad = int((~np.isfinite(responses.values)).any(axis=0).sum())
        raise ValueError(f"responses must be finite, got NaN or infinity in {bad} neuroids; drop those.")
    layer = extractor.layers[-1] if layer is None else layer
    check_layers(extractor.module, [layer], extractor.name)
    ids = responses["stimulus_id"].values.astype(str)
    movies = _find_movies(stimuli, ids, movie_column)
    held_out = _choose_movies(movies, validation_movies, seed)
    is_validation = np.isin(movies, held_out)
    targets = _standardise(np.asarray(responses.values, dtype=np.float64), ~is_validation)

    tuned = replace(extractor, name=f"{extractor.name}-tuned", module=copy.deepcopy(extractor.module))
    features = DifferentiableFeatures(tuned, [layer], nn.Identity())
    blocks = _free_blocks(tuned.module, layer, n_blocks)
    parts = [
        ClipBatches(
            tuned, stimuli, tuple(ids[rows]), torch.from_numpy(targets[rows]).float(), batch_size, seed
        )
        for rows in (~is_validation, is_validation)
    ]
    features.to(device).eval()
    found = [(_predict(features.encode, part, device), part.targets) for part in parts]
    model = TunedReadout(features, blocks, LinearHead.fit(*found)).eval()
    before = model.head(found[1][0]).detach()
    result = train(
        model, parts[0], _compute_loss, n_epochs=n_epochs, seed=seed, learning_rate=learning_rate,
        weight_decay=weight_decay, schedule="cosine", device=device, patience=patience, checkpoint=checkpoint,
        validate=lambda network: float(
            nn.functional.mse_loss(_predict(network, parts[1], device), parts[1].targets)
        ),
    )  # fmt: skip
    after = _predict(model, parts[1], device)
    scores = np.stack([pearson_r(found[1][1].numpy(), values.numpy()) for values in (before, after)])
    trained = tuple(name for name, part in tuned.module.named_parameters() if part.requires_grad)
    tuned.module.requires_grad_(False).eval().to("cpu")
    neuroid: dict[Any, Any] = {n: c.variable for n, c in responses.coords.items() if c.dims == ("neuroid",)}
    return TunedFeatures(
        tuned, result, trained, tuple(held_out),
        xr.DataArray(
            scores, dims=("stage", "neuroid"), coords={**neuroid, "stage": ["before", "after"]},
            attrs={"metric": "pearson_r"},
        ),
    )  # fmt: skip


class LinearHead(nn.Module):
    """Linear map of features in units of their first spread over the training clips.

    Parameters
    ----------
    mean, scale : Tensor of shape (n_features,)
    weights : Tensor of shape (n_features, n_neuroids)
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        self.linear = nn.Linear(*weights.shape)
        with torch.no_grad():
            self.linear.weight.copy_(weights.T)
            self.linear.bias.zero_()

    def forward(self, features: Tensor) -> Tensor:
        """Features (n, n_features) to responses (n, n_neuroids)."""
        return self.linear((features - self.mean) / self.scale)

    @classmethod
    def fit(cls, training: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor]) -> LinearHead:
        """Ridge regression with the penalty that predicts the validation best.

        Parameters
        ----------
        training, validation : (Tensor of shape (n, n_features), Tensor of shape (n, n_neuroids))
            Features and responses; those of the training clips have a mean of zero.
        """
        mean, scale = training[0].mean(dim=0), training[0].std(dim=0, unbiased=False)
        scale = torch.where(scale > 0, scale, 1.0)
        x, x_validation = (((part - mean) / scale).double() for part, _ in (training, validation))
        kernel = x @ x.T
        values, vectors = torch.linalg.eigh(kernel)
        rotated, unit = vectors.T @ training[1].double(), kernel.diagonal().mean()
        tried = [
            x.T @ (vectors @ (rotated / (values.clamp(min=0) + penalty * unit)[:, None]))
            for penalty in _PENALTIES
        ]
        errors = [float((x_validation @ weights - validation[1]).square().mean()) for weights in tried]
        return cls(mean, scale, tried[int(np.argmin(errors))].float())


class TunedReadout(nn.Module):
    """A video encoder and the head that reads one of its layers.

    Parameters
    ----------
    features : DifferentiableFeatures
        Of the layer.
    blocks : sequence of torch.nn.Module
        Parts of the network that are trained.
    head : LinearHead
    """

    def __init__(
        self, features: DifferentiableFeatures, blocks: Sequence[nn.Module], head: LinearHead
    ) -> None:
        super().__init__()
        self.features, self.head = features, head
        self._blocks = tuple(blocks)

    def train(self, mode: bool = True) -> TunedReadout:
        """Frozen parts stay in evaluation mode: no dropout, and running means as they are."""
        super().train(mode)
        self.features.eval()
        for block in self._blocks:
            block.train(mode)
        return self

    def forward(self, clips: Tensor) -> Tensor:
        """Clips (n, frames, 3, height, width), preprocessed, to responses (n, n_neuroids)."""
        return self.head(self.features.encode(clips))


@dataclass(frozen=True)
class ClipBatches:
    """Shuffled batches of clips, read from files as they are needed, with their targets.

    Parameters
    ----------
    extractor : VideoFeatures
        Samples and preprocesses.
    stimuli : StimulusSet
        Movies.
    ids : tuple of str
        Stimuli, one clip each.
    targets : Tensor of shape (n, n_neuroids)
    batch_size : int
    seed : int
        Of the order.
    """

    extractor: VideoFeatures
    stimuli: StimulusSet
    ids: tuple[str, ...]
    targets: Tensor
    batch_size: int
    seed: int

    def __len__(self) -> int:
        """Batches in one epoch."""
        return len(self._rows)

    def __call__(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Clips and targets of one epoch in a seeded order."""
        return read_ahead((self.load(rows), self.targets[rows]) for (rows,) in self._rows(epoch))

    def iterate_in_order(self) -> Iterator[Tensor]:
        """All clips once, in order."""
        rows = torch.arange(len(self.ids)).split(self.batch_size)
        return read_ahead(self.load(chosen) for chosen in rows)

    def load(self, rows: Tensor) -> Tensor:
        """Some clips, (n, frames, 3, height, width)."""
        clips = [next(self.extractor.iterate_clips(self.stimuli, self.ids[row]))[0] for row in rows.tolist()]
        return torch.stack(clips)

    @property
    def _rows(self) -> ArrayBatches:
        return ArrayBatches((torch.arange(len(self.ids)),), self.batch_size, self.seed)


def _compute_loss(model: TunedReadout, batch: tuple[Tensor, Tensor]) -> Tensor:
    clips, targets = batch
    return nn.functional.mse_loss(model(clips), targets)


def _predict(call: Callable[[Tensor], Tensor], clips: ClipBatches, device: str) -> Tensor:
    with torch.no_grad():
        return torch.cat([call(batch.to(device)).cpu() for batch in clips.iterate_in_order()])


def _free_blocks(module: nn.Module, layer: str, n_blocks: int | None) -> list[nn.Module]:
    """Parts to be trained, which alone want gradients: all, or the blocks that end with that of the layer."""
    if n_blocks is None:
        return [module.requires_grad_(True)]
    blocks = list_blocks(module)
    base = layer.partition("#")[0]
    holding = [number for number, block in enumerate(blocks) if f"{base}.".startswith(f"{block}.")]
    stop = holding[0] + 1 if holding else len(blocks)
    if not 1 <= n_blocks <= stop:
        raise ValueError(
            f"n_blocks must lie between 1 and the {stop} blocks up to layer {layer!r}, got {n_blocks}; leave "
            "it out to train all parameters."
        )
    module.requires_grad_(False)
    return [module.get_submodule(block).requires_grad_(True) for block in blocks[stop - n_blocks : stop]]


def _find_movies(stimuli: StimulusSet, ids: NDArray, movie_column: str | None) -> NDArray[np.str_]:
    """Movie of each clip with a response."""
    unknown = sorted(set(ids) - set(stimuli.stimulus_ids))
    if unknown:
        raise ValueError(
            f"stimuli must hold every stimulus of responses, got none for {len(unknown)}, the first is "
            f"{unknown[0]!r}; pass the whole set."
        )
    if movie_column is None:
        return ids
    if movie_column not in stimuli.table.columns:
        raise ValueError(
            f"movie_column must be a column of the stimulus table, got {movie_column!r} for "
            f"{list(stimuli.table.columns)}; leave it out if each stimulus is a movie."
        )
    return stimuli.table.loc[ids, movie_column].to_numpy(dtype=str)


def _choose_movies(movies: NDArray, wanted: float | Sequence[str], seed: int) -> list[str]:
    """Names of the validation movies."""
    known = list(dict.fromkeys(movies.tolist()))
    if isinstance(wanted, (int, float)):
        chosen = make_rng(seed, "validation movies").permutation(known)[: round(wanted * len(known))].tolist()
    else:
        chosen = [str(movie) for movie in wanted]
    if not chosen or set(chosen) - set(known) or set(chosen) == set(known):
        raise ValueError(
            f"validation_movies must name some of the {len(known)} movies and leave some to train on, got "
            f"{wanted!r}; pass for example 0.2."
        )
    return sorted(chosen)


def _standardise(values: NDArray[np.float64], is_training: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Responses in units of their standard deviation over training clips; constant ones are zero there."""
    mean, scale = values[is_training].mean(axis=0), values[is_training].std(axis=0)
    return (values - mean) / np.where(scale > 0, scale, 1.0)
