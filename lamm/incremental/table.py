"""Class-incremental results as text: a matrix of steps and sets for each method, or a line a method."""

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from lamm.errors import ResultsError
from lamm.files import atomic_path
from lamm.incremental.results import IncrementalResult, Matrix
from lamm.results.table import TABULATE_FORMATS, Statistic, latex_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


OWN, SEEN = "own", "all seen"


@dataclass(frozen=True)
class _Line:
    """One line of a matrix: what is known of each set, None where a set is not there yet, and the average."""

    classes: str
    after: str
    sets: list[Statistic | None]
    average: Statistic


def render_matrices(results: Sequence[IncrementalResult], layout: str = "plain", ci95: bool = False) -> str:
    """The accuracy matrix of each result, without a line break at the end.

    Lines `own` are (a), a set's accuracy among its own classes, and how far it falls up to the last step; lines
    `all seen` are (b), its accuracy among all classes seen so far. The average is over the sets of the line; that of
    the fall leaves the last set out, after which nothing is learned.

    Args:
        results: at least one.
        layout: one of `lamm.results.table.FORMATS`; "csv" and "json" hold unrounded numbers.
        ci95: show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    if layout == "json":
        return json.dumps([as_json(result, spread) for result in results], indent=2, ensure_ascii=False)
    if layout == "csv":
        return _csv(results, spread)
    texts = []
    for result in results:
        cells = [_cells(line, spread) for line in _lines(result)]
        headers = ["classes", "after", *(f"set {number}" for number in range(1, result.steps + 1)), "average"]
        texts.append(f"{_title(result, layout)}\n\n{_tabulated(headers, cells, layout, words=2)}")
    return "\n\n".join(texts)


def render_overview(results: Sequence[IncrementalResult], layout: str = "plain", ci95: bool = False) -> str:
    """A line a method: its averages over all sets after the last step, and its average fall.

    Args:
        results: at least one.
        layout: one of `TABULATE_FORMATS`.
        ci95: show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    headers = ["dataset", "shots", "trainer", "cfg", "seeds", "own classes", "fall", "all seen classes"]
    cells = [
        [
            *(result.dataset, str(result.shots), result.trainer, result.cfg, " ".join(map(str, result.seeds))),
            *(value.text(spread) for value in (result.own_average[-1], result.average_fall, result.seen_average[-1])),
        ]
        for result in results
    ]
    return _tabulated(headers, cells, layout, words=4)


def as_json(result: IncrementalResult, spread: str = "std") -> dict[str, Any]:
    """A result as plain objects: each number with mean, spread and the values of the seeds."""

    def plain(value: Statistic) -> dict[str, Any]:
        return {"mean": value.mean, spread: getattr(value, spread), "values": list(value.values)}

    names = ("dataset", "shots", "trainer", "cfg", "seen_as_negatives", "steps", "seeds", "unfinished")
    return {
        **{name: getattr(result, name) for name in names},
        "own": [[plain(value) for value in row] for row in result.own],
        "own_average": [plain(value) for value in result.own_average],
        "seen": [[plain(value) for value in row] for row in result.seen],
        "seen_average": [plain(value) for value in result.seen_average],
        "fall": [plain(value) for value in result.fall],
        "average_fall": plain(result.average_fall),
        "files": [str(file) for file in result.files],
    }


def _lines(result: IncrementalResult) -> list[_Line]:
    lines = []
    for classes, matrix, average in ((OWN, result.own, result.own_average), (SEEN, result.seen, result.seen_average)):
        for step, row in enumerate(matrix):
            later = [None] * (result.steps - step - 1)
            lines.append(_Line(classes, f"step {step + 1}", [*row, *later], average[step]))
        if classes == OWN:
            lines.append(_Line(classes, "fall", list(result.fall), result.average_fall))
    return lines


def _cells(line: _Line, spread: str) -> list[str]:
    numbers = (*line.sets, line.average)
    return [line.classes, line.after, *("" if value is None else value.text(spread) for value in numbers)]


