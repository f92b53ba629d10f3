"""This process among those that train together, and their exchange.

Tensors go through the backend of their device, everything else through gloo.
"""

import hashlib
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from lamm.errors import ConfigError, LammError
from lamm.memory import usable_cores
from lamm.parallel import Launch, launch_of

TIMEOUT_VARIABLE = "LAMM_PEER_TIMEOUT"
USUAL_TIMEOUT = 600.0


class PeerError(LammError):
    """Another process of the run died, or does not answer."""


class Ranks:
    """A process's place, and its exchange with the others; alone it exchanges nothing.

    Args:
        rank: number of this process, from 0.
        size: number of processes.
        local_size: number of those on this machine.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_size: int = 1) -> None:
        self.rank, self.size, self.local_size = rank, size, local_size

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and logs."""
        return self.rank == 0

    @property
    def many(self) -> bool:
        """Whether there are others."""
        return self.size > 1

    def share(self, count: int) -> range:
        """This process's part of `count` things: contiguous, as even as possible, and possibly empty."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place; to be called by each with the same shape."""
        if self.many:
            with _peers():
                dist.all_reduce(tensor)
        return tensor

    def gather(self, own: Tensor, count: int) -> Tensor:
        """The shares of all processes, concatenated, without gradients. Shape: (count, ...)

        Args:
            own: this process's share of `count` rows.
            count: rows of all processes together.
        """
        if not self.many:
            return own
        longest = -(-count // self.size)
        padded = own.new_zeros(longest, *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _peers():
            dist.all_gather(parts, padded)
        return torch.cat([part[: len(Ranks(rank, self.size).share(count))] for rank, part in enumerate(parts)])

    def from_first(self, value: Any) -> Any:
        """The value that the first process passes; the others' arguments are ignored."""
        if not self.many:
            return value
        box = [value if self.first else None]
        with _peers():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def tensor_from_first(self, tensor: Tensor | None) -> Tensor:
        """The first process's tensor, fp32 on the CPU; the others pass None."""
        if tensor is not None and not self.many:
            return tensor
        shape = self.from_first(None if tensor is None else tuple(tensor.shape))
        filled = torch.empty(shape) if tensor is None else tensor
        with _peers():
            dist.broadcast(filled, src=0)
        return filled

    def barrier(self) -> None:
        """Wait for the others."""
        self.sum(torch.zeros(1))

    @contextmanager
    def first_before_others(self) -> Iterator[None]:
        """The first process runs the block before the others, which find what it has written to the disk."""
        if not self.first:
            self.barrier()
        yield
        if self.first:
            self.barrier()

    def require_same(self, what: str, value: Any, advice: str) -> None:
        """Refuse to go on if the processes disagree.

        Args:
            what: names the value.
            value: compared by its representation.
            advice: what to do about it.

        Raises:
            LammError: the processes have different values.
        """
        if not self.many:
            return
        digest = hashlib.sha256(repr(value).encode()).digest()
        own = torch.frombuffer(bytearray(digest), dtype=torch.int64)[None]
        if len(self.gather(own, self.size).unique(dim=0)) > 1:
            raise LammError(f"the {self.size} processes of this run differ in {what}: {advice}")


_current = Ranks()


def current_ranks() -> Ranks:
    """This process's place: alone, except within `joined_group`."""
    return _current


@contextmanager
def _peers() -> Iterator[None]:
    """Turn a broken exchange into one line that says what it means."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PeerError(
            "another process of this run died, or did not answer in time (LAMM_PEER_TIMEOUT, in seconds); "
            "what is saved is whole: the same command goes on from there"
        ) from error


@contextmanager
def joined_group(launch: Launch) -> Iterator[Any]:
    """Exchange with the other processes while the block runs; gives the store.

    Args:
        launch: what torchrun says.

    Raises:
        PeerError: not all of the processes came in time.
        ConfigError: a timeout that is not a number above 0.
    """
    timeout = timedelta(seconds=peer_timeout())
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store, rank, size = next(iter(rendezvous("env://", launch.rank, launch.size, timeout=timeout)))
        # torchrun may keep its store when it starts the processes anew (--max-restarts).
        store = dist.PrefixStore(f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        dist.init_process_group(
            backend, store=dist.PrefixStore("group", store), rank=rank, world_size=size, timeout=timeout
        )
    except (RuntimeError, ValueError) as error:
        raise PeerError(
            f"process {launch.rank} of {launch.size} did not find the others within {timeout.total_seconds():.0f} s "
            f"({' '.join(str(error).split())[:200]}): start all of them at the same time with torchrun"
        ) from error
    global _current
    before, _current = _current, Ranks(rank, size, launch.local_size)
    try:
        yield store
    finally:
        _current = before
    with suppress(RuntimeError):
        dist.destroy_process_group()


def peer_timeout() -> float:
    """Seconds that a process waits for another: `LAMM_PEER_TIMEOUT`, else 600.

    Raises:
        ConfigError: it is not a number above 0.
    """
    text = os.environ.get(TIMEOUT_VARIABLE) or str(USUAL_TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f'{TIMEOUT_VARIABLE} is "{text}", but must be seconds, a number above 0')
    return seconds


def take_device(use_cuda: bool) -> str:
    """Make this process's GPU the current one, or give torch this process's share of the cores; alone, do nothing.

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


def generators_digest() -> str:
    """A fingerprint of the states of Python's, NumPy's and torch's CPU generator."""
    digest = hashlib.sha256(repr(random.getstate()).encode())
    for part in np.random.get_state(legacy=True):
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    digest.update(torch.get_rng_state().numpy().tobytes())
    return digest.hexdigest()
