"""Counts of a sweep under way, and the time that is left."""

import time
from collections.abc import Sequence

from lamm.sweep.job import Job


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
