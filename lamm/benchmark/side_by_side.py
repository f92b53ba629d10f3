"""Ways of doing the same, timed in turns so that a busy machine slows all of them alike."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm


@dataclass(frozen=True)
class Measured:
    """One way over all inputs.

    Attributes:
        milliseconds: CPU time an input, the best round of each.
        ratio: The reference's time over its own; above 1 is faster.
        mean_difference: From the reference's result, mean over all values, in the unit of `scale`.
        largest_difference: The largest one.
        equal: All results are the reference's to the bit.
    """

    milliseconds: float
    ratio: float
    mean_difference: float
    largest_difference: float
    equal: bool


def side_by_side(
    ways: Mapping[str, Callable[[Any], Tensor]], inputs: Sequence[Any], rounds: int, scale: Tensor
) -> dict[str, Measured]:
    """Time and results of each way; the first is the reference.

    Time is the CPU's, of one thread, which is what a loader's worker has.

    Args:
        ways: By name, from an input to a tensor; torch's generator is in the same state for each.
        inputs: What they are given.
        rounds: Times that each input is given to each way.
        scale: What differences are multiplied by; it broadcasts with the results.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measure(ways, inputs, rounds, scale)
    finally:
        torch.set_num_threads(threads)


def _measure(
    ways: Mapping[str, Callable[[Any], Tensor]], inputs: Sequence[Any], rounds: int, scale: Tensor
) -> dict[str, Measured]:
    seconds, largest, equal = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0.0), dict.fromkeys(ways, True)
    means: dict[str, list[float]] = {name: [] for name in ways}
    for number, one in enumerate(tqdm(inputs, unit="img", leave=False, disable=None)):
        best = dict.fromkeys(ways, float("inf"))
        results: dict[str, Tensor] = {}
        for _ in range(rounds):
            for name, way in ways.items():
                torch.manual_seed(number)
                start = time.process_time()
                results[name] = way(one)
                best[name] = min(best[name], time.process_time() - start)
        reference = next(iter(results.values()))
        for name, result in results.items():
            difference = ((result - reference) * scale).abs()
            means[name].append(difference.mean().item())
            largest[name] = max(largest[name], difference.max().item())
            equal[name] &= torch.equal(result, reference)
            seconds[name] += best[name]
    of_reference = next(iter(seconds.values()))
    return {
        name: Measured(
            1000 * seconds[name] / len(inputs),
            of_reference / seconds[name],
            sum(means[name]) / len(inputs),
            largest[name],
            equal[name],
        )
        for name in ways
    }
