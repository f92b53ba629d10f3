"""The cost of a training step against the number of classes, as a figure."""

from collections.abc import Sequence
from pathlib import Path

from lamm.benchmark.comparison import Row
from lamm.errors import ConfigError
from lamm.files import atomic_path

PANELS = (
    ("step", "step_fast_s", "step_plain_s", "seconds a training step"),
    ("memory", "peak_fast_mb", "peak_plain_mb", "peak memory of the text side, MiB"),
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
    for axes, (_, ours, plain, meaning) in zip(figure.subplots(1, 2), PANELS, strict=True):
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
