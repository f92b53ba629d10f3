"""The process group: joined, used, left.

Each process also holds a connection to torchrun's store, which outlives any of them: there the first one whose run
fails takes the word.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from lamm.errors import ConfigError
from lamm.parallel.launch import Launch
from lamm.parallel.ranks import PeerError, Ranks, enter

TIMEOUT_VARIABLE = "LAMM_PEER_TIMEOUT"
USUAL_TIMEOUT = 600.0


@contextmanager
def joined_group(launch: Launch) -> Iterator[Any]:
    """Exchange with the other processes while the block runs; gives the store.

    Args:
        launch: what torchrun says.

    Raises:
        PeerError: not all of the processes came in time.
        ConfigError: a timeout that is no number above 0.
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
    with enter(Ranks(rank, size, launch.local_size)):
        yield store
    with suppress(RuntimeError):
        dist.destroy_process_group()


def peer_timeout() -> float:
    """Seconds that a process waits for another: `LAMM_PEER_TIMEOUT`, else 600.

    Raises:
        ConfigError: it is no number above 0.
    """
    text = os.environ.get(TIMEOUT_VARIABLE) or str(USUAL_TIMEOUT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f'{TIMEOUT_VARIABLE} is "{text}", but must be seconds, a number above 0')
    return seconds
