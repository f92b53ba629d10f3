"""Carries the runs of a sweep out, and says how far it is: the counts, the time left, a line for each run that ends."""

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from tabulate import tabulate

from lamm.commands.parser import USER_ERROR
from lamm.errors import ResultsError
from lamm.log import logger
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.sweep.pools import Pool
from lamm.sweep.runs import SweepRun, expected_seconds
from lamm.sweep.worker import Outcome

TICK_SECONDS = 0.5
NO_RESULT = "it ended without a result (was nothing tested?)"
HEADERS = ("dataset", "trainer", "cfg", "shots", "seeds", "runs", "done", "time of a run")
UNKNOWN = "unknown"


class Progress:
    """Counts what is done, running, waiting and failed, and says each end of a run in a line.

    Args:
        runs: all of the sweep, with the results of those that were done before.
        at_once: runs at a time.
    """

    def __init__(self, runs: Sequence[SweepRun], at_once: int) -> None:
        self.left = {run for run in runs if not run.finished}
        self.total, self.failed = len(runs), 0
        self.running: dict[SweepRun, float] = {}
        self._at_once = at_once
        self._seconds: dict[Path, list[float]] = {}

    @property
    def done(self) -> int:
        """Runs that are finished."""
        return self.total - len(self.left) - self.failed

    def start(self, run: SweepRun) -> None:
        """A run has begun."""
        self.running[run] = time.monotonic()

    def finish(self, run: SweepRun, seconds: float) -> None:
        """A run has come to its end; `run.results` holds its results."""
        assert run.results is not None, "it is finished"
        self.running.pop(run, None)
        self.left.discard(run)
        self._seconds.setdefault(run.kind, []).append(seconds)
        self.say(run, f"{run.results.metrics['accuracy']:.1f}% in {duration(seconds)}")

    def retry(self, run: SweepRun, error: str) -> None:
        """A run has died, and waits for another try."""
        self.running.pop(run, None)
        self.say(run, f"died, will be tried again: {error}")

    def fail(self, run: SweepRun, error: str) -> None:
        """A run has failed for good."""
        self.running.pop(run, None)
        self.left.discard(run)
        self.failed += 1
        self.say(run, f"FAILED: {error}")

    def tick(self) -> None:
        """Time has passed."""

    def say(self, run: SweepRun, what: str) -> None:
        """What has become of a run."""
        logger.info("%d of %d: %s: %s; %s", self.done, self.total, run.folder, what, self.time_left())

    def counts(self) -> str:
        """The counts, in words."""
        waiting = len(self.left) - len(self.running)
        parts = [f"{self.done} of {self.total} done", f"{len(self.running)} running", f"{waiting} waiting"]
        return ", ".join([*parts, *([f"{self.failed} failed"] if self.failed else [])])

    def time_left(self) -> str:
        """What the runs left are expected to take, in words."""
        seconds = self.seconds_left()
        return "time left unknown" if seconds is None else f"about {duration(seconds)} left"

    def seconds_left(self) -> float | None:
        """What the runs left are expected to take; None before anything is known.

        A run is expected to take what its kind took in this sweep, else before it; else the mean of all that is known.
        """
        expected = [self.expected(run) for run in self.left]
        known = [*(seconds for took in self._seconds.values() for seconds in took), *filter(None, expected)]
        if not known:
            return None
        usual, now = statistics.mean(known), time.monotonic()
        total = sum(usual if seconds is None else seconds for seconds in expected)
        for run, began in self.running.items():
            total -= min(self.expected(run) or usual, now - began)
        return total / max(1, min(self._at_once, len(self.left)))

    def expected(self, run: SweepRun) -> float | None:
        """Seconds that a run is expected to take; None: unknown."""
        took = self._seconds.get(run.kind)
        return statistics.median(took) if took else run.seconds


