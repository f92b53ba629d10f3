"""The most memory that tensors held at one time, counted operator by operator, on any device."""

import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm


class PeakMemory(TorchDispatchMode):
    """Counts the tensors that are made within the context; what an operator needs inside itself is not seen.

    Attributes:
        held: bytes of those that are alive.
        peak: most bytes that were alive at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, op: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        # What goes in and was not made here is older, and a view of it that comes out takes nothing.
        for tensor in tree_leaves((given, named)):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage(), 0)
        out = op(*given, **(named or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._hold(tensor.untyped_storage(), tensor.untyped_storage().nbytes())
        return out

    def _hold(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known[key] = size
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.held -= self._known.pop(key)


MEGABYTE = 2**20


class Watched(NamedTuple):
    """A call that was watched.

    Attributes:
        seconds: wall-clock time.
        peak_mb: most memory that its tensors held at one time, in MiB.
    """

    seconds: float
    peak_mb: float


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, a CUDA device's queued work included."""
    finish(device)
    start = time.perf_counter()
    call()
    finish(device)
    return time.perf_counter() - start


def watch(call: Callable[[], object], device: torch.device) -> Watched:
    """Time and peak memory of one and the same call; watching adds about 0.1 ms an operator."""
    with PeakMemory() as memory:
        seconds = seconds_of(call, device)
    return Watched(seconds, memory.peak / MEGABYTE)


def operations_of(call: Callable[[], object]) -> float:
    """Floating-point operations of a call's matrix products, in 1e9.

    It is a call of its own: torch's counter keeps what a checkpointed part computes again.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops() / 1e9


def finish(device: torch.device) -> None:
    """Wait for what is queued on a CUDA device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


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
