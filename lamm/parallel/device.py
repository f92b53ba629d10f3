"""The device of a process: one GPU each, or an even share of the cores."""

import os

import torch

from lamm.engine.embedded.worker_count import usable_cores
from lamm.errors import ConfigError
from lamm.parallel.launch import launch_of


def take_device(use_cuda: bool) -> str:
    """Make this process's GPU torch's current one, or give torch this process's share of the cores; alone: nothing.

    torchrun sets OMP_NUM_THREADS to 1 where it is not set; any other number is kept.

    Args:
        use_cuda: whether a GPU is wanted where there is one.

    Returns:
        What was taken, for the log; empty where the process is alone.

    Raises:
        ConfigError: fewer GPUs than processes on this machine.
    """
    launch = launch_of()
    if launch is None:
        return ""
    if use_cuda and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if launch.local_size > count:
            raise ConfigError(
                f"{launch.local_size} processes on a machine with {count} GPU{'s' * (count > 1)}: start "
                f"--nproc_per_node {count}, or set USE_CUDA False"
            )
        torch.cuda.set_device(launch.local_rank)
        return f"{launch.size} processes, a GPU each (NCCL)"
    if os.environ.get("OMP_NUM_THREADS", "1") == "1":
        torch.set_num_threads(max(1, usable_cores() // launch.local_size))
    return f"{launch.size} processes on the CPU (gloo), threads each: {torch.get_num_threads()}"
