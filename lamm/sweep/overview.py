"""The runs of a sweep as a table, grouped, with what is done and what the rest is expected to cost."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from lamm.sweep.left_to_do import LeftToDo
from lamm.sweep.planned_run import PlannedRun
from lamm.sweep.tally import duration
from lamm.sweep.time_estimate import GUESSED

Group = tuple[str, str, str]
HEADERS = ("dataset", "trainer", "cfg", "shots", "seeds", "runs", "done", "a run", "memory", "time from")
GIB = 2**30


def overview(runs: Sequence[PlannedRun], left: LeftToDo, begun: int = 0) -> str:
    """The table, and a line for the whole.

    Args:
        runs: all of the grid.
        left: those without a result.
        begun: how many of these have begun.
    """
    members: dict[Group, list[PlannedRun]] = {}
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
