"""The picture of few-shot curves: a panel a data set, a line a method, error bars over seeds, zero-shot as a star.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart (their yellow, faint on white, is grey
here); a trainer's variants share its colour and differ in the dashes.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lamm.errors import ResultsError
from lamm.files import atomic_path
from lamm.results.collect import natural
from lamm.results.curves import ALL_SHOTS, Curve, ascending

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SUFFIXES = (".png", ".svg", ".pdf")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_MARKERS = "osD^vPX"
_DASHES: tuple[Literal["-"] | tuple[float, tuple[float, ...]], ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (6, 2, 1.5, 2)),
)
_ZERO_SHOT_COLOUR = "#222222"
_DIRECT_LABELS_UP_TO = 2
_LABEL_GAP = 0.062
"""Least distance of two labels at the lines' ends, as a share of the panel's height."""


@dataclass(frozen=True)
class _Style:
    colour: str
    marker: str
    dashes: Literal["-"] | tuple[float, tuple[float, ...]]


def draw(
    panels: Mapping[str, Sequence[Curve]],
    file: str | os.PathLike[str],
    metric: str = "accuracy",
    published: Mapping[str, Sequence[Curve]] | None = None,
    width: float = 0.0,
    colours_among: Sequence[Curve] = (),
) -> None:
    """Draw the curves of each data set into `file`.

    With one or two data sets each line carries its name at its end; with more there is one legend below.

    Args:
        panels: What `lamm.results.curves.curves` gives; at least one curve.
        file: A PNG, SVG or PDF file, as its suffix says.
        metric: Name of the metric, for the axis.
        published: By data set, what a paper reports for the methods of these labels: drawn dotted in their colours.
        width: Of a panel in inches; 0: what suits a page of text.
        colours_among: All curves of several pictures in which a method must have the same colour; empty: one's own.

    Raises:
        ResultsError: The suffix is another one, there is nothing to draw, or matplotlib is not installed.
    """
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        raise ResultsError(f'can\'t draw into "{file}"; end its name in one of {", ".join(SUFFIXES)}')
    if not panels:
        raise ResultsError("no finished run with a known number of shots: there is no curve to draw")
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ResultsError('plots need matplotlib; install it with: pip install "lamm-clip[plots]"') from error
    settings: Any = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "lamm"}
    with matplotlib.rc_context(settings), atomic_path(file) as temporary:
        direct = len(panels) <= _DIRECT_LABELS_UP_TO
        columns = min(len(panels), 4) if len(panels) != 5 else 3
        lines = math.ceil(len(panels) / columns)
        size = (columns * (width or (6.4 if direct else 4)), lines * 3.9 + (0 if direct else 0.7))
        figure = Figure(figsize=size, layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        _fill(figure, panels, lines, columns, metric, published or {}, colours_among)
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
        figure.savefig(temporary, format=suffix[1:], metadata=metadata)


def _fill(
    figure: "Figure",
    panels: Mapping[str, Sequence[Curve]],
    lines: int,
    columns: int,
    metric: str,
    published: Mapping[str, Sequence[Curve]],
    colours_among: Sequence[Curve],
) -> None:
    everything = [curve for members in panels.values() for curve in members]
    all_styles = _styles([*everything, *colours_among])
    styles = {label: all_styles[label] for label in all_styles if any(curve.label == label for curve in everything)}
    places = _places(everything)
    grid = figure.subplots(lines, columns, squeeze=False).flat
    for number, axes in enumerate(grid):
        if number >= len(panels):
            axes.set_axis_off()
            continue
        dataset, members = list(panels.items())[number]
        axes.set_title(dataset, fontweight="bold")
        for curve in members:
            _draw_curve(axes, curve, styles[curve.label], places)
        for curve in published.get(dataset, ()):
            _draw_published(axes, curve, styles[curve.label], places)
        axes.set_xticks(list(places.values()), [_tick(shots) for shots in places])
        axes.set_xlim(min(places.values()) - 0.35, max(places.values()) + 0.35)
        axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
        axes.set_axisbelow(True)
        if number % columns == 0:
            axes.set_ylabel(f"{metric.replace('_', ' ')} (%)")
        if number + columns >= len(panels):
            axes.set_xlabel("shots (training images per class)")
        if len(panels) <= _DIRECT_LABELS_UP_TO:
            _label_ends(axes, members, styles, places)
    if len(panels) > _DIRECT_LABELS_UP_TO:
        _legend_below(figure, styles, columns)


def _styles(members: Iterable[Curve]) -> dict[str, _Style]:
    """A style for each label: zero-shot is black, a trainer has a colour and marker, a variant of it has dashes."""
    variants: dict[str, list[str]] = {}
    zero_shot: list[str] = []
    for curve in sorted(members, key=lambda curve: natural(curve.label)):
        labels = zero_shot if curve.zero_shot else variants.setdefault(curve.trainer, [])
        if curve.label not in labels:
            labels.append(curve.label)
    styles = {label: _Style(_ZERO_SHOT_COLOUR, "*", (0, (1, 2))) for label in zero_shot}
    for number, labels in enumerate(variants.values()):
        colour, marker = _COLOURS[number % len(_COLOURS)], _MARKERS[number % len(_MARKERS)]
        for variant, label in enumerate(labels):
            styles[label] = _Style(colour, marker, _DASHES[variant % len(_DASHES)])
    return styles


def _places(members: Iterable[Curve]) -> dict[int, float]:
    """Where each number of shots stands on the axis: logarithmic to base 2, one step to the left for 0 shots."""
    shots = ascending({number for curve in members for number in curve.points})
    last = max((math.log2(number) for number in shots if number > 0), default=0.0)
    return {number: last + 1 if number == ALL_SHOTS else -1.0 if number == 0 else math.log2(number) for number in shots}


def _tick(shots: int) -> str:
    return "all" if shots == ALL_SHOTS else str(shots)


def _draw_curve(axes: "Axes", curve: Curve, style: _Style, places: Mapping[int, float]) -> None:
    across = [places[shots] for shots in curve.points]
    up = [value.mean for value in curve.points.values()]
    errors = [value.std if len(value.values) > 1 else 0.0 for value in curve.points.values()]
    if curve.zero_shot:
        axes.axhline(up[0], color=style.colour, linestyle=style.dashes, linewidth=1.3, zorder=1.5)
        axes.plot(across, up, marker="*", markersize=13, color=style.colour, linestyle="none", zorder=4)
        return
    axes.errorbar(
        across,
        up,
        yerr=errors if any(errors) else None,
        color=style.colour,
        linestyle=style.dashes,
        linewidth=1.9,
        marker=style.marker,
        markersize=5.5,
        markerfacecolor=style.colour if style.dashes == "-" else "white",
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
    )


def _draw_published(axes: "Axes", curve: Curve, style: _Style, places: Mapping[int, float]) -> None:
    points = {places[shots]: value.mean for shots, value in curve.points.items() if shots in places}
    axes.plot(
        list(points),
        list(points.values()),
        color=style.colour,
        linestyle=":",
        linewidth=1.6,
        marker="*" if curve.zero_shot else ".",
        markersize=11 if curve.zero_shot else 4,
        markerfacecolor="white" if curve.zero_shot else style.colour,
        zorder=2.5,
    )


def _label_ends(
    axes: "Axes", members: Sequence[Curve], styles: Mapping[str, _Style], places: Mapping[int, float]
) -> None:
    """Write each curve's name to the right of the panel, at the height of its end, names moved apart."""
    ends = sorted(((list(curve.points.items())[-1][1].mean, curve) for curve in members), key=lambda end: end[0])
    low, high = axes.get_ylim()
    heights = spread_out([height for height, _ in ends], (high - low) * _LABEL_GAP)
    axes.set_ylim(min(low, *heights), max(high, *heights))
    right = max(places.values()) + 0.35
    for (end, curve), height in zip(ends, heights, strict=True):
        style = styles[curve.label]
        start = right if curve.zero_shot else places[list(curve.points)[-1]]
        axes.annotate(
            curve.label,
            xy=(start, end),
            xytext=(1.06, height),
            textcoords=axes.get_yaxis_transform(),
            color=style.colour,
            va="center",
            fontsize=10.5,
            arrowprops={
                "arrowstyle": "-",
                "color": style.colour,
                "lw": 0.8,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 4,
            },
            annotation_clip=False,
        )


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending `heights` moved as little as a mean of pushing up and pushing down moves them, to be `gap` apart."""
    pushed_up, pushed_down = list(heights), list(heights)
    for number in range(1, len(heights)):
        pushed_up[number] = max(pushed_up[number], pushed_up[number - 1] + gap)
    for number in reversed(range(len(heights) - 1)):
        pushed_down[number] = min(pushed_down[number], pushed_down[number + 1] - gap)
    return [(one + other) / 2 for one, other in zip(pushed_up, pushed_down, strict=True)]


def _legend_below(figure: "Figure", styles: Mapping[str, _Style], columns: int) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=style.colour,
            linestyle=style.dashes,
            marker=style.marker,
            markersize=12 if style.marker == "*" else 5.5,
            markerfacecolor=style.colour if style.dashes == "-" or style.marker == "*" else "white",
        )
        for style in styles.values()
    ]
    figure.legend(handles, list(styles), loc="outside lower center", ncols=min(len(styles), 2 * columns), frameon=False)
