"""What the commands behind `scripts/<method>/` share: the words of `train.py`, and starting programs."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence

from lamm.errors import ConfigError, unknown_name
from lamm.run.arguments import FLAGS, KEY
from lamm.run.plan import trainer_config, trainer_configs


def add_rest(parser: argparse.ArgumentParser, words: str, meaning: str) -> None:
    """Add the optional words at the end of a script's line, which are read by hand.

    Args:
        parser: of the script; they come out as `rest`.
        words: what the help calls them, such as `[CFG] [KEY VALUE ...]`.
        meaning: what the help says of them.
    """
    rest = parser.add_argument("rest", nargs=argparse.REMAINDER, metavar=words, help=meaning)
    # argparse counts them among what is missing when the words before them are.
    rest.required = False


def config_and_pairs(trainer: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """`[CFG] [KEY VALUE ...]` as train.py takes it: the flag for the config file, and the rest.

    Raises:
        ConfigError: the first word is neither a config of the trainer nor a config key, or a folder is among the keys.
    """
    require_no_folder(words)
    if words and words[0] in trainer_configs(trainer):
        return ["--config-file", str(trainer_config(trainer, words[0]))], list(words[1:])
    if words and not KEY.fullmatch(words[0]):
        raise ConfigError(unknown_name(f"config of {trainer}", words[0], trainer_configs(trainer)))
    return [], list(words)


def require_no_folder(words: Sequence[str]) -> None:
    """Refuse keys that name a run's folder: a script has several runs, each with a folder of its own.

    Raises:
        ConfigError: one of these keys is among the words.
    """
    taken = next((word for word in words if word in (FLAGS["output_dir"], FLAGS["resume"])), None)
    if taken is not None:
        raise ConfigError(f"{taken} can't be set here: every run has a folder of its own")


def train_words(arguments: argparse.Namespace, seed: int, config: Sequence[str], pairs: Sequence[str]) -> list[str]:
    """The command line of train.py for one seed; the data root is $DATA (default "data").

    Args:
        arguments: with `trainer`, `dataset`, `shots` and `debug`.
        seed: the seed.
        config: the flag for the config file, or nothing.
        pairs: KEY VALUE.
    """
    words = ["--trainer", arguments.trainer, "--dataset", arguments.dataset, "--shots", str(arguments.shots)]
    root = os.environ.get("DATA") or "data"
    debug = ["--debug"] if arguments.debug else []
    return [*words, "--seed", str(seed), "--root", root, *config, *debug, *pairs]


def exit_code(words: list[str]) -> int:
    """Run a Python program; its exit code, of one that was killed 128 + the signal, as a shell has it."""
    code = subprocess.run([sys.executable, *words], check=False).returncode
    return code if code >= 0 else 128 - code


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
