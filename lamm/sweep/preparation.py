"""Everything that can be known before the first run starts: the runs, their data and weights, what is done already."""

from collections.abc import Callable
from dataclasses import dataclass

from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.sweep.data_facts import DataFacts, facts_of_all
from lamm.sweep.grid import Grid
from lamm.sweep.places import Places
from lamm.sweep.planned_run import PlannedRun, planned_runs
from lamm.sweep.run_state import States, states_of
from lamm.sweep.weights import missing_weights


@dataclass(frozen=True)
class Preparation:
    """A sweep before it starts.

    Attributes:
        runs: all of the grid.
        facts: of each data set, by `data_key`.
        states: the runs by what is left to do.
        problems: one line for each mistake: missing data or weights, folders that hold another run.
    """

    runs: list[PlannedRun]
    facts: dict[str, DataFacts]
    states: States
    problems: list[str]

    @property
    def left(self) -> list[PlannedRun]:
        """Runs without a result."""
        return [*self.states.begun, *self.states.waiting]

    def require_no_problem(self) -> None:
        """Refuse to start with a mistake.

        Raises:
            ConfigError: there is one; it is named, and how many more there are.
        """
        if self.problems:
            more = f" (and {len(self.problems) - 1} more: --dry-run lists them)" if len(self.problems) > 1 else ""
            raise ConfigError(f"{self.problems[0]}{more}")


def prepare(grid: Grid, places: Places, extend_cfg: Callable[[CfgNode], None], dry: bool) -> Preparation:
    """Plan every run and look at what it needs.

    Args:
        grid: what to run.
        places: where runs read and write.
        extend_cfg: adds the trainers' config keys.
        dry: whether demo data are left unmade.

    Raises:
        ConfigError: a mistake in the grid.
    """
    runs = planned_runs(grid, places, extend_cfg)
    facts, problems = facts_of_all(runs, make=not dry)
    states = states_of(runs, facts)
    made = Preparation(runs, facts, states, [*problems, *states.problems])
    made.problems.extend(missing_weights(made.left))
    return made
