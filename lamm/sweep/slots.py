"""How many runs at once, with how many threads each, and which share of a GPU each takes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lamm.errors import ConfigError
from lamm.sweep.machine import Machine

SMALLEST_SHARE = 0.01


@dataclass(frozen=True)
class Slots:
    """How the runs share a machine.

    Attributes:
        jobs: runs at once, at most.
        threads: of each run.
    """

    jobs: int
    threads: int


def gpu_share(memory: float, smallest_gpu: float) -> float:
    """The part of a GPU that a run takes, in hundredths rounded up; a run that needs more than one has it alone."""
    return min(1.0, max(SMALLEST_SHARE, math.ceil(100 * memory / smallest_gpu) / 100))


def choose_slots(
    memories: Sequence[float],
    machine: Machine,
    jobs: int | None = None,
    threads: int | None = None,
    counted: bool = True,
) -> Slots:
    """Share the machine's cores, its memory and its GPUs.

    Args:
        memories: bytes of each run that is left to do, on the machine's device.
        machine: where they run.
        jobs: runs at once, where the user says it.
        threads: of each run, where the user says it.
        counted: whether GPU memory is counted run by run later on, as Ray does; else all runs count as the largest.

    Raises:
        ConfigError: the user asks for more threads than there are cores.
    """
    if threads is not None and threads > machine.cores:
        raise ConfigError(f"--threads is {threads}, and this machine has {machine.cores} cores: give at most those")
    if jobs is None:
        jobs = min(max(1, len(memories)), machine.cores // (threads or 1), _that_fit(memories, machine, counted))
    return Slots(jobs, threads or max(1, machine.cores // jobs))


def _that_fit(memories: Sequence[float], machine: Machine, counted: bool) -> int:
    """Runs that the memory holds at once, at least one a device."""
    largest = max(memories, default=1.0)
    if not machine.gpus:
        return max(1, math.floor(min(machine.memory / largest, len(memories))))
    each = min(memories, default=1.0) if counted else largest
    return len(machine.gpus) * math.floor(1 / gpu_share(each, min(machine.gpus)))
