"""The picture of few-shot curves: a panel per data set, a line per method, error bars over seeds, zero-shot as a star.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart (their yellow, faint on white, is grey
here); a trainer's variants share its colour and differ in marker and dashes.
"""

import math
import os
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lamm.errors import ResultsError
from lamm.escaping import printable
from lamm.files import atomic_path, require_place
from lamm.results.curves import ALL_SHOTS, ascending
from lamm.results.frame import natural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SUFFIXES = (".png", ".svg", ".pdf")
MARK = "LAMM plot"
"""Every picture names this as the program that made it."""
_MAKER = {".png": "Software", ".svg": "Creator", ".pdf": "Creator"}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_MARKERS = "osD^vPX"
_DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
_ZERO_SHOT_COLOUR = "#222222"
_DIRECT_LABELS_UP_TO, _LONGEST_DIRECT_LABEL = 2, 32
_LETTERS_PER_INCH = 9
OTHER_SCRIPTS = ("Noto Sans CJK SC", "WenQuanYi Zen Hei", "Noto Sans Devanagari", "Noto Sans Arabic", "Noto Emoji")
"""Fonts for names outside Latin, Greek and Cyrillic, where they are installed."""
_LABEL_GAP = 0.062
"""Least distance of two labels at the lines' ends, as a share of the panel's height."""


_Style = dict[str, Any]
"""matplotlib's settings of a line."""


def require_picture(file: str | os.PathLike[str]) -> None:
    """Check that a picture can be written to a file that a user names.

    Raises:
        ResultsError: The suffix is not one of `SUFFIXES`.
        ConfigError: See `require_place`.
    """
    if Path(file).suffix.lower() not in SUFFIXES:
        raise ResultsError(f'can\'t draw into "{file}"; end its name in one of {", ".join(SUFFIXES)}')
    require_place(file, MARK)


