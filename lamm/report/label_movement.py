"""How far each label moved: text features of the classes before and after learning, in two dimensions.

Letters: N classes, E embedding size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lamm.report.inline_svg import figure_svg, page_style
from lamm.results.class_features import ClassFeatures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_ARROWS = 60
MOST_NAMES = 14
_OLD, _NEW = "#7F7F7F", "#0072B2"


@dataclass(frozen=True)
class LabelMovement:
    """The drawing of one run's labels.

    Attributes:
        svg: The `<svg>` element.
        classes: N.
        drawn: How many of them have an arrow: those that moved most.
        variance: Share of the variance that the two dimensions show, 0 to 1.
        farthest: Name and distance (1 − cos) of the classes that moved most, in descending order.
        mean: The mean distance over all classes.
    """

    svg: str
    classes: int
    drawn: int
    variance: float
    farthest: list[tuple[str, float]]
    mean: float


def label_movement(features: ClassFeatures, prefix: str) -> LabelMovement:
    """Draw an arrow from the original to the learned text feature of each class.

    Args:
        features: Of a run.
        prefix: Of the ids in the drawing; unique in the page.
    """
    original, learned, variance = project(features.original.numpy(), features.learned.numpy())
    moved = features.moved().numpy()
    order = [int(number) for number in np.argsort(-moved, kind="stable")]
    drawn = order[:MOST_ARROWS]
    names = features.class_names
    tooltips = {f"class{number}": f"{names[number]}: moved by {moved[number]:.3f}" for number in drawn}
    svg = _draw(original, learned, drawn, names, prefix, tooltips)
    farthest = [(names[number], float(moved[number])) for number in order[:5]]
    return LabelMovement(svg, len(names), len(drawn), variance, farthest, float(moved.mean()))


def project(original: np.ndarray, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both, (N, E), on the first two principal components of all 2N together.

    Returns:
        original: (N, 2)
        learned: (N, 2)
        variance: the share of the variance that the two components have.
    """
    from sklearn.decomposition import PCA

    both = np.concatenate([original, learned])
    size = min(2, *both.shape)
    fitted = PCA(n_components=size, random_state=0, svd_solver="full")
    places = np.zeros((len(both), 2))
    centred = both - both.mean(axis=0)
    if not np.any(centred):
        return places[: len(original)], places[len(original) :], 1.0
    places[:, :size] = fitted.fit_transform(both)
    return places[: len(original)], places[len(original) :], float(fitted.explained_variance_ratio_.sum())


def _draw(
    original: np.ndarray,
    learned: np.ndarray,
    drawn: Sequence[int],
    names: Sequence[str],
    prefix: str,
    tooltips: dict[str, str],
) -> str:
    with page_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(4.7, 4.4), layout="constrained")
        axes = figure.subplots()
        for number in drawn:
            (x, y), (to_x, to_y) = original[number], learned[number]
            arrow = {"arrowstyle": "-|>", "color": _NEW, "lw": 1.0, "shrinkA": 2.5, "shrinkB": 0, "mutation_scale": 9}
            axes.annotate("", xy=(to_x, to_y), xytext=(x, y), arrowprops=arrow, zorder=2)
            axes.plot([x], [y], "o", color="white", markeredgecolor=_OLD, markersize=5, gid=f"class{number}")
        axes.update_datalim(np.concatenate([original[list(drawn)], learned[list(drawn)]]))
        axes.margins(0.2, 0.08)
        axes.autoscale_view()
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color("#CCCCCC")
        _write_names(figure, axes, original, learned, drawn, names)
        label = "Text features of the classes in two dimensions, arrows from CLIP's to the learned ones"
        return figure_svg(figure, prefix, label, tooltips)


def _write_names(
    figure: "Figure",
    axes: "Axes",
    original: np.ndarray,
    learned: np.ndarray,
    drawn: Sequence[int],
    names: Sequence[str],
) -> None:
    """Write the names of the classes that moved most at the arrows' ends, as many as there is room for."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    frame, written = axes.get_window_extent(), 0
    taken: list[Bbox] = []
    points = axes.transData.transform(np.concatenate([original[list(drawn)], learned[list(drawn)]]))
    for number in drawn:
        if written == MOST_NAMES:
            return
        side = 1 if learned[number][0] >= original[number][0] else -1
        for dx, dy, up in ((6 * side, 0, "center"), (5 * side, 5, "bottom"), (5 * side, -5, "top")):
            text = axes.annotate(
                shortened(names[number]),
                learned[number],
                xytext=(dx, dy),
                textcoords="offset points",
                ha="left" if side > 0 else "right",
                va=up,
                fontsize=9.5,
                color="#222222",
                zorder=5,
            )
            box = text.get_window_extent()
            inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
            free = not any(Bbox.intersection(box, other) for other in taken)
            if inside and free and not any(box.contains(*point) for point in points):
                taken.append(box)
                written += 1
                break
            text.remove()


def shortened(name: str, longest: int = 24) -> str:
    """A name that fits into a drawing."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
