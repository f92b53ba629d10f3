"""What torchrun tells a process in its environment; without torch, so that `--help` and mistakes are quick."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lamm.errors import ConfigError

TIMEOUT_VARIABLE = "LAMM_PEER_TIMEOUT"
USUAL_TIMEOUT = 600.0
NEEDED = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """One process's place.

    Attributes:
        rank: its number, from 0.
        size: number of processes.
        local_rank: its number among those on this machine.
        local_size: number of processes on this machine.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int


def launch_of(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """The place that the environment gives this process; None: it is on its own.

    Raises:
        ConfigError: only a part of torchrun's variables is there, or they hold no numbers.
    """
    if environment.get("WORLD_SIZE", "1") == "1" or "RANK" not in environment:
        return None
    missing = [name for name in NEEDED if name not in environment]
    if missing:
        raise ConfigError(f"RANK and WORLD_SIZE are set, but not {', '.join(missing)}: start the run with torchrun")
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    local_rank = _number(environment, "LOCAL_RANK", 0)
    local_size = _number(environment, "LOCAL_WORLD_SIZE", 1)
    if not 0 <= rank < size:
        raise ConfigError(f"RANK is {rank} of WORLD_SIZE {size}: start the run with torchrun")
    return Launch(rank, size, local_rank, local_size)


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise ConfigError(f'{name} is "{text}", which is not a number: start the run with torchrun')
    return int(text)


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
