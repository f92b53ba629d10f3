"""What the page shows of a table: cells that know the runs that they come from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from lamm.results.statistic import Statistic

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown.
        value: What the column is sorted by; None: the text.
        sources: Anchors of the groups of runs that it comes from, in the list at the page's end.
        detail: The numbers behind it, for a tooltip.
        kind: How it looks: `name`, `number`, `best`, `gain`, `loss`, `incomplete` or `nothing`.
    """

    text: str
    value: float | None = None
    sources: tuple[str, ...] = ()
    detail: str = ""
    kind: str = "number"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        caption: What it is of.
        headings: One a column.
        rows: Their cells, as many as headings.
        notes: Lines below it.
        grouped: Whether several rows belong together, so that sorting would tear them apart.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    grouped: bool = False


def name_cell(text: str, detail: str = "") -> Cell:
    """The cell at the head of a row."""
    return Cell(text, detail=detail, kind="name")


def nothing_cell(reason: str = "") -> Cell:
    """A cell without a number, and why."""
    return Cell(NOTHING, detail=reason, kind="nothing")


def amount(value: float, digits: int, sign: bool = False) -> str:
    """A number as text; its minus is a minus, not a hyphen."""
    return format(value, f"{'+' if sign else ''}.{digits}f").replace("-", "−")


def statistic_cell(value: Statistic, sources: Sequence[str], detail: str = "", digits: int = 1) -> Cell:
    """Mean ± standard deviation, the mean alone where there is one number."""
    spread = f" ± {value.std:.{digits}f}" if len(value.values) > 1 else ""
    return Cell(amount(value.mean, digits) + spread, value.mean, tuple(sources), detail)


def difference_cell(ours: float, theirs: float, detail: str) -> Cell:
    """Ours minus the published one, with its sign."""
    difference = ours - theirs
    kind = "gain" if difference > 0 else "loss" if difference < 0 else "number"
    return Cell(amount(difference, 2, sign=True), difference, (), detail, kind)
