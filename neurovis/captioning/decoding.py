"""Sentences from a model of the next token, many at once: beam search, greedy choice, nucleus sampling.

The model is anything that says what comes next after each of its rows (:class:`NextToken`); a caption model
supplies one with or without a cache of keys and values, and the search does not know the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from neurovis.core import check_array, check_option, import_optional, make_rng

if TYPE_CHECKING:
    from torch import Tensor

METHODS = ("beam", "greedy", "nucleus")
MAX_TOKENS = 67
"""Longest caption of the published captioner."""


class NextToken(Protocol):
    """A model that has read one prefix per row."""

    def start(self) -> Tensor:
        """Logits (n, n_tokens) of the token after each prefix."""
        ...

    def extend(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Logits (m, n_tokens) after row ``parents[i]`` of the previous call, continued by ``tokens[i]``."""
        ...


@dataclass(frozen=True)
class Decoding:
    """How sentences are chosen.

    Parameters
    ----------
    method : {"beam", "greedy", "nucleus"}
        Beam search keeps the likeliest sentences side by side, greedy choice takes the likeliest next token,
        nucleus sampling draws it from the likeliest ones.
    width : int
        Beams; for ``"beam"``.
    p : float
        Probability that the tokens drawn from hold together, in (0, 1]; for ``"nucleus"``.
    temperature : float
        Divides the logits; for ``"nucleus"``.
    seed : int
        Of the draws; for ``"nucleus"``.
    max_tokens : int
        Longest sentence, the stop token included.

    Raises
    ------
    ValueError
        If an option is unknown or out of range.
    """

    method: str = "beam"
    width: int = 5
    p: float = 0.8
    temperature: float = 1.0
    seed: int = 0
    max_tokens: int = MAX_TOKENS

    def __post_init__(self) -> None:
        check_option("method", self.method, METHODS)
        check_array("width", self.width, ndim=0, minimum=1, remedy="for example width=5")
        check_array("max_tokens", self.max_tokens, ndim=0, minimum=1, remedy="for example max_tokens=67")
        if not 0 < self.p <= 1:
            raise ValueError(f"p must be in (0, 1], got {self.p}; pass for example 0.8.")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature}; pass for example 1.0.")


@dataclass(frozen=True)
class Sentences:
    """Decoded rows.

    Parameters
    ----------
    tokens : list of list of int
        Each with its stop token, if it came to one.
    scores : array of shape (n,)
        Mean log probability of the tokens [nat], the stop token included.
    stopped : array of shape (n,), bool
        False where the sentence was cut at the largest length.
    """

    tokens: list[list[int]]
    scores: NDArray[np.float64]
    stopped: NDArray[np.bool_]


def decode(
    model: NextToken, decoding: Decoding, *, stop_tokens: Sequence[int], first_row: int = 0
) -> Sentences:
    """Sentences by any method.

    Parameters
    ----------
    model : NextToken
        Fresh: nothing decoded from it yet.
    decoding : Decoding
        Method and its settings.
    stop_tokens : sequence of int
        Any of these ends a sentence.
    first_row : int
        Number of the model's first row within a larger set: draws are by this number, so that a row's
        sentence does not depend on what else is in its batch.

    Returns
    -------
    Sentences

    Raises
    ------
    ValueError
        If there is no stop token or the model gives NaN.
    """
    torch = import_optional("torch", extra="torch")
    if not len(stop_tokens):
        raise ValueError("stop_tokens must hold at least one token, got none; pass the full stop's number.")
    with torch.inference_mode():
        if decoding.method == "beam":
            found = _search_beams(model, decoding.width, stop_tokens, decoding.max_tokens)
        else:
            nucleus = decoding.method == "nucleus"
            choose = _Nucleus(decoding, first_row) if nucleus else _pick_likeliest
            found = _follow(model, choose, stop_tokens, decoding.max_tokens)
    n_bad = int((~np.isfinite(found.scores)).sum())
    if n_bad:
        raise ValueError(
            f"the model must give finite logits, got {n_bad} sentences of NaN or no probability; check its "
            "weights, or use float32."
        )
    return found


