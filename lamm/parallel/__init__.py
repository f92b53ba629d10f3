"""Several processes that train one model together, as torchrun starts them.

Every process draws the same batches. It encodes its share of a batch's images and its share of the classes. The
features are gathered, so that each process has all of them and computes the same loss of the whole batch. The gather
passes gradients on, and the learner's gradients are averaged. A process on its own uses none of this.

`launch_of` reads what torchrun tells a process; without torch, so that `--help` and mistakes are quick.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lamm.errors import ConfigError

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
    # The place on the machine is that of a process alone there, unless torchrun says otherwise.
    texts = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", **environment}
    numbers = []
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        if not texts[name].isdecimal():
            raise ConfigError(f'{name} is "{texts[name]}", which is not a number: start the run with torchrun')
        numbers.append(int(texts[name]))
    launch = Launch(*numbers)
    if launch.rank >= launch.size:
        raise ConfigError(f"RANK is {launch.rank} of WORLD_SIZE {launch.size}: start the run with torchrun")
    return launch
