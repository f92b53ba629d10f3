"""Several runs of train.py from one command line: its words, and the seeds in $SEEDS."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from lamm.errors import ConfigError, unknown_name
from lamm.run.arguments import FLAGS, KEY
from lamm.run.plan import trainer_config, trainer_configs


class Run(NamedTuple):
    """One of the runs.

    Attributes:
        label: what the terminal shows when it begins.
        words: command line of train.py.
    """

    label: str
    words: Sequence[str]


def seed_list(text: str) -> list[int]:
    """The seeds in $SEEDS.

    Raises:
        ConfigError: there are none, one comes twice, or they are not whole numbers from 0 up.
    """
    words = text.replace(",", " ").split()
    if not words or not all(re.fullmatch("[0-9]+", word) for word in words):
        raise ConfigError(f'SEEDS must be whole numbers from 0 up, such as "1 2 3", got "{text}"')
    seeds = [int(word) for word in words]
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f'SEEDS must name each seed once, got "{text}"')
    return seeds


def data_root() -> str:
    """The data root: $DATA, else `data`."""
    return os.environ.get("DATA") or "data"


def require_no_folder(words: Sequence[str]) -> None:
    """Refuse what belongs to a single run, such as its folder or its seed.

    Args:
        words: those behind the data set and the number of shots.

    Raises:
        ConfigError: a flag of train.py, or a key that names a folder.
    """
    flag = next((word for word in words if word.startswith("--")), None)
    if flag is not None:
        raise ConfigError(
            f"{flag} can't stand here: behind SHOTS come a config's name and KEY VALUE alone; every run has a folder "
            "and a seed of its own ($SEEDS)"
        )
    key = next((word for word in words if word in (FLAGS["output_dir"], FLAGS["resume"])), None)
    if key is not None:
        raise ConfigError(f"{key} can't be set here: every run has a folder of its own")


def config_and_pairs(trainer: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """`[CFG] [KEY VALUE ...]` as train.py takes it: the flag for the config file, and the rest.

    Raises:
        ConfigError: the first word is neither a config of the trainer nor a config key.
    """
    if words and words[0] in trainer_configs(trainer):
        return ["--config-file", str(trainer_config(trainer, words[0]))], list(words[1:])
    if words and not KEY.fullmatch(words[0]):
        raise ConfigError(unknown_name(f"config of {trainer}", words[0], trainer_configs(trainer)))
    return [], list(words)
