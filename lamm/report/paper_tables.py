"""Tables 3, 4 and 5 of the paper beside ours: rows are methods or variants, columns numbers of shots."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lamm.report.material import Material
from lamm.report.paper_rows import Line, line_of_row, reason_not_comparable
from lamm.report.table_view import Cell, Table, amount, difference_cell, name_cell, nothing_cell, statistic_cell
from lamm.results.averages import average_curve
from lamm.results.few_shot_curve import Curve
from lamm.results.published import PublishedRow, PublishedTable, published


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables.

    Attributes:
        number: What the paper calls it.
        title: What it is of.
        table: Ours and theirs; None when there is nothing of ours.
        reason: Why differences are missing; empty when none is.
        command: What fills the table, or its empty rows; empty when it is full.
        further: Tables of the same experiment that the paper doesn't have.
        error: Why it couldn't be made; usually empty.
    """

    number: str
    title: str
    table: Table | None = None
    reason: str = ""
    command: str = ""
    further: Sequence[Table] = field(default=())
    error: str = ""


COMMANDS = {
    "few_shot": (
        "python tools/sweep.py paper{}",
        "python tools/sweep.py paper_hierarchical_loss{}",
    ),
    "loss_parts": ("python tools/sweep.py paper_loss_parts{}",),
    "label_init": ("python tools/sweep.py paper_label_init{}",),
}
"""By table, what fills it; in the place of {} stand the data sets, where the paper's are not there."""


def few_shot_paper_table(material: Material, name: str) -> PaperTable:
    """A published table whose columns are shots, with our rows beside its own.

    Args:
        material: The runs.
        name: `few_shot`, `loss_parts` or `label_init`.
    """
    theirs = published(name)
    curves = _paper_data_sets(theirs, material.curves)
    lines = {row.label: line for row in theirs.rows if (line := line_of_row(theirs, row, curves))}
    lines = {label: line for label, line in lines.items() if _has_a_column(theirs, line)}
    command = _command(theirs, name, curves) if len(lines) < len(theirs.rows) else ""
    if not lines:
        return PaperTable(theirs.table, theirs.title, command=command)
    datasets = shared_datasets([line.curves for line in lines.values()])
    rows: list[list[Cell]] = []
    reasons: list[str] = []
    for row in theirs.rows:
        line = lines.get(row.label)
        curve = _mean(line, datasets) if line else None
        by_column = [
            curve.runs.get(0 if curve.zero_shot else int(name), []) if curve else [] for name in theirs.columns
        ]
        why = [reason_not_comparable(material, theirs, row, runs, datasets) if runs else "" for runs in by_column]
        reasons += filter(None, why)
        ours = [_cell(material, curve, column) for column in theirs.columns] if any(by_column) else None
        rows += beside(row.label, ours, row.values, why)
    caption = f"{theirs.title.split(',')[0]}: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(f"{column} shot{'' if column == '1' else 's'}" for column in theirs.columns)]
    notes = [*_notes(theirs), *_configs(lines, theirs.rows)]
    return PaperTable(
        theirs.table, theirs.title, Table(caption, headings, rows, notes, grouped=True), joined(reasons), command
    )


def beside(
    label: str, ours: Sequence[Cell] | None, theirs: Sequence[float | None], reasons: Sequence[str]
) -> list[list[Cell]]:
    """The lines of one row: ours, the paper's, and their difference where it means something.

    Args:
        label: Of the row.
        ours: A cell a column; None: we have none.
        theirs: A number a column.
        reasons: Of each column, why the two can't be compared; empty when they can.
    """
    paper = [nothing_cell("not reported") if value is None else Cell(amount(value, 2), value) for value in theirs]
    lines = [] if ours is None else [[name_cell(label), name_cell("ours"), *ours]]
    lines.append([name_cell("" if lines else label), name_cell("paper"), *paper])
    if ours is not None:
        differences = [_difference(*column) for column in zip(ours, theirs, reasons, strict=True)]
        if any(cell.value is not None for cell in differences):
            lines.append([name_cell(""), name_cell("difference"), *differences])
    return lines


def over(datasets: Sequence[str]) -> str:
    """What a number is the mean over, in words."""
    if len(datasets) == 1:
        return datasets[0]
    return f"mean of {', '.join(datasets) if len(datasets) <= 3 else f'{len(datasets)} data sets'}"


def joined(reasons: Iterable[str]) -> str:
    """The reasons, each once."""
    return "; ".join(dict.fromkeys(reasons))


def shared_datasets(members: Sequence[Mapping[str, object]]) -> list[str]:
    """The data sets that all members have; those that any has where they share none."""
    shared = [name for name in members[0] if all(name in other for other in members)]
    return shared or list(dict.fromkeys(name for other in members for name in other))


def _command(theirs: PublishedTable, name: str, curves: Mapping[str, object]) -> str:
    others = [dataset for dataset in curves if dataset not in theirs.trained_on]
    chosen = f" --datasets {' '.join(others)}" if others else ""
    return "\n".join(command.format(chosen) for command in COMMANDS[name])


def _difference(cell: Cell, value: float | None, reason: str) -> Cell:
    if cell.value is None or value is None or reason:
        return nothing_cell(reason)
    return difference_cell(cell.value, value, f"{cell.value:.2f} − {value:.2f}")


def _paper_data_sets(theirs: PublishedTable, curves: Mapping[str, Sequence[Curve]]) -> dict[str, Sequence[Curve]]:
    """The curves on the paper's data sets, on any where there is none of those."""
    known = {dataset: members for dataset, members in curves.items() if dataset in theirs.trained_on}
    return known or dict(curves)


def _has_a_column(theirs: PublishedTable, line: Line) -> bool:
    columns = {int(column) for column in theirs.columns}
    return any(curve.zero_shot or columns & set(curve.points) for curve in line.curves.values())


def _mean(line: Line, datasets: Sequence[str]) -> Curve | None:
    members = [line.curves[dataset] for dataset in datasets if dataset in line.curves]
    return average_curve(members) if len(members) == len(datasets) else None


def _cell(material: Material, curve: Curve | None, column: str) -> Cell:
    shots = 0 if curve is not None and curve.zero_shot else int(column)
    if curve is None or shots not in curve.points:
        return nothing_cell("not finished on all data sets")
    runs = curve.runs[shots]
    return statistic_cell(curve.points[shots], material.sources(runs), material.detail(runs), digits=2)


def _notes(theirs: PublishedTable) -> list[str]:
    return [f"Paper: {theirs.source}, {theirs.table}; {theirs.backbone}, {theirs.seeds} seeds.", *theirs.notes]


def _configs(lines: Mapping[str, Line], rows: Iterable[PublishedRow]) -> list[str]:
    named = [f"{row.label}: {lines[row.label].cfg}" for row in rows if row.label in lines]
    return [f"Our configs: {'; '.join(named)}."]
