"""Progress on a terminal: counts, what is running, and the accuracies so far, in place."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from tabulate import tabulate

from lamm.log import logger
from lamm.results.schema import RunResults
from lamm.sweep.estimate import GUESSED, Job, LeftToDo
from lamm.sweep.runs import PlannedRun
from lamm.sweep.schedule import Tally, duration

SHOWN_RUNNING = 8
BAR_WIDTH = 40


class LiveProgress:
    """A table that is redrawn as runs begin and end; a context.

    Args:
        tally: the counts, kept up to date here.
        known: method, data set and accuracy of every run of the grid, None where there is none yet; the table has a row
            a method and a column a data set.
        console: where to draw.
    """

    def __init__(
        self,
        tally: Tally,
        known: Iterable[tuple[str, str, float | None]],
        console: Console | None = None,
    ) -> None:
        self.tally = tally
        self._cells: dict[tuple[str, str], list[float]] = {}
        self._sizes: dict[tuple[str, str], int] = {}
        for method, dataset, accuracy in known:
            cell = (method, dataset)
            self._sizes[cell] = self._sizes.get(cell, 0) + 1
            if accuracy is not None:
                self._cells.setdefault(cell, []).append(accuracy)
        self._live = Live(self._view(), console=console, auto_refresh=False, vertical_overflow="crop")

    def started(self, job: Job) -> None:
        """See `Watcher`."""
        self.tally.start(job)

    def finished(self, job: Job, results: RunResults, seconds: float) -> None:
        """See `Watcher`."""
        self.tally.finish(job, seconds)
        self._cells.setdefault((job.method, job.dataset), []).append(results.metrics["accuracy"])

    def retried(self, job: Job, error: str) -> None:
        """See `Watcher`."""
        self.tally.stop(job)
        self._note(f"died, will be tried again: {job.folder}: {error}")

    def failed(self, job: Job, error: str) -> None:
        """See `Watcher`."""
        self.tally.fail(job)
        self._note(f"FAILED: {job.folder}: {error}")

    def tick(self) -> None:
        """See `Watcher`."""
        self._live.update(self._view(), refresh=True)

    def __enter__(self) -> "LiveProgress":
        self._live.start(refresh=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.tick()
        self._live.stop()

    def _note(self, text: str) -> None:
        """A line that stays, above the table."""
        self._live.console.print(Text(text), soft_wrap=True)

    def _view(self) -> Group:
        tally = self.tally
        bar = Table.grid(padding=(0, 1))
        share = ProgressBar(total=max(1, tally.total), completed=tally.done, width=BAR_WIDTH)
        bar.add_row(share, f"{tally.line()}, about {duration(tally.seconds_left())} left")
        return Group(bar, self._running(), Text("accuracy so far, mean over shots and seeds:"), self._accuracies())

    def _running(self) -> Table:
        now, table = time.monotonic(), Table.grid(padding=(0, 2))
        shown = list(self.tally.running.items())[:SHOWN_RUNNING]
        for job, began in shown:
            took = f"{duration(now - began)} of about {duration(job.seconds)}"
            table.add_row(Text(str(job.folder)), took)
        return table

    def _accuracies(self) -> Table:
        """Mean over the runs so far, and how many of how many these are."""
        table = Table()
        methods = list(dict.fromkeys(method for method, _ in self._sizes))
        datasets = list(dict.fromkeys(dataset for _, dataset in self._sizes))
        table.add_column("")
        for dataset in datasets:
            table.add_column(dataset, justify="right")
        for method in methods:
            table.add_row(method, *(self._text((method, dataset)) for dataset in datasets))
        return table

    def _text(self, cell: tuple[str, str]) -> Text:
        values, size = self._cells.get(cell, []), self._sizes.get(cell, 0)
        mean = f"{sum(values) / len(values):.1f}" if values else "-"
        return Text(f"{mean} ({len(values)}/{size})", style="" if len(values) < size else "bold")


class PlainProgress:
    """A line for each run that ends.

    Args:
        tally: the counts, kept up to date here.
    """

    def __init__(self, tally: Tally) -> None:
        self.tally = tally

    def started(self, job: Job) -> None:
        """See `Watcher`."""
        self.tally.start(job)

    def finished(self, job: Job, results: RunResults, seconds: float) -> None:
        """See `Watcher`."""
        self.tally.finish(job, seconds)
        self._say(job, f"{results.metrics['accuracy']:.1f}% in {duration(seconds)}")

    def retried(self, job: Job, error: str) -> None:
        """See `Watcher`."""
        self.tally.stop(job)
        self._say(job, f"died, will be tried again: {error}")

    def failed(self, job: Job, error: str) -> None:
        """See `Watcher`."""
        self.tally.fail(job)
        self._say(job, f"FAILED: {error}")

    def tick(self) -> None:
        """See `Watcher`."""

    def _say(self, job: Job, what: str) -> None:
        tally = self.tally
        left = duration(tally.seconds_left())
        logger.info("%d of %d: %s: %s; about %s left", tally.done, tally.total, job.folder, what, left)


Cell = tuple[str, str, str]
HEADERS = ("dataset", "trainer", "cfg", "shots", "seeds", "runs", "done", "a run", "memory", "time from")
GIB = 2**30


def overview(runs: Sequence[PlannedRun], left: LeftToDo, begun: int = 0) -> str:
    """The table, and a line for the whole.

    Args:
        runs: all of the grid.
        left: those without a result.
        begun: how many of these have begun.
    """
    members: dict[Cell, list[PlannedRun]] = {}
    for run in runs:
        members.setdefault((run.plan.dataset, run.method, run.plan.cfg_name), []).append(run)
    lines = [[*group, *_columns(some, left)] for group, some in members.items()]
    align = ["left"] * 3 + ["right"] * 6 + ["left"]
    table = tabulate(lines, headers=HEADERS, colalign=align, disable_numparse=True)
    return f"{table}\n\n{total(len(runs), left, begun)}"


def total(runs: int, left: LeftToDo, begun: int = 0) -> str:
    """What is to do, in one line.

    Args:
        runs: number of runs of the grid.
        left: those without a result.
        begun: how many of these have begun.
    """
    count, slots = len(left.jobs), left.slots
    of_these = f" ({begun} of them begun)" if begun else ""
    done = f"{runs} runs, {runs - count} done, {count} to do{of_these}"
    if not count:
        return done
    guessed = sum(basis == GUESSED for basis in left.bases)
    says = f"; the time of {guessed} is a guess" if guessed else ""
    each = "1 thread" if slots.threads == 1 else f"{slots.threads} threads"
    return f"{done}: about {duration(left.seconds)}, {slots.jobs} at once with {each} each{says}"


def _columns(runs: Sequence[PlannedRun], left: LeftToDo) -> list[str]:
    places = {run.folder for run in runs}
    ours = [(job, basis) for job, basis in zip(left.jobs, left.bases, strict=True) if Path(job.folder) in places]
    seconds = sorted(job.seconds for job, _ in ours)
    span = dict.fromkeys(duration(value) for value in (*seconds[:1], *seconds[-1:]))
    bases = Counter(basis for _, basis in ours)
    return [
        _numbers(run.point.shots for run in runs),
        _numbers(run.point.seed for run in runs),
        str(len(runs)),
        str(len(runs) - len(ours)),
        " – ".join(span),
        f"{max(job.memory for job, _ in ours) / GIB:.1f} GiB" if ours else "",
        ", ".join(basis for basis, _ in bases.most_common()),
    ]


def _numbers(values: Iterable[int]) -> str:
    return " ".join(map(str, sorted(set(values))))
