"""Captions of embeddings: batches with a cache of keys and values against one at a time without.

    python benchmarks/captioning.py [--voxels 64 --batch 64 --width 5 --pairs 3 --gpt2 --device cpu]

The peer is the published loop: one embedding at a time, every beam of it read again from the prefix on at
every step, until all beams have ended. By default the shipped captioner on embeddings of scenes (merging
off), with --gpt2 a GPT-2 of the published size with random weights, whose sentences run to --max-tokens.
Prints embeddings per second of both, the median ratio over pairs of runs in alternation, and the share of
equal captions.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurovis.captioning import Decoding, ExtractorEmbedder, PrefixCaptioner, load_captioner
from neurovis.stimuli.world import make_scene


def caption_as_published(
    captioner: PrefixCaptioner, embedding: NDArray[np.float32], width: int, max_tokens: int
) -> str:
    """Beam search of one embedding without a cache."""
    vocabulary = captioner.tokenizer.get_vocab()
    stops = torch.tensor([vocabulary[stop] for stop in captioner.stop])
    device = next(captioner.mapper.parameters()).device
    prefix = captioner.mapper(torch.from_numpy(embedding)[None].to(device))
    log_p = captioner.model(inputs_embeds=prefix, use_cache=False).logits[0, -1].log_softmax(-1).cpu()
    sums, chosen = log_p.topk(width)
    tokens = chosen[:, None]
    sequence = prefix.expand(width, -1, -1)
    lengths, ended = torch.ones(width), torch.isin(chosen, stops)
    for _ in range(max_tokens - 1):
        if ended.all():
            break
        added = captioner.model.transformer.wte(tokens[:, -1:].to(device))
        sequence = torch.cat([sequence, added], dim=1)
        log_p = captioner.model(inputs_embeds=sequence, use_cache=False).logits[:, -1].log_softmax(-1).cpu()
        log_p[ended] = -torch.inf
        log_p[ended, 0] = 0
        lengths = lengths + ~ended
        totals = sums[:, None] + log_p
        best = (totals / lengths[:, None]).flatten().topk(width).indices
        source, chosen = best // log_p.shape[1], best % log_p.shape[1]
        sums, lengths = totals.flatten()[best], lengths[source]
        tokens = torch.cat([tokens[source], chosen[:, None]], dim=1)
        sequence, ended = sequence[source.to(device)], ended[source]
        ended = ended | torch.isin(chosen, stops)
    row = int((sums / lengths).argmax())
    ids = tokens[row, : int(lengths[row])]
    kept = ids[:-1] if torch.isin(ids[-1], stops) else ids
    return str(captioner.tokenizer.decode(kept.tolist())).strip()


def make_gpt2(max_tokens: int) -> PrefixCaptioner:
    """CLIPCap's size with random weights and the shipped captioner's words under the first numbers."""
    from transformers import GPT2Config, GPT2LMHeadModel

    from neurovis.captioning.captioner import PrefixMapper

    torch.manual_seed(0)
    words = load_captioner()
    return PrefixCaptioner(
        PrefixMapper(512, 10, 768), GPT2LMHeadModel(GPT2Config(initializer_range=0.1)), words.tokenizer,
        "random", words.stop, max_tokens,
    )  # fmt: skip


def embed_scenes(n: int, seed: int) -> NDArray[np.float32]:
    from neurovis.features.open_clip import make_open_clip

    embedder = ExtractorEmbedder(make_open_clip("world-clip-resnet"))
    return embedder([make_scene(seed, i).image for i in range(n)])


def measure(function: Callable[[], Any]) -> tuple[float, list[str]]:
    start = time.perf_counter()
    with torch.inference_mode():
        found = function()
    return time.perf_counter() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in {
        "voxels": 64,
        "batch": 64,
        "width": 5,
        "max-tokens": 64,
        "pairs": 3,
        "seed": 0,
    }.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--gpt2", action="store_true", help="random weights of the published size")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    captioner = make_gpt2(options.max_tokens) if options.gpt2 else load_captioner()
    captioner.to(options.device)
    n = options.voxels
    if options.gpt2:
        embeddings = np.random.default_rng(options.seed).normal(size=(n, 512)).astype(np.float32)
    else:
        embeddings = embed_scenes(n, options.seed)
    decoding = Decoding("beam", width=options.width, max_tokens=options.max_tokens)

    def ours() -> list[str]:
        return captioner.caption(embeddings, decoding, batch_size=options.batch, merge_above=None).texts

    def theirs() -> list[str]:
        return [caption_as_published(captioner, row, options.width, options.max_tokens) for row in embeddings]

    captioner.caption(embeddings[:2], decoding)
    rounds = [(measure(theirs), measure(ours)) for _ in range(options.pairs)]
    peer, own = (statistics.median(entry[i][0] for entry in rounds) for i in (0, 1))
    ratio = statistics.median(entry[0][0] / entry[1][0] for entry in rounds)
    equal = np.mean([a == b for a, b in zip(rounds[0][0][1], rounds[0][1][1], strict=True)])
    size = sum(parameter.numel() for parameter in captioner.model.parameters())
    print(
        f"{n} embeddings, beams {options.width}, {size / 1e6:.1f} M parameters on {options.device}, threads "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')}, {options.pairs} pairs of runs\n"
        f"one at a time without cache {n / peer:.2f} per second, batches of {options.batch} with cache "
        f"{n / own:.2f} per second: ratio {ratio:.1f}; {equal:.0%} of the captions are equal"
    )


if __name__ == "__main__":
    main()
