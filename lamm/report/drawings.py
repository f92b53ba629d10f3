"""The page's drawings, by matplotlib as SVG: few-shot curves, and how far each class's label moved."""

import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lamm.escaping import printable
from lamm.report.material import Material
from lamm.report.paper import reason_not_comparable, row_of_curve
from lamm.report.tables import Mean
from lamm.results.figure import draw, drawing_settings
from lamm.results.published import published
from lamm.results.run_files import ClassFeatures
from lamm.results.table import Statistic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONTS = "'DejaVu Sans', Verdana, Arial, sans-serif"
MOST_LINES = 10
WIDTH, WIDTH_OF_LONG_NAMES = 4.9, 5.6
"""Inches: narrow enough to be read on a phone, wide enough for the names beside the lines."""
LONG_NAME, LONGEST_NAME = 16, 28
MOST_ARROWS = 60
MOST_NAMES = 14
OLD, NEW = "#7F7F7F", "#0072B2"


def page_style() -> AbstractContextManager[None]:
    """matplotlib's settings for figures of the page: text stays text, for which the reader's browser has a font."""
    return drawing_settings({"svg.fonttype": "none"})


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


def curve_drawings(material: Material, averages: Sequence[Mean]) -> list[Drawing]:
    """The means over data sets first, then each data set; a method has one colour in all."""
    figures = [(f"mean of {one.name}", one.points, *_reported(material, one)) for one in averages if len(one.points)]
    figures += [(str(name), some, None, []) for name, some in material.curves.groupby("dataset", sort=False)]
    if not figures:
        return []
    shown = [_most_telling(points) for _, points, _, _ in figures]
    everything = pd.concat(shown).drop_duplicates("label")
    remark = shared_remark(list(everything.label))
    names = fitting_names(list(everything.label), remark)
    drawings = []
    for number, ((title, points, reported, notes), some) in enumerate(zip(figures, shown, strict=True)):
        width = WIDTH if some.label.str.len().max() <= LONG_NAME else WIDTH_OF_LONG_NAMES
        if reported is not None:
            reported = reported[reported.label.isin(some.label)]
        named = [
            curves if curves is None else curves.assign(label=curves.label.map(names), dataset=title)
            for curves in (some, reported, everything)
        ]
        with tempfile.TemporaryDirectory() as folder, page_style():
            file = Path(folder) / "curves.svg"
            draw(named[0], file, published=named[1], width=width, colours_among=named[2])
            svg = file.read_text(encoding="utf-8")
        methods, drawn = points.label.nunique(), some.label.nunique()
        if drawn < methods:
            notes = [*notes, f"{methods - drawn} of {methods} methods are not drawn; they are in the table."]
        if remark:
            notes = [*notes, f"All with {remark[2:-1]}."]
        label = f"Accuracy over the number of shots, {title}; the numbers are in the table above"
        drawings.append(Drawing(title, inline(svg, f"curve{number}", label), notes))
    return drawings


def _reported(material: Material, mean: Mean) -> tuple[pd.DataFrame | None, list[str]]:
    """The paper's curves of the methods whose mean can be compared, and a line that says what is dotted."""
    table = published("few_shot")
    rows, reasons = [], []
    for label, curve in mean.points.groupby("label", sort=False):
        row = row_of_curve(table, curve)
        if row is None:
            continue
        runs = material.runs.loc[curve.runs.sum()]
        if reason := reason_not_comparable(table, row, runs, mean.datasets):
            reasons.append(reason)
            continue
        values = {
            int(column): value for column, value in zip(table.columns, row.values, strict=True) if value is not None
        }
        if (curve.shots == 0).all():
            values = {0: values[min(values)]}
        rows += [(row.trainer, label, shots, Statistic((value,))) for shots, value in values.items()]
    if rows:
        frame = pd.DataFrame(rows, columns=["trainer", "label", "shots", "value"])
        return frame, [f"Dotted: {table.source}, {table.table}."]
    reason = reasons[0] if reasons else "none of these methods is in its table"
    return None, [f"The paper's curves ({table.source}, {table.table}) are not drawn: {reason}."]


