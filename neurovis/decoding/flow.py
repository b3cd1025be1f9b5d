"""Decode dense optical flow from responses to movies and the first frame (arXiv 2406.02659).

The first frame says what is there, the responses how it moves. Flow vectors are classified into codes of a
k-means codebook, place by place, and read out as the expectation over codes or as the best code; a head that
regresses the vectors directly is kept beside it. What counts as evidence for motion from the brain is the
improvement over a decoder of the frame alone and over shuffled responses, both inside the moving object:
elsewhere most vectors are near zero and "nothing moves" wins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from neurovis.core import check_array, check_option, import_optional, make_rng
from neurovis.metrics.flow import compute_epe
from neurovis.training.loop import ArrayBatches, train

if TYPE_CHECKING:
    from torch import Tensor, nn

HEADS = ("codes", "regression")
READOUTS = ("expectation", "argmax")
SOURCES = ("brain and frame", "brain", "frame")


@dataclass(frozen=True)
class FlowDecoder:
    """A trained decoder.

    Parameters
    ----------
    network : torch.nn.Module
        A :class:`neurovis.decoding.flow_network.FlowNetwork`.
    head : {"codes", "regression"}
        What its outputs mean.
    source : {"brain and frame", "brain", "frame"}
        What it reads.
    codebook : array of shape (n_codes, 2)
        Flow vectors of the codes; also kept for regression, as a scale.
    n_steps : int
        Flow fields of a clip.
    scaling : tuple of array
        Mean and standard deviation of voxels and of channels over the training clips.
    """

    network: nn.Module
    head: str
    source: str
    codebook: NDArray[np.float32]
    n_steps: int
    scaling: tuple[NDArray, NDArray, NDArray, NDArray]

    def decode(
        self, brain: ArrayLike, frame: ArrayLike, *, readout: str = "expectation", batch_size: int = 256
    ) -> NDArray[np.float32]:
        """Flow of clips.

        Parameters
        ----------
        brain : array of shape (n, n_voxels)
            Responses.
        frame : array of shape (n, n_channels, height, width)
            Features of the first frames.
        readout : {"expectation", "argmax"}
            Mean of the codes under their probabilities, or the most probable one; no matter for regression.
        batch_size : int
            Clips at a time.

        Returns
        -------
        array of shape (n, n_steps, height, width, 2)
            In the unit of the training flow.

        Raises
        ------
        ValueError
            If shapes do not fit or the readout is unknown.
        """
        torch = import_optional("torch", extra="torch")
        check_option("readout", readout, READOUTS)
        responses, seen = _check_inputs(brain, frame, self.scaling)
        device = next(self.network.parameters()).device
        codebook = torch.from_numpy(self.codebook).to(device)
        flows = []
        self.network.eval()
        with torch.no_grad():
            for start in range(0, len(responses), batch_size):
                part = [torch.from_numpy(x[start : start + batch_size]).to(device) for x in (responses, seen)]
                output = _unfold(self.network(*part), self.n_steps)
                if self.head == "codes":
                    if readout == "argmax":
                        output = codebook[output.argmax(dim=-1)]
                    else:
                        output = torch.softmax(output, dim=-1) @ codebook
                else:
                    output = output * codebook.std()
                flows.append(output.cpu().numpy())
        return np.concatenate(flows)


def make_codebook(
    flow: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    n_codes: int = 40,
    n_samples: int = 20000,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Flow vectors that stand for all others, by k-means.

    Parameters
    ----------
    flow : array of shape (n, n_steps, height, width, 2)
        Of the training clips.
    mask : bool array of shape (n, height, width), optional
        Object; half of the sample then comes from inside and half from outside, since background vectors,
        most of them near zero, would take all the codes.
    n_codes : int
        Number of codes.
    n_samples : int
        Vectors that k-means sees.
    seed : int
        Of the sample and of k-means.

    Returns
    -------
    array of shape (n_codes, 2)
        float32, sorted by length.

    Raises
    ------
    ValueError
        If shapes differ or there are fewer distinct vectors than codes.
    """
    from sklearn.cluster import KMeans

    fields = check_array("flow", flow, ndim=5, shape=(None, None, None, None, 2), dtype=np.float64)
    rng = make_rng(seed, "codebook")
    where = [np.ones(fields.shape[:4], dtype=bool)]
    if mask is not None:
        inside = np.broadcast_to(np.asarray(mask, dtype=bool)[:, None], fields.shape[:4])
        where = [inside, ~inside]
    parts = []
    for chosen in where:
        vectors = fields[chosen]
        share = n_samples // len(where)
        parts.append(vectors[rng.permutation(len(vectors))[:share]])
    sample = np.concatenate(parts)
    if len(np.unique(sample, axis=0)) < n_codes:
        raise ValueError(f"flow must hold at least n_codes = {n_codes} distinct vectors; lower n_codes.")
    codes = KMeans(n_codes, n_init=3, random_state=int(rng.integers(2**31))).fit(sample).cluster_centers_
    return codes[np.argsort(np.hypot(*codes.T))].astype(np.float32)


