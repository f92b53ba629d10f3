"""One data set at one number of shots with several seeds, then the table over them: what `scripts/*/main.sh` call.

    python tools/run_seeds.py --trainer LAMM digits 16 [CFG] [KEY VALUE ...]

Seeds come from $SEEDS (default "1 2 3"), the data root from $DATA (default "data"). Finished seeds are skipped and
broken ones resumed.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import lamm_trainers  # noqa: F401  (registers the trainers)

from lamm.commands import Parser, run
from lamm.engine import TRAINER_REGISTRY
from lamm.errors import ConfigError
from lamm.run.config_files import dataset_config, trainer_config, trainer_configs
from lamm.run.plan import default_config, output_folder, override_suffix
from lamm.suggest import unknown_name

ROOT = Path(__file__).resolve().parents[1]


def main(arguments: argparse.Namespace) -> int:
    if arguments.trainer not in TRAINER_REGISTRY.registered_names():
        raise ConfigError(unknown_name("trainer", arguments.trainer, TRAINER_REGISTRY.registered_names()))
    dataset_config(arguments.dataset)
    config_file, options = config_and_options(arguments)
    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    for number, seed in enumerate(seeds, start=1):
        print(f"seed {seed} ({number} of {len(seeds)})", flush=True)
        command = [sys.executable, str(ROOT / "train.py"), "--trainer", arguments.trainer]
        command += ["--dataset", arguments.dataset, "--shots", str(arguments.shots), "--seed", str(seed)]
        command += ["--root", os.environ.get("DATA", "data"), "--config-file", str(config_file), *options]
        code = subprocess.run(command, check=False).returncode
        if code != 0:
            print(f"stopped: seed {seed} ended with exit code {code}", file=sys.stderr)
            return code
    cfg_name = config_file.stem + override_suffix(options)
    folder = output_folder(arguments.dataset, arguments.shots, arguments.trainer, cfg_name, seeds[0]).parent
    table = [sys.executable, str(ROOT / "tools" / "parse_results.py"), str(folder), "--seeds", *map(str, seeds)]
    return subprocess.run(table, check=False).returncode


def config_and_options(arguments: argparse.Namespace) -> tuple[Path, list[str]]:
    """The config file and the overrides: the first word after SHOTS is CFG if it names a config of the trainer."""
    rest = list(arguments.rest)
    if rest and rest[0] in trainer_configs(arguments.trainer):
        return trainer_config(arguments.trainer, rest[0]), rest[1:]
    if len(rest) % 2:
        raise ConfigError(unknown_name(f"config of {arguments.trainer}", rest[0], trainer_configs(arguments.trainer)))
    return default_config(TRAINER_REGISTRY.get(arguments.trainer), arguments.dataset), rest


def seed_list(text: str) -> list[int]:
    """The seeds in $SEEDS.

    Raises:
        ConfigError: there are none, or they are not whole numbers from 0 up.
    """
    words = text.replace(",", " ").split()
    if not words or not all(word.isdigit() for word in words):
        raise ConfigError(f'SEEDS must be whole numbers from 0 up, such as "1 2 3", got "{text}"')
    return [int(word) for word in words]


def shot_count(text: str) -> int:
    """SHOTS on the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 up, got {text}")
    return int(text)


def parser() -> Parser:
    made = Parser(prog="main.sh", description="several seeds of one setting, then the table over them")
    made.add_argument("--trainer", required=True, help=argparse.SUPPRESS)
    made.add_argument("dataset", metavar="DATASET", help="name of a file in configs/datasets/, such as caltech101")
    made.add_argument("shots", metavar="SHOTS", type=shot_count, help="training images a class: 1, 2, 4, 8, 16")
    made.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="[CFG] [KEY VALUE ...]", help="config name, then config overrides"
    )
    return made


if __name__ == "__main__":
    run(parser(), main)
