"""Our path through a training step beside the original code's, in one run, and the figure of it."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from lamm.benchmark.measure import (
    MEGABYTE,
    MatrixProducts,
    Products,
    operations,
    operations_of,
    seconds_by_themselves,
    seconds_of,
    watch,
)
from lamm.benchmark.steps import STAGES, TrainingStep
from lamm.errors import ConfigError
from lamm.files import atomic_path
from lamm.sweep.machine import free_bytes

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


def needed_products(step: TrainingStep) -> Products:
    """The products of one step, without those that its backward pass encodes again."""
    with MatrixProducts() as forward:
        loss = step.forward(step.image_features())
    with MatrixProducts(backward=True) as backward:
        loss.backward()
    return forward.products + backward.products


def _probe(probe: TrainingStep, device: torch.device, wanted: int) -> tuple[float, int]:
    """The plain path's GFLOP per class, and how many of the wanted classes fit into memory; a warm-up as well."""
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


# Our column, the plain path's, and what they hold.
PANELS = (
    ("step_fast_s", "step_plain_s", "seconds per training step"),
    ("peak_fast_mb", "peak_plain_mb", "peak memory of the text side, MiB"),
)


def draw_cost(rows: Sequence[Row], path: Path) -> None:
    """Write a figure of two panels, time and memory, both axes logarithmic; ours solid, the plain path dashed.

    A plain path that ran with fewer classes and was scaled up has hollow marks.

    Args:
        rows: of one or more trainers and precisions, each with several numbers of classes.
        path: the file; its ending is the format.

    Raises:
        ConfigError: matplotlib is not installed, or does not know the format.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError('--plot needs matplotlib: pip install -e ".[plots]"') from error
    figure = Figure(figsize=(9, 4), layout="constrained")
    lines = sorted({(row.trainer, row.precision, row.cached) for row in rows})
    for axes, (ours, plain, meaning) in zip(figure.subplots(1, 2), PANELS, strict=True):
        for number, line in enumerate(lines):
            own = sorted((r for r in rows if (r.trainer, r.precision, r.cached) == line), key=lambda r: r.classes)
            counts = [row.classes for row in own]
            name, colour = f"{line[0]}, {line[1]}" + (", cached" if line[2] else ""), f"C{number}"
            axes.plot(counts, [getattr(row, ours) for row in own], "o-", color=colour, label=name)
            heights = [getattr(row, plain) for row in own]
            axes.plot(counts, heights, "--", color=colour, label=f"{line[0]}, plain path")
            for row, height in zip(own, heights, strict=True):
                scaled = row.plain_classes < row.classes
                axes.plot(row.classes, height, "s", color=colour, markerfacecolor="none" if scaled else colour)
        axes.set(xscale="log", yscale="log", xlabel="classes", title=meaning)
        axes.grid(visible=True, which="major", alpha=0.3)
    figure.axes[0].legend(fontsize="small")
    try:
        with atomic_path(path) as temporary:
            figure.savefig(temporary, format=path.suffix.lstrip(".") or "png", dpi=150)
    except ValueError as error:
        raise ConfigError(f"--plot {path}: {error}") from error
