"""matplotlib figures as SVG inside a page: text stays text, and no two figures share an id."""

import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamm.report.material import Material
from lamm.report.paper import reason_not_comparable, row_of_line
from lamm.report.tables import Mean
from lamm.results.curves import Curve
from lamm.results.figure import draw
from lamm.results.published import published
from lamm.results.run_files import ClassFeatures
from lamm.results.table import Statistic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
_SETTINGS: dict[str, Any] = {"svg.fonttype": "none", "text.parse_math": False, "svg.hashsalt": "lamm", "font.size": 11}


@contextmanager
def page_style() -> Iterator[None]:
    """matplotlib's settings for figures of the page; no `$` in a name is taken for a formula."""
    import matplotlib

    settings: Any = _SETTINGS
    with matplotlib.rc_context(settings):
        yield


def figure_svg(figure: "Figure", prefix: str, label: str, tooltips: Mapping[str, str] | None = None) -> str:
    """A figure as an `<svg>` element.

    Args:
        figure: Drawn within `page_style`.
        prefix: Of all its ids; unique in the page.
        label: What it shows, for those who can't see it.
        tooltips: By the gid of an artist, what its tooltip says.
    """
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return inline(text.getvalue(), prefix, label, tooltips)


def inline(svg: str, prefix: str, label: str, tooltips: Mapping[str, str] | None = None) -> str:
    """The text of an SVG file as an `<svg>` element that takes the width it is given; see `figure_svg`."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    for gid, said in (tooltips or {}).items():
        svg = svg.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(said)}</title>', 1)
    svg = re.sub(r"<[^>]*>", lambda tag: _of_this_drawing(tag.group(), prefix), svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version|xmlns:xlink|xmlns)="[^"]*"', "", opening)
    opening = opening.replace("xlink:", "")
    return f'{opening} role="img" aria-label="{escape(label)}">{rest}'


def _of_this_drawing(tag: str, prefix: str) -> str:
    """A tag with ids, and what refers to them, of its own; text between tags may look like either."""
    tag = re.sub(r'(?<=\s)(?:d|x|y|transform)="[^"]*"', _rounded, tag)
    tag = re.sub(r'(?<=\s)id="([^"]+)"', rf'id="{prefix}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", tag)
    tag = re.sub(r'\bhref="#([^"]+)"', rf'href="#{prefix}-\1"', tag.replace(" xlink:href=", " href="))
    return re.sub(r"'DejaVu Sans'(?:, '[^']+')*, sans-serif", FONTS, tag)


def _rounded(attribute: re.Match[str]) -> str:
    """An attribute of places, with hundredths of a point and on one line."""
    return re.sub(r"(\.\d\d)\d+", r"\1", " ".join(attribute.group().split()))


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


MOST_LINES = 10
WIDTH, WIDTH_OF_LONG_NAMES = 4.9, 5.6
LONG_NAME, LONGEST_NAME = 16, 28
"""Inches; characters: narrow enough to be read on a phone, wide enough for what stands beside the lines."""
TABLE = "few_shot"


@dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
        title: Its name.
        svg: The `<svg>` element.
        notes: Lines below it.
    """

    title: str
    svg: str
    notes: list[str]


def curve_drawings(material: Material, averages: Iterable[Mean]) -> list[Drawing]:
    """The means over data sets first, then each data set; a method has one colour in all."""
    given: list[tuple[str, Sequence[Curve], list[Curve], list[str]]] = [
        (f"mean of {mean.name}", mean.curves, *_dotted(material, mean)) for mean in averages if mean.curves
    ]
    given += [(dataset, members, [], []) for dataset, members in material.curves.items()]
    chosen = [_most_telling(members) for _, members, _, _ in given]
    everything = list({curve.label: curve for members in chosen for curve in members}.values())
    remark = shared_remark([curve.label for curve in everything])
    names = fitting_names([curve.label for curve in everything], remark)
    colours_among = _named(everything, names)
    drawings = []
    for number, ((title, members, dotted, notes), shown) in enumerate(zip(given, chosen, strict=True)):
        svg = _svg(title, _named(shown, names), _named(dotted, names), colours_among)
        label = f"Accuracy over the number of shots, {title}; the numbers are in the table above"
        left_out = len(members) - len(shown)
        more = [f"{left_out} of {len(members)} methods are not drawn; they are in the table."] if left_out else []
        more += [f"All with {remark[2:-1]}."] if remark else []
        drawings.append(Drawing(title, inline(svg, f"curve{number}", label), [*notes, *more]))
    return drawings


def _svg(title: str, shown: Sequence[Curve], dotted: Sequence[Curve], colours_among: Sequence[Curve]) -> str:
    labels = {curve.label for curve in shown}
    published = {title: [curve for curve in dotted if curve.label in labels]}
    width = WIDTH if max(map(len, labels)) <= LONG_NAME else WIDTH_OF_LONG_NAMES
    with tempfile.TemporaryDirectory() as folder, page_style():
        file = Path(folder) / "curves.svg"
        draw({title: shown}, file, published=published, width=width, colours_among=colours_among)
        return file.read_text(encoding="utf-8")


def _named(curves: Sequence[Curve], names: Mapping[str, str]) -> list[Curve]:
    return [replace(curve, label=names[curve.label]) for curve in curves if curve.label in names]


def _dotted(material: Material, mean: Mean) -> tuple[list[Curve], list[str]]:
    """The paper's curves of the methods whose mean can be compared, and a line that says what is dotted."""
    table = published(TABLE)
    found, reasons = [], []
    for curve in mean.curves:
        row = row_of_line(table, curve)
        if row is None:
            continue
        runs = [run for members in curve.runs.values() for run in members]
        if reason := reason_not_comparable(material, table, row, runs, mean.datasets):
            reasons.append(reason)
            continue
        values = {
            int(column): value for column, value in zip(table.columns, row.values, strict=True) if value is not None
        }
        points = {0: values[min(values)]} if curve.zero_shot else values
        found.append(Curve(curve.trainer, curve.label, {shots: Statistic((value,)) for shots, value in points.items()}))
    if found:
        return found, [f"Dotted: {table.source}, {table.table}."]
    reason = reasons[0] if reasons else "none of these methods is in its table"
    return [], [f"The paper's curves ({table.source}, {table.table}) are not drawn: {reason}."]


def _most_telling(members: Sequence[Curve]) -> list[Curve]:
    """At most `MOST_LINES` curves: those without overrides in the name first."""
    plain_first = sorted(members, key=lambda curve: "=" in curve.label)
    kept = {curve.label for curve in plain_first[:MOST_LINES]}
    return [curve for curve in members if curve.label in kept]


def shared_remark(labels: Sequence[str]) -> str:
    """What stands in brackets at the end of all labels alike, such as ` (MAX_EPOCH=2)`; empty: nothing does."""
    remarks = {label[label.index(" (") :] if " (" in label and label.endswith(")") else "" for label in labels}
    return remarks.pop() if len(remarks) == 1 else ""


def fitting_names(labels: Sequence[str], remark: str = "") -> dict[str, str]:
    """Each label without the remark and short enough to stand beside its line; no two become the same."""
    names: dict[str, str] = {}
    for label in labels:
        name = short = shortened(label.removesuffix(remark), LONGEST_NAME)
        number = 2
        while name in names.values():
            name, number = f"{short} {number}", number + 1
        names[label] = name
    return names
