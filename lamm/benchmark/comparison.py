"""Our path through a training step beside the original code's, in one run."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from lamm.benchmark.free_memory import free_bytes
from lamm.benchmark.measuring import MEGABYTE, operations_of, seconds_of, watch
from lamm.benchmark.training_step import TrainingStep

PROBE_CLASSES = 6
FAST_RUNS = 5  # for each run of the plain path, half of them before it and half behind
MEMORY_SHARE = 0.7  # of what is free, for the plain path


@dataclass(frozen=True)
class Row:
    """One trainer's measurements.

    Attributes:
        trainer: its name.
        classes: N.
        precision: of our path; the plain one runs in fp32.
        text_fast_s, text_plain_s, text_ratio: seconds of the text side of a training step, plain / fast.
        step_fast_s, step_plain_s, step_ratio: seconds of the whole step.
        peak_fast_mb, peak_plain_mb, peak_ratio: peak memory of the text side beyond weights and batch, MiB.
        fast_gflops, plain_gflops: matrix-product speed of the text side, GFLOP/s.
        gradient_cosine: between our path's gradients at `precision` and at fp32.
        plain_classes: classes that the plain path ran with; if fewer than N, its numbers are scaled up.
    """

    trainer: str
    classes: int
    precision: str
    text_fast_s: float
    text_plain_s: float
    text_ratio: float
    step_fast_s: float
    step_plain_s: float
    step_ratio: float
    peak_fast_mb: float
    peak_plain_mb: float
    peak_ratio: float
    fast_gflops: float
    plain_gflops: float
    gradient_cosine: float
    plain_classes: int


class _Times(NamedTuple):
    fast: float
    plain: float


def compare(
    trainer: str,
    classes: int,
    fast: TrainingStep,
    plain_with: Callable[[int], TrainingStep],
    device: torch.device,
    rounds: int,
) -> Row:
    """Measure both paths, taking turns.

    Args:
        trainer: name for the row.
        classes: N.
        fast: our path with N classes.
        plain_with: makes the original code's path with that many classes.
        device: where they run.
        rounds: plain runs; the median counts.
    """
    probe = plain_with(PROBE_CLASSES)
    # The plain path's work grows with the classes alone; running the probe is a warm-up as well.
    plain_gflop = operations_of(probe.text_side) / PROBE_CLASSES
    fits = MEMORY_SHARE * free_bytes(device) / MEGABYTE / watch(probe.text_side, device).peak_mb * PROBE_CLASSES
    plain_classes = max(1, int(min(classes, fits)))
    scale = classes / plain_classes
    plain = plain_with(plain_classes)
    fast.text_side()  # what is encoded once for the run is no part of a step
    fast_gflop = operations_of(fast.text_side)
    fast_peak, plain_peak = watch(fast.text_side, device).peak_mb, watch(plain.text_side, device)
    text = _in_turns(fast.text_side, plain.text_side, device, rounds - 1, [plain_peak.seconds])
    step = _in_turns(fast.whole, plain.whole, device, rounds, [])
    cosine = F.cosine_similarity(fast.gradient(fast.precision), fast.gradient("fp32"), dim=0).item()
    # The image tower does not grow with the classes, so only the text side is scaled.
    step_plain = step.plain + (scale - 1) * text.plain
    return Row(
        trainer=trainer,
        classes=classes,
        precision=fast.precision,
        text_fast_s=text.fast,
        text_plain_s=text.plain * scale,
        text_ratio=text.plain * scale / text.fast,
        step_fast_s=step.fast,
        step_plain_s=step_plain,
        step_ratio=step_plain / step.fast,
        peak_fast_mb=fast_peak,
        peak_plain_mb=plain_peak.peak_mb * scale,
        peak_ratio=plain_peak.peak_mb * scale / fast_peak,
        fast_gflops=fast_gflop / text.fast,
        plain_gflops=plain_gflop * plain_classes / text.plain,
        gradient_cosine=cosine,
        plain_classes=plain_classes,
    )


def _in_turns(
    fast: Callable[[], None], plain: Callable[[], None], device: torch.device, rounds: int, plain_known: list[float]
) -> _Times:
    """Median seconds of both; `plain_known` are runs of the plain one that were timed already."""
    fast_seconds, plain_seconds = [], list(plain_known)
    for _ in range(FAST_RUNS // 2 + 1):
        fast_seconds.append(seconds_of(fast, device))
    for _ in range(rounds):
        plain_seconds.append(seconds_of(plain, device))
        fast_seconds += [seconds_of(fast, device) for _ in range(FAST_RUNS)]
    return _Times(statistics.median(fast_seconds), statistics.median(plain_seconds))
