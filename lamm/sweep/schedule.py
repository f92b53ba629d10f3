"""Carries runs out in a pool: the longest first, those that died once more, each end told to whoever watches."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lamm.commands.parser import USER_ERROR
from lamm.errors import ResultsError
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.sweep.estimate import Job
from lamm.sweep.worker import Ended, Pool, Started

TICK_SECONDS = 1.0
NO_RESULT = "it ended without a result (was nothing tested?)"


@dataclass(frozen=True)
class Failure:
    """A run that did not finish.

    Attributes:
        job: the run.
        error: the last line of its output.
    """

    job: Job
    error: str


class Watcher(Protocol):
    """Who is told how the runs get on."""

    def started(self, job: Job) -> None:
        """A run has begun."""

    def finished(self, job: Job, results: RunResults, seconds: float) -> None:
        """A run has come to its end."""

    def retried(self, job: Job, error: str) -> None:
        """A run has died, and waits for another try."""

    def failed(self, job: Job, error: str) -> None:
        """A run has failed for good."""

    def tick(self) -> None:
        """Time has passed."""


def carry_out_all(jobs: Sequence[Job], pool: Pool, retries: int, watcher: Watcher) -> list[Failure]:
    """Carry every run out.

    A run that died is tried again with twice the memory set aside for it. A user's mistake (exit code 2) is not: it
    would be the same again.

    Args:
        jobs: what is left to do.
        pool: where.
        retries: of each run.
        watcher: told of every event.

    Returns:
        The runs that failed.
    """
    ordered = sorted(jobs, key=lambda job: -job.seconds)
    tries = [0] * len(ordered)
    failures: list[Failure] = []
    for number, job in enumerate(ordered):
        pool.submit(job.order(number))
    left = len(ordered)
    while left:
        event = pool.next_event(TICK_SECONDS)
        if isinstance(event, Started):
            watcher.started(ordered[event.number])
        elif isinstance(event, Ended):
            job = ordered[event.number]
            results, error = _outcome(job, event)
            if results is not None:
                watcher.finished(job, results, event.seconds)
            elif event.code != USER_ERROR and tries[event.number] < retries:
                tries[event.number] += 1
                watcher.retried(job, error)
                pool.submit(job.order(event.number, tries[event.number]))
                continue
            else:
                watcher.failed(job, error)
                failures.append(Failure(job, error))
            left -= 1
        watcher.tick()
    return failures


def _outcome(job: Job, event: Ended) -> tuple[RunResults | None, str]:
    """The results of a run that came to its end; else what it said last."""
    if event.code != 0:
        return None, event.error
    try:
        results = RunResults.read(Path(job.output_dir) / RESULTS_FILE)
    except ResultsError as error:
        return None, str(error)
    return (results, "") if results.finished else (None, NO_RESULT)


class Tally:
    """What is done, running, waiting and failed.

    Args:
        done: runs that were finished before.
        jobs: what is left to do.
        at_once: runs at a time.
    """

    def __init__(self, done: int, jobs: Sequence[Job], at_once: int) -> None:
        self.done, self.failed, self.total = done, 0, done + len(jobs)
        self.running: dict[Job, float] = {}
        self._at_once = at_once
        self._expected_left = sum(job.seconds for job in jobs)
        self._expected = self._took = 0.0

    @property
    def waiting(self) -> int:
        """Runs that have not begun."""
        return self.total - self.done - self.failed - len(self.running)

    def start(self, job: Job) -> None:
        """A run has begun."""
        self.running[job] = time.monotonic()

    def finish(self, job: Job, seconds: float) -> None:
        """A run is done."""
        self.done += 1
        self._expected += job.seconds
        self._took += seconds
        self._end(job)
        self._expected_left -= job.seconds

    def fail(self, job: Job) -> None:
        """A run has failed for good."""
        self.failed += 1
        self._end(job)
        self._expected_left -= job.seconds

    def stop(self, job: Job) -> None:
        """A run has died, and waits again."""
        self._end(job)

    def seconds_left(self) -> float:
        """What the runs left are expected to take, corrected by how long those done took beside their estimate."""
        now = time.monotonic()
        under_way = sum(min(job.seconds, now - began) for job, began in self.running.items())
        correction = self._took / self._expected if self._expected else 1.0
        return max(0.0, self._expected_left - under_way) * correction / self._at_once

    def line(self) -> str:
        """The counts, in words."""
        parts = [f"{self.done} of {self.total} done", f"{len(self.running)} running", f"{self.waiting} waiting"]
        return ", ".join([*parts, *([f"{self.failed} failed"] if self.failed else [])])

    def _end(self, job: Job) -> None:
        self.running.pop(job, None)


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
