"""What a check finds, and how it is shown: faults spoil results or stop a run; notes are only good to know."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from tabulate import tabulate

SHOWN_EXAMPLES = 3
LONGEST = 300
"""Letters of an example: names in hostile files can be of any length."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        text: what is wrong and where, in one line.
        is_fault: whether it is a fault; else it is a note.
    """

    text: str
    is_fault: bool = True


class State(Enum):
    """How much of a data set is there."""

    WHOLE = "whole"
    FAULTY = "faulty"
    PARTIAL = "partial"
    ABSENT = "absent"


@dataclass
class Report:
    """The result of checking one data set.

    Attributes:
        name: on the command line.
        title: as people call it.
        place: its folder or file.
        state: see `State`.
        sizes: images in train, val and test; None where no split could be read.
        expected_sizes: as published; None where nothing is.
        classes: number of classes; 0 where no split could be read.
        expected_classes: as published; 0 where nothing is.
        decoded: images that were decoded; 0 with `--quick`.
        findings: faults first.
        to_get: what is missing and where to get it, lines of text.
    """

    name: str
    title: str
    place: str
    state: State = State.ABSENT
    sizes: tuple[int, int, int] | None = None
    expected_sizes: tuple[int, int, int] | None = None
    classes: int = 0
    expected_classes: int = 0
    decoded: int = 0
    findings: list[Finding] = field(default_factory=list)
    to_get: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[Finding]:
        """The findings that are faults."""
        return [finding for finding in self.findings if finding.is_fault]

    @property
    def notes(self) -> list[Finding]:
        """The findings that are notes."""
        return [finding for finding in self.findings if not finding.is_fault]

    def add(self, findings: Iterable[Finding]) -> None:
        """Add findings."""
        self.findings += findings


def note(text: str) -> Finding:
    """A finding that is not a fault."""
    return Finding(text, is_fault=False)


def listed(what: str, examples: Sequence[str], is_fault: bool = True) -> Iterator[Finding]:
    """A finding about several things of a kind: `what`, their number, and the first few of them.

    Args:
        what: the things, in the plural.
        examples: all of them; nothing is found where there are none.
        is_fault: see `Finding`.
    """
    if examples:
        shown = "; ".join(f"{text[:LONGEST]}{'…' * (len(text) > LONGEST)}" for text in examples[:SHOWN_EXAMPLES])
        more = f"; and {len(examples) - SHOWN_EXAMPLES:,} more" if len(examples) > SHOWN_EXAMPLES else ""
        yield Finding(f"{what} ({len(examples):,}): {shown}{more}", is_fault)


HEADERS = ("data set", "state", "classes", "train / val / test", "decoded", "faults", "notes")


def table(reports: Sequence[Report]) -> str:
    """One row per report."""
    rows = [
        (
            report.name,
            report.state.value,
            _count(report.classes),
            in_words(report.sizes),
            _count(report.decoded),
            _count(len(report.faults)),
            _count(len(report.notes)),
        )
        for report in reports
    ]
    return tabulate(rows, HEADERS, colalign=("left", "left", "right", "right", "right", "right", "right"))


def details(report: Report) -> Iterator[str]:
    """The whole report, in lines."""
    yield f"{report.title} ({report.name}) in {report.place}: {report.state.value}"
    for what, actual, expected in (
        ("train / val / test", in_words(report.sizes), in_words(report.expected_sizes)),
        ("classes", _count(report.classes), _count(report.expected_classes)),
    ):
        if actual:
            comparison = ", as expected" if actual == expected else f"; expected: {expected}"
            yield f"  {what}: {actual}{comparison if expected else ''}"
    if report.decoded:
        yield f"  images decoded: {report.decoded:,}"
    for finding in [*report.faults, *report.notes]:
        yield f"  {'fault' if finding.is_fault else 'note'}: {finding.text}"
    if report.to_get:
        yield from ("", *(f"  {line}" for line in report.to_get))


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def in_words(sizes: tuple[int, int, int] | None) -> str:
    """ "4,128 / 1,649 / 2,465"; "" for None."""
    return " / ".join(f"{size:,}" for size in sizes or ())
