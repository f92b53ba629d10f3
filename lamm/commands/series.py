"""A method's experiment: several runs from one command line, then the table over them.

    lamm run lamm main digits 16 [CFG] [KEY VALUE ...]
    lamm run lamm incremental digits 16 [STEPS] [CFG] [KEY VALUE ...]
    lamm run lamm base_to_new digits 16 [CFG] [KEY VALUE ...]
    lamm run lamm cross_dataset imagenet 16 [TARGET ...] [CFG] [KEY VALUE ...]
    lamm run lamm domain_generalization shapes 16 [TARGET ...] [CFG] [KEY VALUE ...]

`bash scripts/lamm/main.sh digits 16 …` is the same. Seeds come from $SEEDS (default "1 2 3"), the data root from $DATA
(default "data"). Everything is planned before the first run starts, and for all protocols but `main` the data are
looked at. Finished runs are skipped and broken ones resumed; evaluations are done again.
"""

import argparse
import importlib
import multiprocessing
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from lamm.commands import call, parse_results
from lamm.commands.parser import INTERRUPTED, Parser, at_least
from lamm.datasets import OWN, register_datasets
from lamm.errors import ConfigError, ResultsError, unknown_name
from lamm.files import write_json
from lamm.incremental.results import incremental_findings
from lamm.incremental.table import as_json, draw_incremental
from lamm.results import load
from lamm.run.arguments import train_parser
from lamm.run.series import Run, config_and_pairs, data_root, require_no_folder, seed_list
from lamm.transfer.runs import BASE_TO_NEW, PROTOCOLS

if TYPE_CHECKING:
    from lamm.run.plan import RunPlan

METHODS = {
    "zeroshot": "ZeroshotCLIP",
    "coop": "CoOp",
    "cocoop": "CoCoOp",
    "maple": "MaPLe",
    "lamm": "LAMM",
    "coop_lamm": "CoOp_LAMM",
    "cocoop_lamm": "CoCoOp_LAMM",
    "maple_lamm": "MaPLe_LAMM",
}
"""Folder in scripts/ → trainer."""

USUAL_STEPS = 2
NUMBER_LIKE = re.compile(r"[-+]?\.?\d.*")
OF_STEPS = {"INCREMENTAL.STEPS": "it is the word behind SHOTS", "INCREMENTAL.STEP": "all steps are run"}
"""Keys that the incremental protocol sets itself → why."""

IMPORTED_ONCE = ("lamm.run.execute", "open_clip", "torch.utils.tensorboard")
"""What every run imports besides the trainers."""

# A fork of a process with Apple's frameworks in it may crash.
FORKS = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
SECONDS_TO_END = 5.0

Plan = tuple[list[Run], Callable[[], int]]
"""The runs, and what prints the table over them and returns its exit code."""


def main(arguments: argparse.Namespace) -> int:
    tqdm.monitor_interval = 0  # its thread could hold a lock at the moment of a fork
    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    require_no_folder(arguments.rest)
    register_datasets()
    plan = {"main": plan_main, "incremental": plan_incremental}.get(arguments.protocol, plan_transfer)
    runs, table = plan(arguments, seeds)
    for module in IMPORTED_ONCE if FORKS else ():
        importlib.import_module(module)
    for run in runs:
        print(run.label, flush=True)
        code = exit_code(run.words)
        if code != 0:
            print(f"stopped: {run.label} ended with exit code {code}")
            return code
    return table()


def plan_main(arguments: argparse.Namespace, seeds: list[int]) -> Plan:
    """A run per seed."""
    config, pairs = config_and_pairs(arguments.method, arguments.rest)
    runs = [
        Run(f"seed {seed} ({number} of {len(seeds)})", train_words(arguments, seed, config, pairs))
        for number, seed in enumerate(seeds, start=1)
    ]
    folders = [str(planned(run.words).output_dir) for run in runs]

    def table() -> int:
        if arguments.dataset in OWN:
            program = "python tools/predict.py" if called_by_script() else "lamm predict"
            print(f"to classify photos: {program} {shlex.quote(folders[0])} PHOTOS", flush=True)
        words = [*folders, "--seeds", *map(str, seeds)]
        return parse_results.main(parse_results.parser().parse_args(words))

    return runs, table


def plan_incremental(arguments: argparse.Namespace, seeds: list[int]) -> Plan:
    """The classes are cut into sets, which are learned one after the other; a run per seed and set."""
    from lamm.sweep.runs import require_data

    steps, rest = steps_and_rest(arguments.rest)
    config, pairs = config_and_pairs(arguments.method, rest)
    taken = next((key for key in pairs[::2] if key in OF_STEPS), None)
    if taken is not None:
        raise ConfigError(f"{taken} can't be set here: {OF_STEPS[taken]}")

    def run_of(seed: int, step: int) -> Run:
        keys = ["INCREMENTAL.STEPS", str(steps), "INCREMENTAL.STEP", str(step)]
        label = f"seed {seed}, step {step} of {steps}"
        return Run(label, train_words(arguments, seed, config, [*keys, *pairs]))

    # Data that can't be cut into so many sets are refused before a plan is made for each of these.
    first = planned(run_of(seeds[0], 1).words)
    require_data(first)
    runs = [run_of(seed, step) for seed in seeds for step in range(1, steps + 1)]
    for run in runs:
        planned(run.words)
    above_seeds = first.output_dir.parents[1]

    def table() -> int:
        for result in incremental_findings(load(above_seeds)).results:
            write_json(above_seeds / "incremental.json", as_json(result))
            try:
                draw_incremental(result, above_seeds / "incremental.png")
            except ResultsError as error:
                print(f"no heat map: {error}", file=sys.stderr)
        return parse_results.main(parse_results.parser().parse_args([str(above_seeds), "--incremental"]))

    return runs, table


