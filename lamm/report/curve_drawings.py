"""Few-shot curves of the report: a drawing a data set and one of the mean, where it may be the paper's curve dotted."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lamm.report.inline_svg import inline, page_style
from lamm.report.label_movement import shortened
from lamm.report.material import Material
from lamm.report.means import Mean
from lamm.report.paper_rows import reason_not_comparable, row_of_line
from lamm.results.few_shot_curve import Curve
from lamm.results.few_shot_figure import draw
from lamm.results.published import published
from lamm.results.statistic import Statistic

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
