"""The picture of a class-incremental result: heat maps of steps and sets, among own and among all seen classes."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamm.errors import ResultsError
from lamm.files import atomic_path
from lamm.results.incremental import IncrementalResult, Matrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