def carry_out_all(runs: Iterable[SweepRun], pool: Pool, retries: int, progress: Progress) -> list[tuple[SweepRun, str]]:
    """Carry every run out.

    A run that died is tried again, behind all others. A user's mistake (exit code 2) is not: it would happen again.

    Args:
        runs: what is left to do, in order.
        pool: where, see `lamm.sweep.pools`.
        retries: of each run.
        progress: told of every event.

    Returns:
        The runs that failed, each with the last line of its output.
    """
    executor, carry_out = pool
    pending: dict[Future[Outcome], SweepRun] = {}
    started: set[Future[Outcome]] = set()
    tries: Counter[SweepRun] = Counter()
    failures = []

    def submit(run: SweepRun) -> None:
        tries[run] += 1
        pending[executor.submit(carry_out, run.words, run.log)] = run

    for run in runs:
        submit(run)
    while pending:
        done, _ = wait(pending, TICK_SECONDS, FIRST_COMPLETED)
        for future, run in pending.items():
            if future not in started and (future.running() or future.done()):
                started.add(future)
                progress.start(run)
        for future in done:
            run, outcome = pending.pop(future), future.result()
            run.results, error = _results(run, outcome)
            if run.results is not None:
                progress.finish(run, outcome.seconds)
            elif outcome.code != USER_ERROR and tries[run] <= retries:
                progress.retry(run, error)
                submit(run)
            else:
                progress.fail(run, error)
                failures.append((run, error))
        progress.tick()
    return failures


def _results(run: SweepRun, outcome: Outcome) -> tuple[RunResults | None, str]:
    """The results of a run that came to its end; else what it said last."""
    if outcome.code != 0:
        return None, outcome.error
    try:
        results = RunResults.read(Path(run.output_dir) / RESULTS_FILE)
    except ResultsError as error:
        return None, str(error)
    return (results, "") if results.finished else (None, NO_RESULT)


def duration(seconds: float) -> str:
    """Seconds in words of two units at most: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def overview(runs: Iterable[SweepRun]) -> str:
    """A table of the grid: a line for each data set, trainer and config."""
    groups: dict[tuple[str, str, str], list[SweepRun]] = {}
    for run in runs:
        groups.setdefault((run.dataset, run.method, run.cfg), []).append(run)
    lines = []
    for group, members in groups.items():
        left = [run for run in members if not run.finished]
        seconds = sorted(run.seconds for run in left if run.seconds is not None)
        times = list(dict.fromkeys(duration(value) for value in (*seconds[:1], *seconds[-1:])))
        shots, seeds = (
            " ".join(map(str, sorted({getattr(run, name) for run in members}))) for name in ("shots", "seed")
        )
        time_of_run = " – ".join(times) or (UNKNOWN if left else "")
        lines.append([*group, shots, seeds, str(len(members)), str(len(members) - len(left)), time_of_run])
    return tabulate(lines, headers=HEADERS, colalign=["left"] * 3 + ["right"] * 5, disable_numparse=True)


def summary(runs: Sequence[SweepRun], at_once: int, threads: int) -> str:
    """What there is to do, in one line.

    Args:
        runs: all of the grid.
        at_once: runs at a time.
        threads: of each run.
    """
    left = [run for run in runs if not run.finished]
    begun = sum(run.begun for run in runs)
    of_these = f" ({begun} of them begun)" if begun else ""
    done = f"{len(runs)} runs, {len(runs) - len(left)} done, {len(left)} to do{of_these}"
    if not left:
        return done
    seconds, unknown = expected_seconds(left, at_once), sum(run.seconds is None for run in left)
    takes = "time unknown" if seconds is None else f"{'at least' if unknown else 'about'} {duration(seconds)}"
    rest = f"; the time of {unknown} is unknown" if unknown and seconds is not None else ""
    each = "1 thread" if threads == 1 else f"{threads} threads"
    return f"{done}: {takes}, {at_once} at once with {each} each{rest}"
