"""Reports as text: one table with a row for each data set, and the details of one."""

from collections.abc import Iterable, Iterator, Sequence

from tabulate import tabulate

from lamm.checking.findings import Report, State
from lamm.checking.split_content import in_words

MARKS = {True: "fault", False: "note"}
HEADERS = ("data set", "state", "classes", "train / val / test", "decoded", "faults", "notes")


def table(reports: Sequence[Report]) -> str:
    """One row for each report."""
    rows = [
        (
            report.name,
            report.state.value,
            f"{report.classes:,}" if report.classes else "",
            in_words(report.sizes) if report.sizes else "",
            f"{report.decoded:,}" if report.decoded else "",
            len(report.faults) or "",
            len(report.notes) or "",
        )
        for report in reports
    ]
    return tabulate(rows, HEADERS, colalign=("left", "left", "right", "right", "right", "right", "right"))


def details(report: Report) -> Iterator[str]:
    """Everything that a report says, in lines."""
    yield f"{report.title} ({report.name}) in {report.place}: {report.state.value}"
    if report.sizes:
        yield f"  {_compared('train / val / test', in_words(report.sizes), _sizes(report))}"
    if report.classes:
        expected = f"{report.expected_classes:,}" if report.expected_classes else ""
        yield f"  {_compared('classes', f'{report.classes:,}', expected)}"
    if report.decoded:
        yield f"  images decoded: {report.decoded:,}"
    for finding in [*report.faults, *report.notes]:
        yield f"  {MARKS[finding.is_fault]}: {finding.text}"
    if report.to_get:
        yield from ("", *(f"  {line}" for line in report.to_get))


def worst(reports: Iterable[Report]) -> bool:
    """Whether some data set is not whole."""
    return any(report.state is not State.WHOLE for report in reports)


def _sizes(report: Report) -> str:
    return in_words(report.expected_sizes) if report.expected_sizes else ""


def _compared(what: str, found: str, expected: str) -> str:
    if not expected:
        return f"{what}: {found}"
    return f"{what}: {found}, as expected" if found == expected else f"{what}: {found}; expected: {expected}"
