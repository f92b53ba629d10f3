"""What there is to run on: cores, memory, GPUs."""

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lamm.errors import ConfigError

ASK_TORCH = (
    "import torch; print(*(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())))"
)


@dataclass(frozen=True)
class Machine:
    """What one machine, or a cluster, has to offer.

    Attributes:
        cores: that runs may use.
        memory: bytes that can be allocated.
        gpus: bytes of memory of each GPU.
    """

    cores: int
    memory: float
    gpus: tuple[int, ...] = ()

    @property
    def device(self) -> str:
        """Where runs compute: `gpu` or `cpu`."""
        return "gpu" if self.gpus else "cpu"


def this_machine() -> Machine:
    """The machine that this process is on."""
    # Imported here: Ray's workers import this module, and do without torch.
    import torch

    gpus = gpu_memories() if torch.cuda.device_count() else ()
    return Machine(usable_cores(), free_bytes(torch.device("cpu")), gpus)


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpu_memories() -> tuple[int, ...]:
    """Bytes of memory of each GPU that runs would see.

    Asked in a process of its own: this one would take memory on the GPU with its first question, for good.
    """
    done = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, check=False)
    return tuple(int(word) for word in done.stdout.split()) if done.returncode == 0 else ()


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


MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_bytes(device: torch.device) -> float:
    """Bytes that can still be allocated on a device; infinite where the system doesn't say."""
    if device.type == "cuda":
        torch.cuda.empty_cache()  # what torch keeps for itself can be allocated
        return torch.cuda.mem_get_info(device)[0]
    limits = [float("inf")]
    if MEMINFO.exists():
        line = next((line for line in MEMINFO.read_text().splitlines() if line.startswith("MemAvailable")), "")
        limits += [1024.0 * int(word) for word in line.split() if word.isdigit()]
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.exists() and limit.read_text().strip().isdigit():
        limits.append(float(limit.read_text()) - float(used.read_text()))
    return min(limits)
