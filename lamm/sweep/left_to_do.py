"""What is left to do of a sweep: every run that has no result, with its expected time and memory."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lamm.sweep.data_facts import DataFacts, data_key
from lamm.sweep.job import Job
from lamm.sweep.machine import Machine
from lamm.sweep.memory_estimate import memory_of
from lamm.sweep.planned_run import PlannedRun
from lamm.sweep.run_sizes import run_sizes
from lamm.sweep.slots import Slots, choose_slots
from lamm.sweep.time_estimate import Cost, Timings


@dataclass(frozen=True)
class LeftToDo:
    """The jobs of a sweep.

    Attributes:
        jobs: one a run.
        bases: where the time of each comes from, see `Cost`.
        slots: how they share the machine.
    """

    jobs: tuple[Job, ...]
    bases: tuple[str, ...]
    slots: Slots

    @property
    def seconds(self) -> float:
        """Of all jobs, `slots.jobs` at a time."""
        at_once = max(1, min(self.slots.jobs, len(self.jobs)))
        longest = max((job.seconds for job in self.jobs), default=0.0)
        return max(longest, sum(job.seconds for job in self.jobs) / at_once)


def left_to_do(
    runs: Iterable[PlannedRun],
    facts: Mapping[str, DataFacts],
    machine: Machine,
    jobs: int | None = None,
    threads: int | None = None,
    counted: bool = True,
) -> LeftToDo:
    """Estimate every run, and share the machine among them.

    Args:
        runs: that have no result.
        facts: of each run's data set, by `data_key`.
        machine: where they run.
        jobs: runs at once, where the user says it.
        threads: of each run, where the user says it.
        counted: see `choose_slots`.

    Raises:
        ConfigError: more threads than the machine has cores.
    """
    sized = [(run, run_sizes(run.plan, facts[data_key(run.plan)])) for run in runs]
    memories = [memory_of(sizes, machine.device) for _, sizes in sized]
    slots = choose_slots(memories, machine, jobs, threads, counted)
    timings = Timings(slots.threads, machine.device == "gpu")
    costs: list[Cost] = [timings.cost_of(run, sizes) for run, sizes in sized]
    made = [Job.of(run, cost.seconds, memory) for (run, _), cost, memory in zip(sized, costs, memories, strict=True)]
    return LeftToDo(tuple(made), tuple(cost.basis for cost in costs), slots)