def _csv(results: Sequence[IncrementalResult], spread: str) -> str:
    """A line for each line of each matrix and set."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["dataset", "shots", "trainer", "cfg", "seeds", "classes", "after", "set", "mean", spread])
    for result in results:
        about = [result.dataset, result.shots, result.trainer, result.cfg, " ".join(map(str, result.seeds))]
        for line in _lines(result):
            for name, value in (*enumerate(line.sets, start=1), ("average", line.average)):
                if value is not None:
                    writer.writerow([*about, line.classes, line.after, name, value.mean, getattr(value, spread)])
    return text.getvalue().rstrip("\n")


def _title(result: IncrementalResult, layout: str) -> str:
    return latex_text(result.title) if layout == "latex" else result.title


def _tabulated(headers: list[str], cells: list[list[str]], layout: str, words: int) -> str:
    """A table whose first columns are words, and whose others are numbers."""
    if layout == "latex":
        headers, cells = [latex_text(name) for name in headers], [[latex_text(cell) for cell in line] for line in cells]
    align = ["left" if place < words else "right" for place in range(len(headers))]
    return tabulate(cells, headers=headers, tablefmt=TABULATE_FORMATS[layout], colalign=align, disable_numparse=True)


SUFFIXES = (".png", ".svg", ".pdf")
MOST_NUMBERS = 12
"""Steps up to which each field has its number written in it."""
_COLOURS = "cividis"


def draw_incremental(result: IncrementalResult, file: str | os.PathLike[str]) -> None:
    """Draw the two matrices of a result side by side into `file`.

    Args:
        result: what to draw.
        file: a PNG, SVG or PDF file, as its suffix says.

    Raises:
        ResultsError: the suffix is another one, or matplotlib is not installed.
    """
    suffix = Path(file).suffix.lower()
    if suffix not in SUFFIXES:
        raise ResultsError(f'can\'t draw into "{file}"; end its name in one of {", ".join(SUFFIXES)}')
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ResultsError('plots need matplotlib; install it with: pip install "lamm-clip[plots]"') from error
    settings: Any = {"font.size": 11, "svg.hashsalt": "lamm"}
    with matplotlib.rc_context(settings), atomic_path(file) as temporary:
        side = 1.6 + 0.75 * min(max(result.steps, 3), MOST_NUMBERS)
        figure = Figure(figsize=(2 * side + 1.2, side + 0.6), layout="constrained", dpi=160)
        FigureCanvasAgg(figure)
        panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
        lowest = min(value.mean for matrix in (result.own, result.seen) for row in matrix for value in row)
        for axes, matrix, title in (
            (panels[0], result.own, "among its own classes"),
            (panels[1], result.seen, "among all classes seen"),
        ):
            image = _draw_matrix(axes, matrix, lowest)
            axes.set_title(title)
        panels[0].set_ylabel("after step")
        figure.colorbar(image, ax=panels, label="accuracy (%)")
        figure.suptitle(result.title, fontweight="bold", fontsize=10)
        metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
        figure.savefig(temporary, format=suffix[1:], metadata=metadata)


def _draw_matrix(axes: "Axes", matrix: Matrix, lowest: float) -> Any:
    """One panel; what a step has not learned yet stays white. Returns what the colour bar is made of."""
    steps = len(matrix)
    heights = [[value.mean for value in row] + [float("nan")] * (steps - len(row)) for row in matrix]
    image = axes.imshow(heights, cmap=_COLOURS, vmin=min(lowest, 99.0), vmax=100.0)
    numbers = range(steps)
    axes.set_xticks(list(numbers), [str(number + 1) for number in numbers])
    axes.set_yticks(list(numbers), [str(number + 1) for number in numbers])
    axes.set_xlabel("accuracy on set")
    if steps <= MOST_NUMBERS:
        for step, row in enumerate(matrix):
            for place, value in enumerate(row):
                dark = value.mean < (min(lowest, 99.0) + 100.0) / 2
                colour = "white" if dark else "black"
                axes.text(place, step, f"{value.mean:.1f}", ha="center", va="center", color=colour, fontsize=10)
    return image
