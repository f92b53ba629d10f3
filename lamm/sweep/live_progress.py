"""Progress on a terminal: counts, what is running, and the accuracies so far, in place."""

import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lamm.results.schema import RunResults
from lamm.sweep.job import Job
from lamm.sweep.tally import Tally, duration

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
