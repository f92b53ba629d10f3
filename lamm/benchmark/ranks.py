"""The time of a training step that several processes share out, on one machine."""

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence

import torch

from lamm.benchmark.measuring import seconds_of
from lamm.benchmark.training_step import TrainingStep
from lamm.errors import LammError

RUNS = 7
MARK = "seconds a step: "


def shared_out_seconds(step: TrainingStep) -> float:
    """Median seconds of the step; every process must call it."""
    step.whole()
    step.whole()
    seconds = []
    for _ in range(RUNS):
        step.ranks.barrier()
        seconds.append(seconds_of(step.whole, step.device))
    return statistics.median(seconds)


def seconds_with_ranks(command: Sequence[str], processes: int, threads: int) -> float:
    """Seconds that the first of several processes of a Python program prints, behind `MARK`.

    Args:
        command: the program and its arguments.
        processes: how many.
        threads: of all processes together.

    Raises:
        LammError: a process failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, threads // processes))}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    done = subprocess.run([*launcher, *command], env=environment, capture_output=True, text=True, check=False)
    printed = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not printed:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        said = next((line for line in lines if line.startswith("error: ")), lines[-1])
        raise LammError(f"the measurement with {processes} processes failed: {said.removeprefix('error: ')}")
    return float(printed[-1].removeprefix(MARK))


def own_device(local_rank: int) -> torch.device:
    """The GPU of a process on this machine, else the CPU."""
    return torch.device("cuda", local_rank) if torch.cuda.is_available() else torch.device("cpu")