def _most_telling(points: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST_LINES` curves: those without overrides in the name first."""
    plain_first = sorted(points.label.unique(), key=lambda label: "=" in label)
    return points[points.label.isin(plain_first[:MOST_LINES])]


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


def shortened(name: str, longest: int = 24) -> str:
    """A name that fits into a drawing."""
    name = printable(name)
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def label_movement(features: ClassFeatures, prefix: str) -> dict[str, Any]:
    """Draw an arrow from the original to the learned text feature of each class.

    Args:
        features: Of a run.
        prefix: Of the ids in the drawing; unique in the page.

    Returns:
        `svg`, the `<svg>` element; `classes`, N; `drawn`, how many have an arrow: those that moved most; `variance`,
        the share that the two dimensions show, 0 to 1; `mean`, the mean distance (1 − cos) over all classes; and
        `farthest`, name and distance of the classes that moved most, in descending order.
    """
    from matplotlib.figure import Figure

    starts, ends, variance = project(features.original.numpy(), features.learned.numpy())
    moved = features.moved().numpy()
    order = np.argsort(-moved, kind="stable")
    drawn, names = order[:MOST_ARROWS], features.class_names
    with page_style(), tempfile.TemporaryDirectory() as folder:
        figure = Figure(figsize=(4.7, 4.4), layout="constrained")
        axes = figure.subplots()
        for number in drawn:
            arrow = {"arrowstyle": "-|>", "color": NEW, "lw": 1.0, "shrinkA": 2.5, "shrinkB": 0, "mutation_scale": 9}
            axes.annotate("", xy=ends[number], xytext=starts[number], arrowprops=arrow, zorder=2)
            axes.plot(*starts[number], "o", color="white", markeredgecolor=OLD, markersize=5, gid=f"class{number}")
        axes.update_datalim(np.concatenate([starts[drawn], ends[drawn]]))
        axes.margins(0.2, 0.08)
        axes.autoscale_view()
        axes.set_xticks([])
        axes.set_yticks([])
        for side in axes.spines.values():
            side.set_color("#CCCCCC")
        _write_names(figure, axes, starts[drawn], ends[drawn], [shortened(names[number]) for number in drawn])
        file = Path(folder) / "labels.svg"
        figure.savefig(file, metadata={"Date": None})
        svg = file.read_text(encoding="utf-8")
    tooltips = {f"class{number}": f"{names[number]}: moved by {moved[number]:.3f}" for number in drawn}
    label = "Text features of the classes in two dimensions, arrows from CLIP's to the learned ones"
    farthest = [(names[number], float(moved[number])) for number in order[:5]]
    return {
        **{"svg": inline(svg, prefix, label, tooltips), "classes": len(names), "drawn": len(drawn)},
        **{"variance": variance, "farthest": farthest, "mean": float(moved.mean())},
    }


def project(original: np.ndarray, learned: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both, (N, E), on the first two principal components of all 2N together.

    Returns:
        original: (N, 2)
        learned: (N, 2)
        variance: The share of the variance that the two components have.
    """
    from sklearn.decomposition import PCA

    both = np.concatenate([original, learned])  # (2N, E)
    places, variance = np.zeros((len(both), 2)), 1.0
    if np.any(both - both.mean(axis=0)):
        size = min(2, *both.shape)
        components = PCA(n_components=size, random_state=0, svd_solver="full")
        places[:, :size] = components.fit_transform(both)
        variance = float(components.explained_variance_ratio_.sum())
    return places[: len(original)], places[len(original) :], variance


def _write_names(figure: "Figure", axes: "Axes", starts: np.ndarray, ends: np.ndarray, names: Sequence[str]) -> None:
    """Write names at the arrows' ends, as many as there is room for, the first ones first."""
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    frame, taken = axes.get_window_extent(), list[Bbox]()
    points = axes.transData.transform(np.concatenate([starts, ends]))
    for start, end, name in zip(starts, ends, names, strict=True):
        if len(taken) == MOST_NAMES:
            return
        side = 1 if end[0] >= start[0] else -1
        for dx, dy, up in ((6 * side, 0, "center"), (5 * side, 5, "bottom"), (5 * side, -5, "top")):
            text = axes.annotate(
                name,
                end,
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
                break
            text.remove()


def inline(svg: str, prefix: str, label: str, tooltips: Mapping[str, str] | None = None) -> str:
    """The text of an SVG file as an `<svg>` element that takes the width it is given.

    Args:
        svg: As matplotlib wrote it within `page_style`.
        prefix: Of all its ids; unique in the page.
        label: What it shows, for those who can't see it.
        tooltips: By the gid of an artist, what its tooltip says.
    """
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*|<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    for gid, text in (tooltips or {}).items():
        svg = svg.replace(f'<g id="{gid}">', f'<g id="{gid}"><title>{escape(text)}</title>', 1)
    svg = re.sub(r"<[^>]*>", lambda tag: _tag_of_page(tag.group(), prefix), svg)
    opening, rest = svg.split(">", 1)
    opening = re.sub(r'\s(?:width|height|version|xmlns:xlink|xmlns)="[^"]*"', "", opening)
    return f'{opening.replace("xlink:", "")} role="img" aria-label="{escape(label)}">{rest}'


def _tag_of_page(tag: str, prefix: str) -> str:
    """A tag whose ids, and references to them, belong to this drawing; text between tags may look like either."""

    def rounded(attribute: re.Match[str]) -> str:
        # Hundredths of a point are enough, on one line.
        return re.sub(r"(\.\d\d)\d+", r"\1", " ".join(attribute.group().split()))

    tag = re.sub(r'(?<=\s)(?:d|x|y|transform)="[^"]*"', rounded, tag)
    tag = re.sub(r'(?<=\s)id="([^"]+)"', rf'id="{prefix}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", tag)
    tag = re.sub(r'\bhref="#([^"]+)"', rf'href="#{prefix}-\1"', tag.replace(" xlink:href=", " href="))
    return re.sub(r"'DejaVu Sans'(?:, '[^']+')*, sans-serif", FONTS, tag)