def quantise_flow(flow: ArrayLike, codebook: ArrayLike) -> NDArray[np.intp]:
    """Nearest code of each vector: (..., 2) and (n_codes, 2) to (...)."""
    fields, codes = np.asarray(flow), np.asarray(codebook)
    return ((fields[..., None, :] - codes) ** 2).sum(axis=-1).argmin(axis=-1)


def train_flow_decoder(
    brain: ArrayLike,
    frame: ArrayLike,
    flow: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    source: str = "brain and frame",
    head: str = "codes",
    n_codes: int = 40,
    width: int = 64,
    n_blocks: int = 2,
    dropout: float = 0.1,
    n_epochs: int = 12,
    batch_size: int = 64,
    learning_rate: float = 3e-3,
    weight_decay: float = 1e-2,
    seed: int = 0,
    device: str = "cpu",
) -> FlowDecoder:
    """Fit a decoder to training clips.

    Parameters
    ----------
    brain : array of shape (n, n_voxels)
        Responses to each clip; for fMRI the samples around it side by side
        (:func:`neurovis.decoding.windows.stack_windows`).
    frame : array of shape (n, n_channels, height, width)
        Features of the first frame on the grid of the flow.
    flow : array of shape (n, n_steps, height, width, 2)
        True flow; state its unit with every error computed from it.
    mask : bool array of shape (n, height, width), optional
        Object, for the codebook only.
    source : {"brain and frame", "brain", "frame"}
        What the decoder reads; the others are controls.
    head : {"codes", "regression"}
        Cross-entropy to the nearest code, or mean squared error.
    n_codes, width, n_blocks, dropout
        See :func:`make_codebook` and :class:`neurovis.decoding.flow_network.FlowNetwork`.
    n_epochs, batch_size, learning_rate, weight_decay
        AdamW, one cycle (:func:`neurovis.training.loop.train`).
    seed : int
        Of the codebook, the weights and the batches.
    device : str
        Torch device.

    Returns
    -------
    FlowDecoder

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite or an option is unknown.
    """
    torch = import_optional("torch", extra="torch")
    from neurovis.decoding.flow_network import FlowNetwork

    check_option("source", source, SOURCES)
    check_option("head", head, HEADS)
    fields = check_array("flow", flow, ndim=5, shape=(None, None, None, None, 2), dtype=np.float32)
    scaling = _compute_scaling(brain, frame)
    responses, seen = _check_inputs(brain, frame, scaling)
    if len(responses) != len(fields) or seen.shape[2:] != fields.shape[2:4]:
        raise ValueError(
            f"brain, frame and flow must agree in clips and grid, got {responses.shape}, {seen.shape} and "
            f"{fields.shape}; resize the flow with neurovis.decoding.animation.resize_flow."
        )
    n_steps = fields.shape[1]
    codebook = make_codebook(fields, mask, n_codes=n_codes, seed=seed)
    scale = float(codebook.std())
    n_outputs = n_steps * (n_codes if head == "codes" else 2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(make_rng(seed, "flow decoder").integers(2**62)))
        network = FlowNetwork(
            responses.shape[1] if "brain" in source else 0, seen.shape[1] if "frame" in source else 0,
            n_outputs, width=width, n_blocks=n_blocks, dropout=dropout,
        )  # fmt: skip
    target = quantise_flow(fields, codebook) if head == "codes" else fields / scale

    def compute_loss(model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        output = _unfold(model(batch[0], batch[1]), n_steps)
        if head == "codes":
            return torch.nn.functional.cross_entropy(output.flatten(0, -2), batch[2].flatten())
        return torch.nn.functional.mse_loss(output, batch[2])

    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in (responses, seen, target)]
    train(
        network, ArrayBatches(tensors, batch_size, seed), compute_loss, n_epochs=n_epochs, seed=seed,
        learning_rate=learning_rate, weight_decay=weight_decay, device=device, progress=False,
    )  # fmt: skip
    return FlowDecoder(network, head, source, codebook, n_steps, scaling)


def compute_masked_epe(truth: ArrayLike, prediction: ArrayLike, mask: ArrayLike) -> NDArray[np.float64]:
    """Mean end-point error of each clip inside its mask.

    Parameters
    ----------
    truth, prediction : array of shape (n, n_steps, height, width, 2)
        In one unit, e.g. px of the grid per step.
    mask : bool array of shape (n, height, width)
        Where to look: the object, the background or everything.

    Returns
    -------
    array of shape (n,)
        NaN for a clip with an empty mask.
    """
    error = compute_epe(truth, prediction).mean(axis=1)
    inside = np.asarray(mask, dtype=bool)
    if inside.shape != error.shape:
        raise ValueError(f"mask must have shape {error.shape}, got {inside.shape}; one field for each clip.")
    n = inside.sum(axis=(1, 2))
    total = np.where(inside, error, 0.0).sum(axis=(1, 2))
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)