def _search_beams(model: NextToken, width: int, stop_tokens: Sequence[int], max_tokens: int) -> Sentences:
    """The beams with the highest mean log probability so far survive each step, ended ones included.

    That is the published search (CLIPCap's ``generate_beam``), run for all rows at once; only beams that go
    on are handed to the model.
    """
    torch = import_optional("torch", extra="torch")
    log_p = model.start().float().log_softmax(dim=-1)
    n, device = len(log_p), log_p.device
    stops = torch.as_tensor(list(stop_tokens), device=device)
    k = min(width, log_p.shape[1])
    best, choice = log_p.topk(k, dim=-1)
    sums = best.new_full((n, width), -torch.inf)
    sums[:, :k] = best
    tokens = choice.new_zeros((n, width, 1))
    tokens[:, :k, 0] = choice
    lengths = torch.ones_like(sums)
    parents = torch.arange(n, device=device)[:, None].expand(n, width)
    stopped = torch.isin(tokens[..., 0], stops)
    running = ~stopped & sums.isfinite()
    for _ in range(max_tokens - 1):
        if not bool(running.any()):
            break
        log_p = model.extend(parents[running], tokens[..., -1][running]).float().log_softmax(dim=-1)
        # Continuations of one beam have one length, so its best ones are the only candidates.
        best, choice = log_p.topk(k, dim=-1)
        candidates = sums.new_full((n, width, k), -torch.inf)
        candidates[running] = sums[running][:, None] + best
        candidates[..., 0] = torch.where(running, candidates[..., 0], sums)
        grown = lengths + running
        kept = (candidates / grown[..., None]).flatten(1).topk(width, dim=1).indices
        beam = kept // k
        next_tokens = tokens.new_zeros((n, width, k))
        next_tokens[running] = choice
        slots = parents.new_zeros((n, width))
        slots[running] = torch.arange(len(best), device=device)
        sums = candidates.flatten(1).gather(1, kept)
        lengths, parents = grown.gather(1, beam), slots.gather(1, beam)
        last = next_tokens.flatten(1).gather(1, kept)
        history = tokens.gather(1, beam[..., None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([history, last[..., None]], dim=2)
        ended = stopped.gather(1, beam)
        stopped = ended | torch.isin(last, stops)
        running = ~stopped & sums.isfinite()
    # Every step leaves the beams in order, the best first.
    rows = zip(tokens[:, 0].tolist(), lengths[:, 0].long().tolist(), strict=True)
    scores = (sums[:, 0] / lengths[:, 0]).double().cpu().numpy()
    return Sentences([row[:length] for row, length in rows], scores, stopped[:, 0].cpu().numpy())


def _follow(
    model: NextToken,
    choose: Callable[[Tensor, Tensor, int], Tensor],
    stop_tokens: Sequence[int],
    max_tokens: int,
) -> Sentences:
    """One token after the other: ``choose`` takes log probabilities (m, n_tokens), rows (m,) and the step."""
    torch = import_optional("torch", extra="torch")
    log_p = model.start().float().log_softmax(dim=-1)
    n, device = len(log_p), log_p.device
    stops = torch.as_tensor(list(stop_tokens), device=device)
    rows = torch.arange(n, device=device)
    sums, lengths = log_p.new_zeros(n), log_p.new_zeros(n)
    sentences: list[list[int]] = [[] for _ in range(n)]
    stopped = torch.zeros(n, dtype=torch.bool, device=device)
    for step in range(max_tokens):
        chosen = choose(log_p, rows, step)
        sums[rows] += log_p.gather(1, chosen[:, None])[:, 0]
        lengths[rows] += 1
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            sentences[row].append(token)
        ends = torch.isin(chosen, stops)
        stopped[rows[ends]] = True
        parents = (~ends).nonzero()[:, 0]
        if not len(parents) or step == max_tokens - 1:
            break
        rows = rows[parents]
        log_p = model.extend(parents, chosen[parents]).float().log_softmax(dim=-1)
    return Sentences(sentences, (sums / lengths).double().cpu().numpy(), stopped.cpu().numpy())


def _pick_likeliest(log_p: Tensor, _rows: Tensor, _step: int) -> Tensor:
    return log_p.argmax(dim=-1)


class _Nucleus:
    """Draws from the fewest tokens that hold probability ``p`` together (Holtzman et al., ICLR 2020)."""

    def __init__(self, decoding: Decoding, first_row: int) -> None:
        self.decoding, self.first_row = decoding, first_row
        self.draws: dict[int, NDArray[np.float64]] = {}

    def __call__(self, log_p: Tensor, rows: Tensor, step: int) -> Tensor:
        torch = import_optional("torch", extra="torch")
        probability, order = (log_p / self.decoding.temperature).softmax(dim=-1).sort(dim=-1, descending=True)
        reached = probability.cumsum(dim=-1)
        # A token belongs if those before it fall short of p; the likeliest always does.
        inside = reached - probability < self.decoding.p
        inside[:, 0] = True
        held = (probability * inside).cumsum(dim=-1)
        draws = [self._draw(row)[step] for row in rows.tolist()]
        draw = torch.as_tensor(draws, dtype=held.dtype, device=held.device)[:, None] * held[:, -1:]
        # Rounding must not lead out of the nucleus.
        place = torch.minimum(
            torch.searchsorted(held, draw, right=True), inside.sum(dim=-1, keepdim=True) - 1
        )
        return order.gather(1, place)[:, 0]

    def _draw(self, row: int) -> NDArray[np.float64]:
        if row not in self.draws:
            rng = make_rng(self.decoding.seed, "nucleus", self.first_row + row)
            self.draws[row] = rng.random(self.decoding.max_tokens)
        return self.draws[row]
