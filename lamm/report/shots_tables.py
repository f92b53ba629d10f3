"""The headline tables: a row a method, a column a number of shots; one of the mean over data sets, one a data set."""

from collections.abc import Iterable, Sequence

from lamm.report.material import Material
from lamm.report.means import Mean
from lamm.report.table_view import Cell, Table, name_cell, nothing_cell, statistic_cell
from lamm.results.few_shot_curve import ALL_SHOTS, Curve, ascending


def shots_text(shots: int) -> str:
    """A number of shots as a heading."""
    return "all" if shots == ALL_SHOTS else str(shots)


def shots_tables(material: Material) -> dict[str, Table]:
    """The table of each data set, by its name."""
    return {
        dataset: _table(material, "Accuracy in percent by number of shots", members, _shots(members))
        for dataset, members in material.curves.items()
    }


def average_tables(material: Material, averages: Iterable[Mean]) -> list[Table]:
    """The table of each mean over data sets; one of which no method is a part is left out."""
    return [_average_table(material, mean) for mean in averages if mean.curves]


def _average_table(material: Material, mean: Mean) -> Table:
    backbone = f", {mean.backbone}" if mean.backbone else ""
    caption = f"Mean of {len(mean.datasets)} data sets{backbone}: accuracy in percent by number of shots"
    notes = [f"Mean of {', '.join(mean.datasets)}. A cell is empty where a data set has no finished run yet."]
    if mean.lacking:
        notes.append(f"Without a mean, since no number of shots is finished on all: {', '.join(mean.lacking)}.")
    zero_shot_first = sorted(mean.curves, key=lambda curve: not curve.zero_shot)
    return _table(material, caption, zero_shot_first, ascending(mean.shots - {0}) or [0], notes)


def _shots(members: Iterable[Curve]) -> list[int]:
    return ascending({number for curve in members for number in curve.points if not curve.zero_shot}) or [0]


def _table(
    material: Material, caption: str, members: Sequence[Curve], shots: Sequence[int], notes: Sequence[str] = ()
) -> Table:
    rows = [[name_cell(curve.label), *(_cell(material, curve, number) for number in shots)] for curve in members]
    headings = ["method", *map(shots_text, shots)]
    return Table(caption, headings, _with_best(rows), notes)


def _cell(material: Material, curve: Curve, shots: int) -> Cell:
    place = 0 if curve.zero_shot else shots
    if place not in curve.points:
        return nothing_cell("no finished runs yet")
    runs = curve.runs[place]
    return statistic_cell(curve.points[place], material.sources(runs), material.detail(runs))


def _with_best(rows: list[list[Cell]]) -> list[list[Cell]]:
    """The rows, the highest number of each column marked, if there is another."""
    for column in range(1, len(rows[0])):
        values = [row[column].value for row in rows]
        known = [value for value in values if value is not None]
        for row, value in zip(rows, values, strict=True):
            if len(known) > 1 and value is not None and value == max(known):
                cell = row[column]
                row[column] = Cell(cell.text, cell.value, cell.sources, cell.detail, "best")
    return rows