def compare_flow_decoders(
    decoders: dict[str, FlowDecoder],
    brain: ArrayLike,
    frame: ArrayLike,
    flow: ArrayLike,
    mask: ArrayLike,
    *,
    mean_flow: ArrayLike,
    seed: int = 0,
) -> pd.DataFrame:
    """End-point errors of decoders and of the baselines they must beat, on held-out clips.

    Parameters
    ----------
    decoders : dict of str to FlowDecoder
        Name -> decoder.
    brain, frame, flow, mask
        Held-out clips, as :func:`train_flow_decoder`.
    mean_flow : array of shape (n_steps, height, width, 2)
        Mean over the training clips.
    seed : int
        Of the shuffling: every decoder of the brain also gets the responses of other clips.

    Returns
    -------
    pandas.DataFrame
        Index ``predictor``: zero flow, training mean, quantisation floor, and ``<name>`` (of codes: the
        expectation, and ``<name>, argmax``), ``<name>, shuffled``. Columns ``object``, ``background`` and
        ``all``: mean error in the unit of the flow; ``cosine``: mean cosine of the angle between prediction
        and truth inside the object.
    """
    fields = check_array("flow", flow, ndim=5, dtype=np.float64)
    inside = np.asarray(mask, dtype=bool)
    predictions: dict[str, NDArray] = {
        "zero flow": np.zeros_like(fields),
        "training mean": np.broadcast_to(np.asarray(mean_flow), fields.shape),
    }
    # A cycle through all clips in random order gives none its own responses.
    order = make_rng(seed, "shuffled responses").permutation(len(fields))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    responses = np.asarray(brain)
    for name, decoder in decoders.items():
        if decoder.head == "codes":
            codes = decoder.codebook
            predictions["quantisation floor"] = codes[quantise_flow(fields, codes)]
            predictions[f"{name}, argmax"] = decoder.decode(responses, frame, readout="argmax")
        predictions[name] = decoder.decode(responses, frame)
        if "brain" in decoder.source:
            predictions[f"{name}, shuffled"] = decoder.decode(responses[other], frame)
    rows = []
    for name, predicted in predictions.items():
        rows.append(
            {
                "predictor": name,
                "object": np.nanmean(compute_masked_epe(fields, predicted, inside)),
                "background": np.nanmean(compute_masked_epe(fields, predicted, ~inside)),
                "all": compute_masked_epe(fields, predicted, np.ones_like(inside)).mean(),
                "cosine": _compute_cosine(fields, predicted, inside),
            }
        )
    return pd.DataFrame(rows).set_index("predictor")


def _compute_scaling(brain: ArrayLike, frame: ArrayLike) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    responses = check_array("brain", brain, ndim=2, dtype=np.float64)
    seen = check_array("frame", frame, ndim=4, dtype=np.float64)
    spread = responses.std(axis=0), seen.std(axis=(0, 2, 3))
    voxel_sd, channel_sd = (np.where(sd > 0, sd, 1.0) for sd in spread)
    return responses.mean(axis=0), voxel_sd, seen.mean(axis=(0, 2, 3)), channel_sd


def _check_inputs(
    brain: ArrayLike, frame: ArrayLike, scaling: tuple[NDArray, NDArray, NDArray, NDArray]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Responses and features in units of the training clips."""
    responses = check_array("brain", brain, ndim=2, dtype=np.float64)
    seen = check_array("frame", frame, ndim=4, dtype=np.float64)
    expected = len(scaling[0]), len(scaling[2])
    if (responses.shape[1], seen.shape[1]) != expected or len(responses) != len(seen):
        raise ValueError(
            f"brain and frame must have {expected[0]} voxels and {expected[1]} channels for the same clips, "
            f"got {responses.shape} and {seen.shape}; pass the training voxels and features."
        )
    voxel_mean, voxel_sd, channel_mean, channel_sd = scaling
    seen = (seen - channel_mean[:, None, None]) / channel_sd[:, None, None]
    return ((responses - voxel_mean) / voxel_sd).astype(np.float32), seen.astype(np.float32)


def _unfold(output: Tensor, n_steps: int) -> Tensor:
    """Network's maps (n, n_steps * k, h, w) to (n, n_steps, h, w, k)."""
    n, _, height, width = output.shape
    return output.view(n, n_steps, -1, height, width).permute(0, 1, 3, 4, 2)


def _compute_cosine(truth: NDArray, prediction: NDArray, mask: NDArray[np.bool_]) -> float:
    inside = np.broadcast_to(mask[:, None], truth.shape[:4])
    true, predicted = truth[inside], np.asarray(prediction)[inside]
    length = np.hypot(*true.T) * np.hypot(*predicted.T)
    moving = length > 0
    return float(((true * predicted).sum(axis=1)[moving] / length[moving]).mean()) if moving.any() else np.nan
