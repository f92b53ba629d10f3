"""Time, floating-point operations and peak memory of a call."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from lamm.benchmark.peak_memory import PeakMemory

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
