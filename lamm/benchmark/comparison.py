"""Our path through a training step beside the original code's, in one run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from lamm.benchmark.free_memory import free_bytes
from lamm.benchmark.matrix_products import needed_products, operations, seconds_by_themselves
from lamm.benchmark.measuring import MEGABYTE, operations_of, seconds_of, watch
from lamm.benchmark.training_step import STAGES, TrainingStep

PROBE_CLASSES = 6
FAST_RUNS = 5  # for each run of the plain path, half of them before it and half behind
LONG_ENOUGH = 60.0  # seconds of our path that suffice, should one run take long
MEMORY_SHARE = 0.7  # of what is free, for the plain path


@dataclass(frozen=True)
class Row:
    """One trainer's measurements.

    Attributes:
        trainer: its name.
        classes: N.
        precision: of our path; the plain one runs in fp32.
        cached: our path was given image features; the plain one never is.
        text_fast_s, text_plain_s, text_ratio: seconds of the text side of a training step, plain / fast.
        step_fast_s, step_plain_s, step_ratio: seconds of the whole step.
        image_s, forward_s, backward_s, optimizer_s: seconds of our step's stages: image tower; prompts and loss;
            backward pass; update.
        peak_fast_mb, peak_plain_mb, peak_ratio: peak memory of the text side beyond weights and batch, MiB; casts of
            weights that our path keeps are among the weights.
        step_gflop: matrix products of our whole step that are needed, 1e9 operations.
        gemm_share: time of these products by themselves, run plainly on this machine beside the step, over the step's.
        fast_gflops, plain_gflops: matrix-product speed of the text side, GFLOP/s.
        gradient_cosine: between our path's gradients at `precision` and at fp32.
        plain_classes: classes that the plain path ran with; if fewer than N, its numbers are scaled up.
    """

    trainer: str
    classes: int
    precision: str
    cached: bool
    text_fast_s: float
    text_plain_s: float
    text_ratio: float
    step_fast_s: float
    step_plain_s: float
    step_ratio: float
    image_s: float
    forward_s: float
    backward_s: float
    optimizer_s: float
    peak_fast_mb: float
    peak_plain_mb: float
    peak_ratio: float
    step_gflop: float
    gemm_share: float
    fast_gflops: float
    plain_gflops: float
    gradient_cosine: float
    plain_classes: int


def compare(
    trainer: str,
    classes: int,
    fast: TrainingStep,
    plain_with: Callable[[int], TrainingStep],
    device: torch.device,
    rounds: int,
    most_plain: int | None = None,
) -> Row:
    """Measure both paths, taking turns.

    Args:
        trainer: name for the row.
        classes: N.
        fast: our path with N classes.
        plain_with: makes the original code's path with that many classes.
        device: where they run.
        rounds: plain runs; the median counts.
        most_plain: classes that the plain path gets at most; None: as many as fit into memory.
    """
    plain_gflop, plain_classes = _probe(plain_with(PROBE_CLASSES), device, min(classes, most_plain or classes))
    scale = classes / plain_classes
    plain = plain_with(plain_classes)
    fast.text_side()  # what is encoded once for the run is no part of a step
    fast_gflop, products = operations_of(fast.text_side), needed_products(fast)
    fast_peak, plain_peak = (watch(path.text_side, device).peak_mb for path in (fast, plain))
    text = _Turns(lambda: {"text": seconds_of(fast.text_side, device)}, plain.text_side, device, rounds)
    stages = _Turns(
        lambda: {**fast.in_stages(), "gemm": seconds_by_themselves(products, device)}, plain.whole, device, rounds
    )
    text_fast, step_fast = text.median("text"), sum(stages.median(name) for name in STAGES)
    # The image tower does not grow with the classes, so only the text side is scaled.
    step_plain = stages.plain + (scale - 1) * text.plain
    return Row(
        trainer=trainer,
        classes=classes,
        precision=fast.precision,
        cached=fast.cached,
        text_fast_s=text_fast,
        text_plain_s=text.plain * scale,
        text_ratio=text.plain * scale / text_fast,
        step_fast_s=step_fast,
        step_plain_s=step_plain,
        step_ratio=step_plain / step_fast,
        image_s=stages.median("image"),
        forward_s=stages.median("forward"),
        backward_s=stages.median("backward"),
        optimizer_s=stages.median("optimizer"),
        peak_fast_mb=fast_peak,
        peak_plain_mb=plain_peak * scale,
        peak_ratio=plain_peak * scale / fast_peak,
        step_gflop=operations(products),
        gemm_share=stages.median("gemm") / step_fast,
        fast_gflops=fast_gflop / text_fast,
        plain_gflops=plain_gflop * plain_classes / text.plain,
        gradient_cosine=F.cosine_similarity(fast.gradient(fast.precision), fast.gradient("fp32"), dim=0).item(),
        plain_classes=plain_classes,
    )


def _probe(probe: TrainingStep, device: torch.device, wanted: int) -> tuple[float, int]:
    """The plain path's GFLOP a class, and how many of the wanted classes fit into memory; it is a warm-up as well."""
    gflop = operations_of(probe.text_side) / PROBE_CLASSES
    free = MEMORY_SHARE * free_bytes(device) / MEGABYTE
    fits = free / watch(probe.text_side, device).peak_mb * PROBE_CLASSES
    return gflop, max(1, int(min(wanted, fits)))


class _Turns:
    """Seconds of our path and of the plain one, measured in turns so that a busy machine slows both alike.

    Args:
        fast: runs our path once; seconds by name.
        plain: runs the plain one once.
        device: where they run.
        rounds: plain runs.

    Attributes:
        plain: median seconds of the plain path.
    """

    def __init__(
        self, fast: Callable[[], dict[str, float]], plain: Callable[[], None], device: torch.device, rounds: int
    ) -> None:
        self._fast = fast
        self._runs: list[dict[str, float]] = []
        seconds = []
        self._run_fast(FAST_RUNS // 2 + 1)
        for _ in range(rounds):
            seconds.append(seconds_of(plain, device))
            self._run_fast(FAST_RUNS)
        self.plain = statistics.median(seconds)

    def median(self, name: str) -> float:
        """Median of one of our path's numbers."""
        return statistics.median(run[name] for run in self._runs)

    def _run_fast(self, most: int) -> None:
        began = time.perf_counter()
        for _ in range(most):
            self._runs.append(self._fast())
            if time.perf_counter() - began > LONG_ENOUGH:
                return
