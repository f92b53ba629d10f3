"""Our path through a training step beside the original code's, in one run, and the figure of it."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from tabulate import tabulate

from lamm.benchmark.measure import (
    MEGABYTE,
    MatrixProducts,
    Products,
    Traffic,
    copied_bytes_per_second,
    operations,
    operations_of,
    peak_megabytes,
    seconds_by_themselves,
    seconds_of,
)
from lamm.benchmark.steps import STAGES, TrainingStep
from lamm.memory import free_bytes
from lamm.results.figure import picture

PROBE_CLASSES = 6
FAST_RUNS = 5  # for each run of the plain path, half of them before it and half behind
LONG_ENOUGH = 60.0  # seconds of our path that suffice, should one run take long
MEMORY_SHARE = 0.7  # of what is free, for the plain path


Row = dict[str, Any]
"""One trainer's measurements, by the names that `compare` lists."""


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

    Returns:
        - trainer, classes, precision, cached: of our path. The plain one runs in fp32 and encodes its images.
        - text_fast_s, text_plain_s, text_ratio: seconds of the text side of a training step, plain / fast.
        - step_fast_s, step_plain_s, step_ratio: seconds of the whole step.
        - image_s, forward_s, backward_s, optimizer_s: seconds of our step's stages: image tower; prompts and loss;
          backward pass; update.
        - peak_fast_mb, peak_plain_mb, peak_ratio: peak memory of the text side beyond weights and batch, MiB
          (`peak_megabytes`); casts of weights that our path keeps are among the weights.
        - step_gflop: matrix products of our whole step that are needed, 1e9 operations.
        - gemm_share: time of these products by themselves, run plainly on this machine beside the step, over the
          step's.
        - step_gbyte: what all other operators of the step read and write (`Traffic`), 1e9 bytes.
        - copied_gbyte_s: what a large copy reads and writes per second on this machine, 1e9 bytes.
        - roofline_share: what the step would take if its products ran one after the other, and its other operators at
          the speed of a large copy, over what it takes. Above 1, they find in the caches what they read.
        - fast_gflops, plain_gflops: matrix-product speed of the text side, GFLOP/s.
        - gradient_cosine: between our path's gradients at `precision` and at fp32.
        - plain_classes: classes that the plain path ran with; if fewer than N, its numbers are scaled up.
    """
    plain_gflop, plain_classes = _probe(plain_with(PROBE_CLASSES), device, min(classes, most_plain or classes))
    scale = classes / plain_classes
    plain = plain_with(plain_classes)
    fast.text_side()  # what is encoded once for the run is no part of a step
    fast_gflop, products = operations_of(fast.text_side), needed_products(fast)
    with Traffic() as traffic:
        fast.whole()
    copied = copied_bytes_per_second(device)
    fast_peak, plain_peak = (peak_megabytes(path.text_side, device) for path in (fast, plain))
    text, text_plain = _in_turns(
        lambda: {"text": seconds_of(fast.text_side, device)}, lambda: seconds_of(plain.text_side, device), rounds
    )
    stages, step_plain = _in_turns(
        lambda: {**fast.in_stages(), "gemm": seconds_by_themselves(products, device)},
        lambda: seconds_of(plain.whole, device),
        rounds,
    )
    text_fast, step_fast = text["text"], sum(stages[name] for name in STAGES)
    # The image tower does not grow with the classes, so only the text side is scaled.
    step_plain += (scale - 1) * text_plain
    return {
        "trainer": trainer,
        "classes": classes,
        "precision": fast.precision,
        "cached": fast.cached,
        "text_fast_s": text_fast,
        "text_plain_s": text_plain * scale,
        "text_ratio": text_plain * scale / text_fast,
        "step_fast_s": step_fast,
        "step_plain_s": step_plain,
        "step_ratio": step_plain / step_fast,
        **{f"{name}_s": stages[name] for name in STAGES},
        "peak_fast_mb": fast_peak,
        "peak_plain_mb": plain_peak * scale,
        "peak_ratio": plain_peak * scale / fast_peak,
        "step_gflop": operations(products),
        "gemm_share": stages["gemm"] / step_fast,
        "step_gbyte": traffic.bytes / 1e9,
        "copied_gbyte_s": copied / 1e9,
        "roofline_share": (stages["gemm"] + traffic.bytes / copied) / step_fast,
        "fast_gflops": fast_gflop / text_fast,
        "plain_gflops": plain_gflop * plain_classes / text_plain,
        "gradient_cosine": F.cosine_similarity(fast.gradient(fast.precision), fast.gradient("fp32"), dim=0).item(),
        "plain_classes": plain_classes,
    }


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
    fits = free / peak_megabytes(probe.text_side, device) * PROBE_CLASSES
    return gflop, max(1, int(min(wanted, fits)))


def _in_turns(
    fast: Callable[[], dict[str, float]], plain: Callable[[], float], rounds: int
) -> tuple[dict[str, float], float]:
    """Median seconds of our path, by name, and of the plain one; in turns, so that a busy machine slows both alike.

    Args:
        fast: runs our path once; seconds by name.
        plain: runs the plain one once; its seconds.
        rounds: plain runs.
    """
    ours: list[dict[str, float]] = []

    def run_ours(most: int) -> None:
        began = time.perf_counter()
        for _ in range(most):
            ours.append(fast())
            if time.perf_counter() - began > LONG_ENOUGH:
                return

    run_ours(FAST_RUNS // 2 + 1)
    seconds = []
    for _ in range(rounds):
        seconds.append(plain())
        run_ours(FAST_RUNS)
    return {name: statistics.median(run[name] for run in ours) for name in ours[0]}, statistics.median(seconds)


def compare_ways(steps: Mapping[str, TrainingStep], device: torch.device, rounds: int) -> list[Row]:
    """Whole steps of several ways to do the same, taking turns.

    Args:
        steps: by name; the first is what the others are compared with.
        device: where they run.
        rounds: runs of each, of which the median counts; one more comes first, whose memory is counted.

    Returns:
        A row for each way: way, step_s, ratio (to the first way's), peak_mb (beyond weights and batch, MiB).
    """
    peaks = {name: peak_megabytes(step.whole, device) for name, step in steps.items()}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step.whole, device))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    first = next(iter(medians.values()))
    return [{"way": name, "step_s": own, "ratio": own / first, "peak_mb": peaks[name]} for name, own in medians.items()]


# Name in a row → title in the tables of both paths, and of our step alone.
MEASUREMENT = {"trainer": "trainer", "classes": "classes", "precision": "precision"}
SIDES = {
    **MEASUREMENT,
    **{"text_fast_s": "text fast s", "text_plain_s": "plain s", "text_ratio": "ratio"},
    **{"step_fast_s": "step fast s", "step_plain_s": "plain s", "step_ratio": "ratio"},
    **{"peak_fast_mb": "peak fast MB", "peak_plain_mb": "plain MB", "peak_ratio": "ratio"},
    "gradient_cosine": "cosine to fp32",
}
STEP = {
    **MEASUREMENT,
    **{f"{stage}_s": f"{stage} s" for stage in STAGES},
    **{"step_fast_s": "step s", "step_gflop": "GFLOP", "gemm_share": "gemm share"},
    **{"step_gbyte": "other GB", "copied_gbyte_s": "copy GB/s", "roofline_share": "roofline share"},
    **{"alone_s": "1 rank s", "ranks_s": "ranks s", "ranks_ratio": "ratio"},
}


def readable_table(rows: Sequence[Row], columns: Mapping[str, str], form: str = "simple") -> str:
    """Some columns of the rows, to read.

    Args:
        rows: one or more.
        columns: name in a row → title; those that the first row lacks are left out.
        form: of the table, as `tabulate` names it; `html` escapes what the cells hold.
    """

    def readable(value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str | int):
            return str(value)
        if 0 < value < 5e-5:
            return f"{value:.1e}"
        return f"{value:.4f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"

    known = {name: title for name, title in columns.items() if name in rows[0]}
    cells = [[readable(row[name]) for name in known] for row in rows]
    return tabulate(cells, headers=list(known.values()), tablefmt=form, disable_numparse=True)


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
        path: a PNG, SVG or PDF file, as its suffix says.

    Raises:
        ResultsError: the suffix is another one, or matplotlib is not installed.
    """
    lines = sorted({(row["trainer"], row["precision"], row["cached"]) for row in rows})
    with picture(path, (9, 4)) as figure:
        for axes, (ours, plain, meaning) in zip(figure.subplots(1, 2), PANELS, strict=True):
            for number, (trainer, precision, cached) in enumerate(lines):
                own = [row for row in rows if (row["trainer"], row["precision"], row["cached"]) == lines[number]]
                own.sort(key=lambda row: row["classes"])
                counts, colour = [row["classes"] for row in own], f"C{number}"
                name = f"{trainer}, {precision}" + (", cached" if cached else "")
                axes.plot(counts, [row[ours] for row in own], "o-", color=colour, label=name)
                axes.plot(counts, [row[plain] for row in own], "--", color=colour, label=f"{trainer}, plain path")
                for row in own:
                    scaled = row["plain_classes"] < row["classes"]
                    axes.plot(
                        row["classes"], row[plain], "s", color=colour, markerfacecolor="none" if scaled else colour
                    )
            axes.set(xscale="log", yscale="log", xlabel="classes", title=meaning)
            # matplotlib's own labels of powers are formulas, which are switched off.
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:,g}" if value < 1 else f"{value:,.0f}")
            axes.grid(visible=True, which="major", alpha=0.3)
        figure.axes[0].legend(fontsize="small")