@contextmanager
def drawing_settings(settings: Mapping[str, Any]) -> Iterator[None]:
    """matplotlib's settings for drawings: no `$` in a name begins a formula, names have the fonts that are here.

    Nothing is printed about a letter that no font here has; it is drawn as a box.
    """
    import matplotlib
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    fonts = ["sans-serif", *(name for name in OTHER_SCRIPTS if name in installed)]
    rc: Any = {"font.size": 11, "font.family": fonts, "svg.hashsalt": "lamm", "text.parse_math": False, **settings}
    with matplotlib.rc_context(rc), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def picture(
    file: str | os.PathLike[str], size: tuple[float, float], settings: Mapping[str, Any] | None = None
) -> Iterator["Figure"]:
    """Give a figure to draw on, and write it when the block succeeds; the same drawing gives the same bytes.

    Args:
        file: A PNG, SVG or PDF file, as its suffix says.
        size: Width and height in inches.
        settings: Of matplotlib, beside ours.

    Raises:
        ResultsError: The suffix is another one, or matplotlib is not installed.
        ConfigError: There is a file that is not such a picture.
    """
    require_picture(file)
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ResultsError('plots need matplotlib; install it with: pip install "lamm-clip[plots]"') from error
    with drawing_settings(settings or {}), atomic_path(file) as temporary:
        figure = Figure(figsize=size, layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        yield figure
        suffix = Path(file).suffix.lower()
        undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
        figure.savefig(temporary, format=suffix[1:], metadata={_MAKER[suffix]: MARK, **undated})


def draw(
    curves: pd.DataFrame,
    file: str | os.PathLike[str],
    metric: str = "accuracy",
    published: pd.DataFrame | None = None,
    width: float = 0.0,
    colours_among: pd.DataFrame | None = None,
) -> None:
    """Draw the curves of each data set into `file`.

    With one or two data sets and short names each line carries its name at its end, else there is one legend below.

    Args:
        curves: From `lamm.results.few_shot_curves` or `mean_curves`; at least one. Of its columns, `dataset`,
            `trainer`, `label`, `shots` and `value` are used.
        file: A PNG, SVG or PDF file, as its suffix says.
        metric: Name of the metric, for the axis.
        published: With the same columns, what a paper reports for the methods of these labels: drawn dotted in their
            colours.
        width: Of a panel in inches; 0: what suits a page of text.
        colours_among: All curves of several pictures in which a method must have the same colour; None: one's own.

    Raises:
        ResultsError: The suffix is another one, there is nothing to draw, or matplotlib is not installed.
    """
    require_picture(file)
    if curves.empty:
        raise ResultsError("no finished run with a known number of shots: there is no curve to draw")
    panels = dict(iter(curves.groupby("dataset", sort=False)))
    direct = len(panels) <= _DIRECT_LABELS_UP_TO and curves.label.str.len().max() <= _LONGEST_DIRECT_LABEL
    columns = min(len(panels), 4) if len(panels) != 5 else 3
    lines = math.ceil(len(panels) / max(columns, 1))
    width = width or (6.4 if len(panels) <= _DIRECT_LABELS_UP_TO else 4)
    size = (columns * width, lines * 3.9)
    with picture(file, size, {"axes.spines.top": False, "axes.spines.right": False}) as figure:
        styles = _styles(curves if colours_among is None else pd.concat([curves, colours_among]))
        styles = {label: style for label, style in styles.items() if label in set(curves.label)}
        places = _places(curves)
        for number, axes in enumerate(figure.subplots(lines, columns, squeeze=False).flat):
            if number >= len(panels):
                axes.set_axis_off()
                continue
            dataset, members = list(panels.items())[number]
            axes.set_title(textwrap.fill(printable(dataset), int(width * _LETTERS_PER_INCH)), fontweight="bold")
            for label, points in members.groupby("label", sort=False):
                _draw_curve(axes, points, styles[label], places)
            reported = published[published.dataset == dataset] if published is not None else members[:0]
            for label, points in reported.groupby("label", sort=False):
                _draw_published(axes, points, styles[label], places)
            axes.set_xticks(list(places.values()), ["all" if shots == ALL_SHOTS else str(shots) for shots in places])
            axes.set_xlim(min(places.values()) - 0.35, max(places.values()) + 0.35)
            axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
            axes.set_axisbelow(True)
            if number % columns == 0:
                axes.set_ylabel(f"{metric.replace('_', ' ')} (%)")
            if number + columns >= len(panels):
                axes.set_xlabel("shots (training images per class)")
            if direct:
                _label_ends(axes, members, styles, places)
        if not direct:
            _legend_below(figure, styles, 2 * columns)


def _styles(curves: pd.DataFrame) -> dict[str, _Style]:
    """A style for each label: zero-shot is black, a trainer has a colour, a variant of it has a marker and dashes."""
    labels = curves.drop_duplicates(["label", "trainer"]).sort_values("label", key=lambda names: names.map(natural))
    zero_shot: _Style = {"color": _ZERO_SHOT_COLOUR, "marker": "*", "linestyle": (0, (1, 2))}
    styles = {label: zero_shot | {"markerfacecolor": _ZERO_SHOT_COLOUR} for label in labels.label[labels.shots == 0]}
    for number, (_, variants) in enumerate(labels[labels.shots != 0].groupby("trainer", sort=False)):
        colour = _COLOURS[number % len(_COLOURS)]
        for variant, label in enumerate(variants.label.unique()):
            marker, face = _MARKERS[(number + variant) % len(_MARKERS)], "white" if variant else colour
            dashes = _DASHES[variant % len(_DASHES)]
            styles[label] = {"color": colour, "marker": marker, "linestyle": dashes, "markerfacecolor": face}
    return styles


def _places(curves: pd.DataFrame) -> dict[int, float]:
    """Where each number of shots stands on the axis: logarithmic to base 2, one step to the left for 0 shots."""
    shots = ascending(set(curves.shots.tolist()))
    last = max((math.log2(number) for number in shots if number > 0), default=0.0)
    return {number: last + 1 if number == ALL_SHOTS else -1.0 if number == 0 else math.log2(number) for number in shots}


def _draw_curve(axes: "Axes", points: pd.DataFrame, style: _Style, places: Mapping[int, float]) -> None:
    across = [places[shots] for shots in points.shots]
    up = [value.mean for value in points.value]
    if (points.shots == 0).all():
        axes.axhline(up[0], color=style["color"], linestyle=style["linestyle"], linewidth=1.3, zorder=1.5)
        axes.plot(across, up, marker="*", markersize=13, color=style["color"], linestyle="none", zorder=4)
        return
    errors = [value.std if len(value.values) > 1 else 0.0 for value in points.value]
    bars: _Style = {"yerr": errors if any(errors) else None, "elinewidth": 1.1, "capsize": 2.5}
    axes.errorbar(across, up, **bars, **style, linewidth=1.9, markersize=5.5, zorder=3)


def _draw_published(axes: "Axes", points: pd.DataFrame, style: _Style, places: Mapping[int, float]) -> None:
    marker: _Style = {"marker": ".", "markersize": 4, "markerfacecolor": style["color"]}
    if (points.shots == 0).all():
        marker = {"marker": "*", "markersize": 11, "markerfacecolor": "white"}
    points = points[points.shots.isin(list(places))]
    across, up = [places[shots] for shots in points.shots], [value.mean for value in points.value]
    axes.plot(across, up, color=style["color"], linestyle=":", linewidth=1.6, zorder=2.5, **marker)


def _label_ends(axes: "Axes", members: pd.DataFrame, styles: Mapping[str, _Style], places: Mapping[int, float]) -> None:
    """Write each curve's name to the right of the panel, at the height of its end, names moved apart."""
    last_points = members.groupby("label", sort=False).tail(1).itertuples()
    ends = sorted(((point.value.mean, point) for point in last_points), key=lambda end: end[0])
    low, high = axes.get_ylim()
    heights = spread_out([height for height, _ in ends], (high - low) * _LABEL_GAP)
    axes.set_ylim(min(low, *heights), max(high, *heights))
    right = max(places.values()) + 0.35
    for (end, point), height in zip(ends, heights, strict=True):
        colour = styles[point.label]["color"]
        line = {"arrowstyle": "-", "color": colour, "lw": 0.8, "relpos": (0, 0.5), "shrinkA": 1, "shrinkB": 4}
        axes.annotate(
            printable(point.label),
            xy=(right if point.shots == 0 else places[point.shots], end),
            xytext=(1.06, height),
            textcoords=axes.get_yaxis_transform(),
            color=colour,
            va="center",
            fontsize=10.5,
            arrowprops=line,
            annotation_clip=False,
        )


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending `heights` moved as little as a mean of pushing up and pushing down moves them, to be `gap` apart."""
    pushed_up = accumulate(heights, lambda below, height: max(height, below + gap))
    pushed_down = [*accumulate(reversed(heights), lambda above, height: min(height, above - gap))]
    return [(one + other) / 2 for one, other in zip(pushed_up, reversed(pushed_down), strict=True)]


def _legend_below(figure: "Figure", styles: Mapping[str, _Style], columns: int) -> None:
    """A legend in as many columns, at most, as fit; the figure becomes higher by it."""
    from matplotlib.lines import Line2D

    letters = int(figure.get_figwidth() * _LETTERS_PER_INCH)
    names = [textwrap.fill(printable(label), letters) for label in styles]

    handles = [Line2D([], [], **style, markersize=12 if style["marker"] == "*" else 5.5) for style in styles.values()]
    for number in range(min(len(styles), columns), 0, -1):
        legend = figure.legend(handles, names, loc="outside lower center", ncols=number, frameon=False)
        box = legend.get_window_extent()
        if box.width <= figure.bbox.width or number == 1:
            break
        legend.remove()
    figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)
