"""Progress on a terminal: counts, what is running, and the accuracies so far, in place. Needs rich."""

import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lamm.sweep.runs import SweepRun
from lamm.sweep.schedule import Progress, duration

SHOWN_RUNNING = 8
BAR_WIDTH = 40


class LiveProgress(Progress):
    """A table that is redrawn as runs begin and end, a row per method and a column per data set; a context.

    Args:
        runs: see `Progress`.
        at_once: see `Progress`.
        console: where to draw.
    """

    def __init__(self, runs: Sequence[SweepRun], at_once: int, console: Console | None = None) -> None:
        super().__init__(runs, at_once)
        self._cells: dict[tuple[str, str], list[SweepRun]] = {}
        for run in runs:
            self._cells.setdefault((run.method, run.dataset), []).append(run)
        self._live = Live(self._view(), console=console, auto_refresh=False, vertical_overflow="crop")

    def say(self, run: SweepRun, what: str) -> None:
        """A line that stays, above the table; of runs that finish, the table says enough."""
        if not run.finished:
            self._live.console.print(Text(f"{run.folder}: {what}"), soft_wrap=True)

    def tick(self) -> None:
        """Draw anew."""
        self._live.update(self._view(), refresh=True)

    def __enter__(self) -> "LiveProgress":
        self._live.start(refresh=True)
        return self

    def __exit__(self, *error: object) -> None:
        self.tick()
        self._live.stop()

    def _view(self) -> Group:
        head = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(1, self.total), completed=self.done, width=BAR_WIDTH)
        head.add_row(bar, f"{self.counts()}, {self.time_left()}")
        now, running = time.monotonic(), Table.grid(padding=(0, 2))
        for run, began in list(self.running.items())[:SHOWN_RUNNING]:
            expected = self.expected(run)
            of_about = "" if expected is None else f" of about {duration(expected)}"
            running.add_row(Text(run.folder), f"{duration(now - began)}{of_about}")
        return Group(head, running, Text("accuracy so far, mean over shots and seeds:"), self._accuracies())

    def _accuracies(self) -> Table:
        """Mean over the runs so far, and how many of how many these are."""
        methods, datasets = (list(dict.fromkeys(cell[axis] for cell in self._cells)) for axis in (0, 1))
        table = Table("")
        for dataset in datasets:
            table.add_column(dataset, justify="right")
        for method in methods:
            cells = []
            for dataset in datasets:
                runs = self._cells.get((method, dataset), [])
                done = [run.results.metrics["accuracy"] for run in runs if run.results is not None and run.finished]
                mean = f"{sum(done) / len(done):.1f}" if done else "-"
                style = "bold" if len(done) == len(runs) else ""
                cells.append(Text(f"{mean} ({len(done)}/{len(runs)})", style=style))
            table.add_row(method, *cells)
        return table
