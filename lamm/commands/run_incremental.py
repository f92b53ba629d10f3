"""Class-incremental learning of one data set, with several seeds: what `scripts/*/incremental.sh` call.

    python tools/run_incremental.py --trainer LAMM digits 16 [STEPS] [CFG] [KEY VALUE ...]

The classes are cut into STEPS sets (default 2), learned one after the other. Seeds come from $SEEDS (default "1 2 3"),
the data root from $DATA (default "data"). Everything is planned, and the data are looked at, before the first step
starts. Finished steps are skipped and broken ones resumed. At the end the table is printed, and `incremental.json` and
`incremental.png` are written above the seeds.
"""

import argparse
import os
import re
import sys
from pathlib import Path

from lamm.commands.parser import Parser, at_least
from lamm.errors import ConfigError, ResultsError
from lamm.files import write_json
from lamm.incremental.results import incremental_findings
from lamm.incremental.table import as_json, draw_incremental
from lamm.results.frame import load
from lamm.run.arguments import train_parser
from lamm.run.series import add_rest, config_and_pairs, exit_code, seed_list, train_words

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tools" / "parse_results.py"
USUAL_STEPS = 2
NUMBER_LIKE = re.compile(r"[-+]?\.?\d.*")
TAKEN = {
    "INCREMENTAL.STEPS": "it is the word behind SHOTS",
    "INCREMENTAL.STEP": "all steps are run",
}


def main(arguments: argparse.Namespace) -> int:
    # Imported here, so that an engine that can't run is one line like any mistake.
    import lamm_trainers

    from lamm.datasets import register_datasets
    from lamm.run.plan import RunPlan, plan_run
    from lamm.sweep.runs import facts_of

    register_datasets()
    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    steps, rest = steps_and_rest(arguments.rest)
    config, pairs = config_and_pairs(arguments.trainer, rest)
    taken = next((key for key in pairs[::2] if key in TAKEN), None)
    if taken is not None:
        raise ConfigError(f"{taken} can't be set here: {TAKEN[taken]}")

    def words_of(seed: int, step: int) -> list[str]:
        return train_words(arguments, seed, config, [*step_pairs(steps, step), *pairs])

    def planned(words: list[str]) -> RunPlan:
        return plan_run(train_parser().parse_args(words), lamm_trainers.extend_cfg)

    # A mistake in the settings, and data that can't be cut into so many sets, show before the first run starts.
    first = planned(words_of(seeds[0], 1))
    facts_of(first)
    places = [(seed, step) for seed in seeds for step in range(1, steps + 1)]
    runs = [words_of(*place) for place in places]
    for words in runs:
        planned(words)
    for (seed, step), words in zip(places, runs, strict=True):
        print(f"seed {seed}, step {step} of {steps}", flush=True)
        code = exit_code([str(ROOT / "train.py"), *words])
        if code != 0:
            print(f"stopped: step {step} of seed {seed} ended with exit code {code}")
            return code
    above_seeds = first.output_dir.parents[2]
    write_results(above_seeds)
    return exit_code([str(TABLE), str(above_seeds), "--incremental"])


def steps_and_rest(words: list[str]) -> tuple[int, list[str]]:
    """The number of steps, and what stands behind it."""
    if not words or not NUMBER_LIKE.fullmatch(words[0]):
        return USUAL_STEPS, words
    try:
        return at_least(1)(words[0]), words[1:]
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"STEPS {error}") from error


def step_pairs(steps: int, step: int) -> list[str]:
    """KEY VALUE of one step."""
    return ["INCREMENTAL.STEPS", str(steps), "INCREMENTAL.STEP", str(step)]


def write_results(folder: Path) -> None:
    """Write what came out of all seeds below a folder into it, as JSON and as a heat map."""
    for result in incremental_findings(load(folder)).results:
        write_json(folder / "incremental.json", as_json(result))
        try:
            draw_incremental(result, folder / "incremental.png")
        except ResultsError as error:
            print(f"no heat map: {error}", file=sys.stderr)


def parser() -> Parser:
    made = Parser(prog="incremental.sh", description="learn a data set's classes set by set, with several seeds")
    made.add_argument("--trainer", required=True, help=argparse.SUPPRESS)
    made.add_argument("dataset", metavar="DATASET", help="name of a file in configs/datasets/, such as caltech101")
    made.add_argument("shots", metavar="SHOTS", type=at_least(1), help="training images a class: 1, 2, 4, 8, 16")
    meaning = "number of sets that the classes are cut into (default 2), config name, config overrides"
    add_rest(made, "[STEPS] [CFG] [KEY VALUE ...]", meaning)
    return made
