"""What is left to do of each run: told from its folder, without starting it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lamm.errors import LammError
from lamm.results.schema import FILE_NAME, RunResults
from lamm.run.earlier_run import earlier_run, require_same_split
from lamm.run.fingerprint import config_hash
from lamm.sweep.data_facts import DataFacts, data_key
from lamm.sweep.planned_run import PlannedRun


@dataclass
class States:
    """The runs of a grid by what is left to do.

    Attributes:
        finished: with their results; nothing is left to do.
        begun: to be resumed.
        waiting: not begun.
        problems: one line for each folder that holds another run.
    """

    finished: list[tuple[PlannedRun, RunResults]] = field(default_factory=list)
    begun: list[PlannedRun] = field(default_factory=list)
    waiting: list[PlannedRun] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def states_of(runs: Iterable[PlannedRun], facts: Mapping[str, DataFacts]) -> States:
    """Sort the runs by what is left to do.

    Args:
        runs: of the grid.
        facts: of each run's data set, by `data_key`.
    """
    states = States()
    for run in runs:
        try:
            results = results_of(run, facts[data_key(run.plan)])
        except LammError as error:
            states.problems.append(str(error))
            continue
        if results is None:
            states.waiting.append(run)
        elif results.finished:
            states.finished.append((run, results))
        else:
            states.begun.append(run)
    return states


def results_of(run: PlannedRun, facts: DataFacts) -> RunResults | None:
    """The record of an earlier start of this very run: same config, data root and split.

    Args:
        run: the run.
        facts: of its data set; without its split's hash configs alone are compared.

    Raises:
        LammError: the folder holds another run, or a damaged record.
    """
    file = run.plan.output_dir / FILE_NAME
    if facts.split_hash is not None and file.is_file():
        results = RunResults.read(file)
        if results.config_hash == config_hash(run.plan.cfg, facts.split_hash):
            return results
    # Says what differs, key by key; slower.
    earlier = earlier_run(run.plan)
    if facts.split_hash is not None:
        require_same_split(run.plan, earlier, facts)
    return earlier
