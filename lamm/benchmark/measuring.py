"""Time, floating-point operations and peak memory of a call."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from lamm.benchmark.peak_memory import PeakMemory

MEGABYTE = 2**20


class Cost(NamedTuple):
    """What a call needs.

    Attributes:
        seconds: wall-clock time.
        gflop: floating-point operations of its matrix products, in 1e9.
        peak_mb: most memory that its tensors held at one time, in MiB.
    """

    seconds: float
    gflop: float
    peak_mb: float


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, a CUDA device's queued work included."""
    _finish(device)
    start = time.perf_counter()
    call()
    _finish(device)
    return time.perf_counter() - start


def cost_of(call: Callable[[], object], device: torch.device) -> Cost:
    """Time, operations and peak memory of one and the same call; counting adds about 0.1 ms an operator."""
    with FlopCounterMode(display=False) as operations, PeakMemory() as memory:
        seconds = seconds_of(call, device)
    return Cost(seconds, operations.get_total_flops() / 1e9, memory.peak / MEGABYTE)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
