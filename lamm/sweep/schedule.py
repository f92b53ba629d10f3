"""Carries runs out: those that died once more, each start and end told to whoever shows the progress."""

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from lamm.commands.parser import USER_ERROR
from lamm.errors import ResultsError
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.sweep.pools import Pool
from lamm.sweep.progress import Progress
from lamm.sweep.runs import SweepRun
from lamm.sweep.worker import Outcome

TICK_SECONDS = 0.5
NO_RESULT = "it ended without a result (was nothing tested?)"


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
