"""What there is to run on, cores, memory and GPUs, and how many runs share it."""

import math
import os
import subprocess
import sys
from dataclasses import dataclass

from lamm.errors import ConfigError
from lamm.memory import free_bytes, usable_cores

ASK_TORCH = (
    "import torch; print(*(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())))"
)
GPU_DRIVERS = ("/dev/nvidiactl", "/dev/nvmap", "/dev/kfd", "/dev/dxg")
"""Files of NVIDIA's driver, its boards', AMD's, and Windows's below Linux: without any of them torch sees no GPU."""
GIB = 2**30
SMALLEST_SHARE = 0.01

USUAL_BYTES = {"cpu": 2.0 * GIB, "gpu": 8.0 * GIB}
"""Memory of a run, as long as no finished run says how much it takes."""
SLACK = 1.25
"""What an allocator holds beyond the largest amount that was asked of it."""
GPU_CONTEXT = 0.75 * GIB
"""What each process holds on a GPU beside its tensors."""


@dataclass(frozen=True)
class Machine:
    """What one machine, or a cluster, offers.

    Attributes:
        cores: that runs may use.
        memory: bytes that can be allocated.
        gpus: bytes of memory of each GPU.
    """

    cores: int
    memory: float
    gpus: tuple[int, ...] = ()

    def bytes_per_run(self, peak: float | None) -> float:
        """Memory to count for one run, on the GPU where there is one.

        Args:
            peak: bytes, the largest of the finished runs; None where there are none.
        """
        if peak is None:
            return USUAL_BYTES["gpu" if self.gpus else "cpu"]
        return SLACK * peak + (GPU_CONTEXT if self.gpus else 0)

    def gpu_share(self, peak: float | None) -> float:
        """Part of the smallest GPU that a run takes, in hundredths rounded up, at most 1; 0 without GPUs."""
        if not self.gpus:
            return 0.0
        return min(1.0, max(SMALLEST_SHARE, math.ceil(100 * self.bytes_per_run(peak) / min(self.gpus)) / 100))

    def share_out(
        self, runs: int, peak: float | None, jobs: int | None = None, threads: int | None = None
    ) -> tuple[int, int]:
        """How many runs go side by side, and with how many threads each.

        Args:
            runs: that are left to do.
            peak: see `bytes_per_run`.
            jobs: runs at once, where the user says it.
            threads: of each run, where the user says it.

        Raises:
            ConfigError: the user asks for more threads than there are cores.
        """
        if threads is not None and threads > self.cores:
            raise ConfigError(f"--threads is {threads}, and this machine has {self.cores} cores: give at most those")
        if jobs is None:
            if self.gpus:
                fit = len(self.gpus) * math.floor(1 / self.gpu_share(peak))
            else:
                fit = max(1, math.floor(min(self.memory / self.bytes_per_run(peak), runs)))
            jobs = min(max(1, runs), max(1, self.cores // (threads or 1)), fit)
        return jobs, threads or max(1, self.cores // jobs)


def this_machine() -> Machine:
    """The machine that this process is on."""
    return Machine(usable_cores(), free_bytes(), gpu_memories() if any(map(os.path.exists, GPU_DRIVERS)) else ())


def gpu_memories() -> tuple[int, ...]:
    """Bytes of memory of each GPU that runs would see.

    Asked in a process of its own: this one would take memory on the GPU with its first question, for good.
    """
    done = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, check=False)
    return tuple(int(word) for word in done.stdout.split()) if done.returncode == 0 else ()
