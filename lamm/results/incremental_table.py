"""Class-incremental results as text: a matrix of steps and sets for each method, or a line a method."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from lamm.results.incremental import IncrementalResult
from lamm.results.statistic import Statistic
from lamm.results.table import TABULATE_FORMATS, latex_text

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
