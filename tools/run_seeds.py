"""One data set at one number of shots with several seeds, then the table over them: what `scripts/*/main.sh` call.

    python tools/run_seeds.py --trainer LAMM digits 16 [CFG] [KEY VALUE ...]

Seeds come from $SEEDS (default "1 2 3"), the data root from $DATA (default "data"). Finished seeds are skipped and
broken ones resumed.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from lamm.commands import Parser, run
from lamm.datasets import OWN
from lamm.errors import ConfigError
from lamm.run.arguments import train_parser
from lamm.run.config_files import trainer_config, trainer_configs
from lamm.run.settings import KEY
from lamm.run.whole_number import at_least
from lamm.suggest import unknown_name

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tools" / "parse_results.py"


def main(arguments: argparse.Namespace) -> int:
    # Imported here, so that an engine that can't run is one line like any mistake.
    import lamm_trainers

    from lamm.run.plan import plan_run

    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    runs = [train_arguments(arguments, seed) for seed in seeds]
    # All runs are planned before the first one starts: a mistake shows at once.
    plans = [plan_run(train_parser().parse_args(words), lamm_trainers.extend_cfg) for words in runs]
    for number, (seed, words) in enumerate(zip(seeds, runs, strict=True), start=1):
        print(f"seed {seed} ({number} of {len(seeds)})", flush=True)
        code = exit_code([str(ROOT / "train.py"), *words])
        if code != 0:
            print(f"stopped: seed {seed} ended with exit code {code}")
            return code
    if arguments.dataset in OWN:
        print(f"to classify photos: python tools/predict.py {shlex.quote(str(plans[0].output_dir))} PHOTOS", flush=True)
    return exit_code([str(TABLE), *(str(plan.output_dir) for plan in plans), "--seeds", *map(str, seeds)])


def train_arguments(arguments: argparse.Namespace, seed: int) -> list[str]:
    """The command line of train.py for one seed.

    Raises:
        ConfigError: the word behind SHOTS is neither a config of the trainer nor a config key.
    """
    rest, config = list(arguments.rest), []
    if rest and rest[0] in trainer_configs(arguments.trainer):
        config = ["--config-file", str(trainer_config(arguments.trainer, rest.pop(0)))]
    elif rest and not KEY.fullmatch(rest[0]):
        raise ConfigError(unknown_name(f"config of {arguments.trainer}", rest[0], trainer_configs(arguments.trainer)))
    words = ["--trainer", arguments.trainer, "--dataset", arguments.dataset, "--shots", str(arguments.shots)]
    root = os.environ.get("DATA") or "data"
    debug = ["--debug"] if arguments.debug else []
    return [*words, "--seed", str(seed), "--root", root, *config, *debug, *rest]


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


def parser() -> Parser:
    made = Parser(prog="main.sh", description="several seeds of one setting, then the table over them")
    made.add_argument("--trainer", required=True, help=argparse.SUPPRESS)
    made.add_argument("dataset", metavar="DATASET", help="name of a file in configs/datasets/, such as caltech101")
    made.add_argument("shots", metavar="SHOTS", type=at_least(1), help="training images a class: 1, 2, 4, 8, 16")
    made.add_argument(
        "rest", nargs=argparse.REMAINDER, metavar="[CFG] [KEY VALUE ...]", help="config name, then config overrides"
    )
    return made


if __name__ == "__main__":
    run(parser(), main)
