"""What there is to run on: cores, memory, GPUs."""

import os
import subprocess
import sys
from dataclasses import dataclass

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

    from lamm.benchmark.free_memory import free_bytes

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
