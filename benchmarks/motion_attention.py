"""The trainable motion model: our temporal filters and attention against the plain ones, in one process.

    python benchmarks/motion_attention.py [--tokens 1024 3072 7168 --channels 256 --pairs 5]

Temporal stage: the product with Toeplitz blocks against four grouped convolutions. Attention: the streamed
graph against the whole one, forward alone and with the gradient. Prints one line each: median seconds, the
median ratio over pairs in alternation, the largest difference of results relative to the largest one (of the
gradients where there are any), and the largest sum of tensors that each holds at a time.
"""

import argparse
import itertools
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from neurovis.motion.mt import spread_dense, spread_streamed
from neurovis.motion.v1 import EnergyBank

Run = Callable[[], Tensor]


def make_temporal(n_units: int, side: int, seed: int) -> tuple[Run, Run]:
    """Energy of filtered frames by grouped convolutions and by blocks, on the same responses."""
    torch.manual_seed(seed)
    bank = EnergyBank(n_units, 7, 6, 6)
    filtered = torch.randn(11, 2, n_units, side * side)
    t_cosine, t_sine = bank.make_temporal_kernels().detach().flip(-1)[:, :, None]

    @torch.no_grad()
    def convolve() -> Tensor:
        cosine, sine = filtered.permute(1, 3, 2, 0).contiguous()

        def run(responses: Tensor, kernel: Tensor) -> Tensor:
            return functional.conv1d(responses, kernel, groups=n_units)

        odd = run(cosine, t_sine) + run(sine, t_cosine)
        even = run(cosine, t_cosine) - run(sine, t_sine)
        return (odd.square() + even.square()).permute(1, 2, 0)

    @torch.no_grad()
    def multiply() -> Tensor:
        rows = filtered.permute(2, 1, 0, 3).reshape(n_units, 22, -1)
        both = torch.bmm(bank._make_blocks(11), rows)  # noqa: SLF001  the stage inside the forward pass
        return both.view(n_units, 2, 6, -1).square().sum(dim=1)

    return convolve, multiply


def make_attention(n_tokens: int, n_channels: int, seed: int, *, gradient: bool) -> tuple[Run, Run]:
    torch.manual_seed(seed)
    features = functional.normalize(torch.randn(1, n_tokens, n_channels), dim=-1)
    gain, values = torch.full((1, 1, 1), 6.0), torch.randn(1, n_tokens, n_channels)
    weights = torch.randn(1, n_tokens, n_channels)

    def wrap(spread: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Run:
        def run() -> Tensor:
            if not gradient:
                with torch.no_grad():
                    return spread(features, gain, values)
            leaves = [tensor.clone().requires_grad_() for tensor in (features, gain, values)]
            found = torch.autograd.grad((weights * spread(*leaves)).sum(), leaves)
            return torch.cat([part.flatten() / part.abs().max() for part in found])

        return run

    return wrap(spread_dense), wrap(spread_streamed)


def measure_memory(run: Run) -> float:
    """Largest sum of tensors that one call holds at a time [MiB]."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(sizes)) / 2**20


def compare(label: str, peer: Run, ours: Run, n_pairs: int) -> None:
    expected, found = peer(), ours()
    difference = float((expected - found).abs().max() / expected.abs().max())
    times: dict[str, list[float]] = {"peer": [], "ours": []}
    for _ in range(n_pairs):
        for name, run in (("peer", peer), ("ours", ours)):
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    del expected, found
    ratio = statistics.median(p / o for p, o in zip(times["peer"], times["ours"], strict=True))
    seconds = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"{label:34s} peer {seconds['peer']:7.3f} s  ours {seconds['ours']:7.3f} s  ratio {ratio:5.2f}  "
        f"relative difference {difference:.1e}  memory {measure_memory(peer):6.0f} and "
        f"{measure_memory(ours):6.0f} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, nargs="+", default=[1024, 3072], help="places of the map")
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--sides", type=int, nargs="+", default=[64], help="frames of a level [px]")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"float32, {options.threads} thread(s), seed {options.seed}, {options.pairs} pairs")
    for side in options.sides:
        compare(
            f"temporal, {options.units} units, {side} px", *make_temporal(options.units, side, options.seed),
            options.pairs,
        )  # fmt: skip
    for n_tokens in options.tokens:
        for gradient in (False, True):
            label = f"attention, {n_tokens} places{', gradient' if gradient else ''}"
            runs = make_attention(n_tokens, options.channels, options.seed, gradient=gradient)
            compare(label, *runs, options.pairs)


if __name__ == "__main__":
    main()
