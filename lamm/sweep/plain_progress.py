"""Progress where output is no terminal: a line a run."""

from lamm.log import logger
from lamm.results.schema import RunResults
from lamm.sweep.job import Job
from lamm.sweep.tally import Tally, duration


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
