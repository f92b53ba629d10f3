"""Class-incremental results: matrices of steps and sets, an overview with a line per method, and a picture."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lamm.incremental.results import IncrementalResult, Matrix
from lamm.results.figure import picture
from lamm.results.table import Statistic, csv_text, escaped, tabulated

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NUMBERS = 12
"""Steps up to which each field of the picture has its number written in it."""

AVERAGE, ALL_IMAGES = "average", "all images"


def render_matrices(results: Sequence[IncrementalResult], layout: str = "plain", ci95: bool = False) -> str:
    """The accuracy matrix of each result, without a line break at the end.

    Lines `own` are (a), a set's accuracy among its own classes, and how far it falls up to the last step; lines
    `all seen` are (b), its accuracy among all classes seen so far. The average is over the sets of the line; that of
    the fall leaves the last set out, after which nothing is learned. `all images` is (b) over the images of all sets:
    its mean over the steps and its last number are the field's average and last accuracy.

    Args:
        results: At least one.
        layout: One of `lamm.results.table.FORMATS`; "csv" and "json" hold unrounded numbers.
        ci95: Show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    if layout == "json":
        return json.dumps([as_json(result, spread) for result in results], indent=2, ensure_ascii=False)
    if layout == "csv":
        return _csv(results, spread)
    texts = []
    for result in results:
        columns = [*range(1, result.steps + 1), AVERAGE, *[ALL_IMAGES] * bool(result.stage)]
        lines = [
            {"classes": classes, "after": after}
            | {f"set {name}" if isinstance(name, int) else name: _cell(numbers.get(name), spread) for name in columns}
            for classes, after, numbers in _lines(result)
        ]
        texts.append(f"{escaped(result.title, layout)}\n\n{tabulated(lines, layout, left=('classes', 'after'))}")
    return "\n\n".join(texts)


def render_overview(results: Sequence[IncrementalResult], layout: str = "plain", ci95: bool = False) -> str:
    """A line per method: its averages over all sets after the last step, its average fall, and what the field reports.

    `average accuracy` is the mean over the steps of the accuracy over all images among all classes seen so far;
    `last accuracy` is that after the last step. A `-` stands for runs that don't tell the number of images.

    Args:
        results: At least one.
        layout: One of `lamm.results.table.TABULATE_FORMATS`.
        ci95: Show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    lines = [
        {
            **{name: str(value) for name, value in _about(result).items()},
            "own classes": result.own_average[-1].text(spread),
            "fall": result.average_fall.text(spread),
            "all seen classes": result.seen_average[-1].text(spread),
            "average accuracy": _cell(result.average_accuracy, spread) or "-",
            "last accuracy": _cell(result.last_accuracy, spread) or "-",
        }
        for result in results
    ]
    return tabulated(lines, layout, left=("dataset", "shots", "trainer", "cfg"))


def as_json(result: IncrementalResult, spread: str = "std") -> dict[str, Any]:
    """A result as plain objects: each number with mean, spread and the values of the seeds."""
    names = ("dataset", "shots", "trainer", "cfg", "seen_as_negatives", "steps", "seeds", "unfinished")

    def plain(value: Statistic | list[Any] | None) -> Any:
        return [plain(one) for one in value] if isinstance(value, list) else value and value.as_json(spread)

    numbers = ["own", "own_average", "seen", "seen_average", "fall", "average_fall"]
    numbers += ["stage", "average_accuracy", "last_accuracy"]
    return {
        **{name: getattr(result, name) for name in names},
        **{name: plain(getattr(result, name)) for name in numbers},
        "files": [str(file) for file in result.files],
    }


def _about(result: IncrementalResult) -> dict[str, Any]:
    names = {name: getattr(result, name) for name in ("dataset", "shots", "trainer", "cfg")}
    return {**names, "seeds": " ".join(map(str, result.seeds))}


def _cell(value: Statistic | None, spread: str) -> str:
    return value.text(spread) if value is not None else ""


def _lines(result: IncrementalResult) -> Iterator[tuple[str, str, Mapping[int | str, Statistic]]]:
    """The lines of a matrix: which classes, after which step, and the number of each set and of sets together."""
    for step, row in enumerate(result.own):
        yield "own", f"step {step + 1}", {**dict(enumerate(row, start=1)), AVERAGE: result.own_average[step]}
    yield "own", "fall", {**dict(enumerate(result.fall, start=1)), AVERAGE: result.average_fall}
    for step, row in enumerate(result.seen):
        numbers: dict[int | str, Statistic] = {**dict(enumerate(row, start=1)), AVERAGE: result.seen_average[step]}
        if result.stage:
            numbers[ALL_IMAGES] = result.stage[step]
        yield "all seen", f"step {step + 1}", numbers
    if result.average_accuracy is not None:
        yield "all seen", "mean over steps", {ALL_IMAGES: result.average_accuracy}


def _csv(results: Sequence[IncrementalResult], spread: str) -> str:
    """A line for each line of each matrix and set."""
    return csv_text(
        {
            **_about(result),
            **{"classes": classes, "after": after, "set": name, "mean": value.mean, spread: getattr(value, spread)},
        }
        for result in results
        for classes, after, numbers in _lines(result)
        for name, value in numbers.items()
    )


def draw_incremental(result: IncrementalResult, file: str | os.PathLike[str]) -> None:
    """Draw the two matrices of a result side by side into `file`.

    Args:
        result: What to draw.
        file: A PNG, SVG or PDF file, as its suffix says.

    Raises:
        ResultsError: The suffix is another one, or matplotlib is not installed.
    """
    side = 1.6 + 0.75 * min(max(result.steps, 3), MOST_NUMBERS)
    with picture(file, (2 * side + 1.2, side + 0.6)) as figure:
        panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
        lowest = min(value.mean for matrix in (result.own, result.seen) for row in matrix for value in row)
        titles = ("among its own classes", "among all classes seen")
        for axes, matrix, title in zip(panels, (result.own, result.seen), titles, strict=True):
            image = _draw_matrix(axes, matrix, lowest)
            axes.set_title(title)
        panels[0].set_ylabel("after step")
        figure.colorbar(image, ax=panels, label="accuracy (%)")
        figure.suptitle(result.title, fontweight="bold", fontsize=10)


def _draw_matrix(axes: "Axes", matrix: Matrix, lowest: float) -> Any:
    """One panel; what a step has not learned yet stays white. Returns what the colour bar is made of."""
    steps, bottom = len(matrix), min(lowest, 99.0)
    heights = [[value.mean for value in row] + [float("nan")] * (steps - len(row)) for row in matrix]
    image = axes.imshow(heights, cmap="cividis", vmin=bottom, vmax=100.0)
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(range(steps), [str(number + 1) for number in range(steps)])
    axes.set_xlabel("accuracy on set")
    if steps <= MOST_NUMBERS:
        for step, row in enumerate(matrix):
            for place, value in enumerate(row):
                colour = "white" if value.mean < (bottom + 100.0) / 2 else "black"
                axes.text(place, step, f"{value.mean:.1f}", ha="center", va="center", color=colour, fontsize=10)
    return image
