"""Tables 3, 4 and 5 of the paper beside ours: rows are methods or variants, columns numbers of shots."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lamm.report.material import Material
from lamm.report.paper_cells import all_datasets, beside, incomplete_cell, incomplete_note, joined, over
from lamm.report.paper_rows import Line, line_of_row, reason_not_comparable
from lamm.report.table_view import Cell, Table, statistic_cell
from lamm.results.averages import mean_over
from lamm.results.few_shot_curve import Curve
from lamm.results.groups import Run
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
        problems: A line for each run that is not in the tables though it belongs there.
    """

    number: str
    title: str
    table: Table | None = None
    reason: str = ""
    command: str = ""
    further: Sequence[Table] = field(default=())
    error: str = ""
    problems: Sequence[str] = field(default=())


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
    command = _command(theirs, name, curves)
    if not lines:
        return PaperTable(theirs.table, theirs.title, command=command)
    datasets = all_datasets(theirs, [line.curves for line in lines.values()])
    rows: list[list[Cell]] = []
    reasons: list[str] = []
    for row in theirs.rows:
        columns = [_members(lines.get(row.label), name, datasets) for name in theirs.columns]
        why = [
            reason_not_comparable(material, theirs, row, _all_runs(found), datasets)
            if len(found) == len(datasets)
            else ""
            for found in columns
        ]
        reasons += filter(None, why)
        ours = [_cell(material, found, datasets) for found in columns] if any(columns) else None
        rows += beside(row.label, ours, row.values, why)
    caption = f"{theirs.title.split(',')[0]}: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(f"{column} shot{'' if column == '1' else 's'}" for column in theirs.columns)]
    incomplete = incomplete_note(rows)
    notes = [*_notes(theirs), *_configs(lines, theirs.rows), *incomplete]
    table = Table(caption, headings, rows, notes, grouped=True)
    full = len(lines) == len(theirs.rows) and not incomplete
    return PaperTable(theirs.table, theirs.title, table, joined(reasons), "" if full else command)


def _command(theirs: PublishedTable, name: str, curves: Mapping[str, object]) -> str:
    others = [dataset for dataset in curves if dataset not in theirs.trained_on]
    chosen = f" --datasets {' '.join(others)}" if others else ""
    return "\n".join(command.format(chosen) for command in COMMANDS[name])


def _paper_data_sets(theirs: PublishedTable, curves: Mapping[str, Sequence[Curve]]) -> dict[str, Sequence[Curve]]:
    """The curves on the paper's data sets, on any where there is none of those."""
    known = {dataset: members for dataset, members in curves.items() if dataset in theirs.trained_on}
    return known or dict(curves)


def _has_a_column(theirs: PublishedTable, line: Line) -> bool:
    columns = {int(column) for column in theirs.columns}
    return any(curve.zero_shot or columns & set(curve.points) for curve in line.curves.values())


def _members(line: Line | None, column: str, datasets: Sequence[str]) -> dict[str, list[Run]]:
    """The runs of a line in a column, by data set."""
    curves = {} if line is None else {name: line.curves[name] for name in datasets if name in line.curves}
    runs = {name: curve.runs.get(0 if curve.zero_shot else int(column), []) for name, curve in curves.items()}
    return {name: found for name, found in runs.items() if found}


def _all_runs(found: Mapping[str, Sequence[Run]]) -> list[Run]:
    return [run for runs in found.values() for run in runs]


def _cell(material: Material, found: Mapping[str, Sequence[Run]], datasets: Sequence[str]) -> Cell:
    runs = _all_runs(found)
    sources = material.sources(runs)
    if len(found) < len(datasets):
        return incomplete_cell(found, datasets, sources)
    return statistic_cell(mean_over(list(found.values())), sources, material.detail(runs), digits=2)


def _notes(theirs: PublishedTable) -> list[str]:
    return [f"Paper: {theirs.source}, {theirs.table}; {theirs.backbone}, {theirs.seeds} seeds.", *theirs.notes]


def _configs(lines: Mapping[str, Line], rows: Iterable[PublishedRow]) -> list[str]:
    named = [f"{row.label}: {lines[row.label].cfg}" for row in rows if row.label in lines]
    return [f"Our configs: {'; '.join(named)}."]
