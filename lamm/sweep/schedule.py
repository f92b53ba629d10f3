"""Carries runs out in a pool: the longest first, those that died once more, each end told to whoever watches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lamm.commands import USER_ERROR
from lamm.errors import ResultsError
from lamm.results.schema import FILE_NAME, RunResults
from lamm.sweep.job import Job
from lamm.sweep.order import Ended, Pool, Started

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
        results = RunResults.read(Path(job.output_dir) / FILE_NAME)
    except ResultsError as error:
        return None, str(error)
    return (results, "") if results.finished else (None, NO_RESULT)
