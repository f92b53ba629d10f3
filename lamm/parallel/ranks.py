"""This process among those that train together, and what they say to each other.

Small things that only the processors need go through gloo; tensors go through the backend of their device.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from lamm.errors import LammError


class PeerError(LammError):
    """Another process of the run is gone, or does not answer."""


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
        """This process's part of `count` things: contiguous, and as even as it can be; it may be empty."""
        return share_of(count, self.rank, self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place; to be called by each with the same shape."""
        if self.many:
            with _peers():
                dist.all_reduce(tensor)
        return tensor

    def gather(self, own: Tensor, count: int) -> Tensor:
        """All shares behind each other, without gradients. Shape: (count, ...)

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
        return torch.cat([part[: len(share_of(count, rank, self.size))] for rank, part in enumerate(parts)])

    def from_first(self, value: Any) -> Any:
        """What the first process passes here; the others' arguments are not looked at."""
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
        """The first process runs the block before the others do, which find what it has left on the disk."""
        if not self.first:
            self.barrier()
        yield
        if self.first:
            self.barrier()

    def require_same(self, what: str, value: Any, advice: str) -> None:
        """Refuse to go on where the processes don't agree.

        Args:
            what: names the value.
            value: compared by its representation.
            advice: what to do about it.

        Raises:
            LammError: another process has another value.
        """
        if not self.many:
            return
        digest = hashlib.sha256(repr(value).encode()).digest()
        own = torch.frombuffer(bytearray(digest), dtype=torch.int64)[None]
        if len(self.gather(own, self.size).unique(dim=0)) > 1:
            raise LammError(f"the {self.size} processes of this run differ in {what}: {advice}")


def share_of(count: int, rank: int, size: int) -> range:
    """The part of `count` things that falls to `rank` of `size`."""
    return range(count * rank // size, count * (rank + 1) // size)


_current = Ranks()


def current_ranks() -> Ranks:
    """This process's place: alone, unless `enter` has said otherwise."""
    return _current


@contextmanager
def enter(ranks: Ranks) -> Iterator[None]:
    """Make `ranks` this process's place while the block runs."""
    global _current
    before, _current = _current, ranks
    try:
        yield
    finally:
        _current = before


@contextmanager
def _peers() -> Iterator[None]:
    """Say in one line what a broken exchange means."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PeerError(
            "another process of this run died, or did not answer in time (LAMM_PEER_TIMEOUT, in seconds); "
            "what is saved is whole: the same command goes on from there"
        ) from error
