"""The lines of a row with the paper's numbers beside ours: ours, theirs, the difference; and what is not whole yet."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from lamm.report.table_view import Cell, amount, difference_cell, name_cell, nothing_cell
from lamm.results.published import PublishedTable

INCOMPLETE = "incomplete"


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


def all_datasets(theirs: PublishedTable, members: Iterable[Mapping[str, object]]) -> list[str]:
    """The data sets that any member has, in the paper's order: what a whole row is the mean over."""
    found = dict.fromkeys(name for member in members for name in member)
    papers = [name for name in theirs.trained_on if name in found]
    return [*papers, *(name for name in found if name not in papers)]


def incomplete_cell(found: Collection[str], datasets: Sequence[str], sources: Sequence[str] = ()) -> Cell:
    """A cell in the place of a mean that lacks data sets: how many are there."""
    if not found:
        return nothing_cell("no finished runs")
    lacking = ", ".join(name for name in datasets if name not in found)
    return Cell(f"{len(found)} of {len(datasets)}", None, tuple(sources), f"not finished on {lacking}", INCOMPLETE)


def incomplete_note(rows: Iterable[Iterable[Cell]]) -> list[str]:
    """What `incomplete_cell` means, where there is one."""
    if not any(cell.kind == INCOMPLETE for row in rows for cell in row):
        return []
    return ["“k of n”: finished on k of n data sets; the mean is shown once it is on all."]


def _difference(cell: Cell, value: float | None, reason: str) -> Cell:
    if cell.value is None or value is None or reason:
        return nothing_cell(reason)
    return difference_cell(cell.value, value, f"{cell.value:.2f} − {value:.2f}")
