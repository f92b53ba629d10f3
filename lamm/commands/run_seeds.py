"""One data set at one number of shots with several seeds, then the table over them: what `scripts/*/main.sh` call.

    python tools/run_seeds.py --trainer LAMM digits 16 [CFG] [KEY VALUE ...]

Seeds come from $SEEDS (default "1 2 3"), the data root from $DATA (default "data"). Finished seeds are skipped and
broken ones resumed.
"""

import argparse
import os
import shlex
from pathlib import Path

from lamm.commands.parser import Parser, at_least
from lamm.datasets import OWN
from lamm.run.arguments import train_parser
from lamm.run.series import add_rest, config_and_pairs, exit_code, seed_list, train_words

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tools" / "parse_results.py"


def main(arguments: argparse.Namespace) -> int:
    # Imported here, so that an engine that can't run is one line like any mistake.
    import lamm_trainers

    from lamm.run.plan import plan_run

    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    config, pairs = config_and_pairs(arguments.trainer, arguments.rest)
    runs = [train_words(arguments, seed, config, pairs) for seed in seeds]
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


def parser() -> Parser:
    made = Parser(prog="main.sh", description="several seeds of one setting, then the table over them")
    made.add_argument("--trainer", required=True, help=argparse.SUPPRESS)
    made.add_argument("dataset", metavar="DATASET", help="name of a file in configs/datasets/, such as caltech101")
    made.add_argument("shots", metavar="SHOTS", type=at_least(1), help="training images a class: 1, 2, 4, 8, 16")
    add_rest(made, "[CFG] [KEY VALUE ...]", "config name, then config overrides")
    return made