def plan_transfer(arguments: argparse.Namespace, seeds: list[int]) -> Plan:
    """Train on one data set, test on others, or on classes that were not trained; per seed a run and its tests."""
    from lamm.transfer import plan as transfer

    request = transfer.read_request(
        arguments.protocol, arguments.method, arguments.dataset, arguments.shots, arguments.rest
    )
    runs = transfer.plan_transfer(request, seeds, data_root(), trainers_extend_cfg(), shared_flags(arguments))

    def table() -> int:
        words = ["--transfer", *(str(planned(run.words).output_dir) for run in runs)]
        return parse_results.main(parse_results.parser().parse_args(words))

    return runs, table


def steps_and_rest(words: list[str]) -> tuple[int, list[str]]:
    """The number of steps, and what stands behind it."""
    if not words or not NUMBER_LIKE.fullmatch(words[0]):
        return USUAL_STEPS, words
    try:
        return at_least(1)(words[0]), words[1:]
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f"STEPS {error}") from error


def shared_flags(arguments: argparse.Namespace) -> list[str]:
    """The flags of this command that each run gets too."""
    return [f"--{name}" for name in ("debug", "verbose") if getattr(arguments, name)]


def train_words(arguments: argparse.Namespace, seed: int, config: list[str], pairs: list[str]) -> list[str]:
    """The command line of train.py for one seed."""
    words = ["--trainer", arguments.method, "--dataset", arguments.dataset, "--shots", str(arguments.shots)]
    return [*words, "--seed", str(seed), "--root", data_root(), *config, *shared_flags(arguments), *pairs]


def trainers_extend_cfg() -> Callable[..., None]:
    """What adds our trainers' config keys; imported late, so that an engine that can't run is one line."""
    import lamm_trainers

    extend_cfg: Callable[..., None] = lamm_trainers.extend_cfg
    return extend_cfg


def planned(words: Sequence[str]) -> "RunPlan":
    """The plan of `train.py WORDS`."""
    from lamm.run.plan import plan_run

    return plan_run(train_parser().parse_args(list(words)), trainers_extend_cfg())


def exit_code(words: Sequence[str]) -> int:
    """Run `train.py WORDS` in a process of its own; if it is killed, 128 + the signal, as in a shell.

    The process is forked from this one, which has imported everything and computed nothing: no tensor, no GPU and no
    thread of torch is in it that a fork would break. Where there is no fork, a fresh interpreter is started.
    """
    sys.stdout.flush()
    if not FORKS:
        command = [sys.executable, "-m", "lamm.commands", "train", *words]
        code = subprocess.run(command, check=False).returncode
    else:
        process = multiprocessing.get_context("fork").Process(target=call, args=("train", words))
        process.start()
        try:
            process.join()
        except KeyboardInterrupt:
            end(process)
            raise SystemExit(INTERRUPTED) from None
        code = process.exitcode or 0
    return code if code >= 0 else 128 - code


def end(process: BaseProcess) -> None:
    """End an interrupted run: a terminal has told it too, other senders of SIGINT may not have."""
    assert process.pid is not None, "it was started"
    try:
        process.join(SECONDS_TO_END)
        if process.is_alive():
            os.kill(process.pid, signal.SIGINT)
            process.join(SECONDS_TO_END)
    finally:
        process.kill()
        process.join()


def called_by_script() -> bool:
    """Whether scripts/run.sh started this command, by way of tools/run.py."""
    return Path(sys.argv[0]).name == "run.py"


def method(text: str) -> str:
    """The trainer of a method, as a parser's type."""
    if text not in METHODS:
        raise argparse.ArgumentTypeError(unknown_name("method", text, METHODS))
    return METHODS[text]


def parser() -> Parser:
    top = Parser(description="a method's experiment: several runs, then the table over them")
    top.add_argument("method", metavar="METHOD", type=method, help=", ".join(METHODS))
    protocols = top.add_subparsers(dest="protocol", metavar="PROTOCOL", required=True, parser_class=Parser)
    what = {
        "main": "several seeds of one setting",
        "incremental": "learn a data set's classes set by set, with several seeds",
        BASE_TO_NEW: "train on half of the classes, test on the other half",
        **{name: "train on one data set, test on others" for name in PROTOCOLS if name != BASE_TO_NEW},
    }
    top.add_argument("--verbose", action="store_true", help="show all of each run's log.txt on the terminal")
    for name, meaning in what.items():
        transfers = name in PROTOCOLS and name != BASE_TO_NEW
        protocol = protocols.add_parser(
            name,
            prog=f"{name}.sh" if called_by_script() else None,
            help=meaning,
            description=f"{meaning}, then the table over seeds",
            argument_default=argparse.SUPPRESS,
        )
        dataset = "SOURCE" if transfers else "DATASET"
        protocol.add_argument(
            "dataset", metavar=dataset, help="name of a file in configs/datasets/, such as caltech101"
        )
        protocol.add_argument(
            "shots", metavar="SHOTS", type=at_least(1), help="training images per class: 1, 2, 4, 8, 16"
        )
        words, meaning = "[CFG] [KEY VALUE ...]", "config name, then config overrides"
        if name == "incremental":
            words = f"[STEPS] {words}"
            meaning = f"number of sets that the classes are cut into (default {USUAL_STEPS}), {meaning}"
        if transfers:
            words, meaning = f"[TARGET ...] {words}", f"data sets to test on (default: the papers'), {meaning}"
        rest = protocol.add_argument("rest", nargs=argparse.REMAINDER, metavar=words, help=meaning)
        rest.required = False  # argparse counts it among what is missing when the words before it are
        protocol.add_argument("--verbose", action="store_true", help="show all of each run's log.txt on the terminal")
    return top
