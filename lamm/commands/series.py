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
from contextlib import suppress

from tqdm import tqdm

from lamm.commands import call, importing
from lamm.commands.parser import INTERRUPTED, SCRIPT_VARIABLE, Parser, at_least, data_root
from lamm.datasets import OWN, register_datasets
from lamm.errors import ConfigError, LammError, unknown_name
from lamm.files import write_json
from lamm.numbers import SEEDS
from lamm.run import IMPORTED_ONCE
from lamm.run.arguments import KEY, PROFILE_HELP, TAG_HELP, require_no_folder, train_parser
from lamm.run.before import require_weights
from lamm.run.plan import RunPlan, plan_run, trainer_config, trainer_configs
from lamm.sweep.runs import require_data
from lamm.transfer import BASE_TO_NEW, PROTOCOLS
from lamm.transfer import plan as transfer

METHODS = {
    "zeroshot": "ZeroshotCLIP",
    "linear_probe": "LinearProbe",
    "tip_adapter": "TipAdapter",
    "tip_adapter_f": "TipAdapterF",
    "gda": "GDA",
    "nearest_mean": "NearestMean",
    "ranpac": "RanPAC",
    "coop": "CoOp",
    "cocoop": "CoCoOp",
    "maple": "MaPLe",
    "kgcoop": "KgCoOp",
    "promptsrc": "PromptSRC",
    "lamm": "LAMM",
    "coop_lamm": "CoOp_LAMM",
    "cocoop_lamm": "CoCoOp_LAMM",
    "maple_lamm": "MaPLe_LAMM",
    "lamm_gda": "LAMM_GDA",
    "top_lamm": "TopLAMM",
    "top_lamm_gda": "TopLAMM_GDA",
    "clip_lora": "CLIPLoRA",
    "kgcoop_lamm": "KgCoOp_LAMM",
    "promptsrc_lamm": "PromptSRC_LAMM",
}
"""Folder in scripts/ → trainer."""

USUAL_STEPS = 2
NUMBER_LIKE = re.compile(r"[-+]?\.?\d.*")
OF_STEPS = {"INCREMENTAL.STEPS": "it is the word behind SHOTS", "INCREMENTAL.STEP": "all steps are run"}
"""Keys that the incremental protocol sets itself → why."""

# A fork of a process with Apple's frameworks in it may crash.
FORKS = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
SECONDS_TO_END = 5.0

Run = tuple[str, Sequence[str]]
"""What the terminal shows when a run begins, and the command line of train.py."""

Plan = tuple[list[Run], Callable[[], int]]
"""The runs, and what prints the table over them and returns its exit code."""


def main(arguments: argparse.Namespace) -> int:
    tqdm.monitor_interval = 0  # its thread could hold a lock at the moment of a fork
    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    require_no_folder(arguments.rest)
    register_datasets()
    plan = {"main": plan_main, "incremental": plan_incremental}.get(arguments.protocol, plan_transfer)
    runs, table = plan(arguments, seeds)
    with importing():
        for module in IMPORTED_ONCE if FORKS else ():
            importlib.import_module(module)
    for label, words in runs:
        print(label, flush=True)
        code = exit_code(words, is_last=words is runs[-1][1])
        if code != 0:
            print(f"stopped: {label} ended with exit code {code}")
            return code
    return table()


def plan_main(arguments: argparse.Namespace, seeds: list[int]) -> Plan:
    """A run per seed."""
    config, pairs = config_and_pairs(arguments.method, arguments.rest)
    runs: list[Run] = [
        (f"seed {seed} ({number} of {len(seeds)})", train_words(arguments, seed, config, pairs))
        for number, seed in enumerate(seeds, start=1)
    ]
    plans = [planned(words) for _, words in runs]
    for one in plans:
        require_weights(one)
    folders = [str(one.output_dir) for one in plans]

    def table() -> int:
        from lamm.commands import parse_results  # here and below: tables take pandas

        if arguments.dataset in OWN:
            print(f"to classify photos: lamm predict {shlex.quote(folders[0])} PHOTOS", flush=True)
        words = [*folders, "--seeds", *map(str, seeds)]
        return parse_results.main(parse_results.parser().parse_args(words))

    return runs, table


def plan_incremental(arguments: argparse.Namespace, seeds: list[int]) -> Plan:
    """The classes are cut into sets, which are learned one after the other; a run per seed and set."""
    steps, rest = USUAL_STEPS, arguments.rest
    if rest and NUMBER_LIKE.fullmatch(rest[0]):
        try:
            steps, rest = at_least(1)(rest[0]), rest[1:]
        except argparse.ArgumentTypeError as error:
            raise ConfigError(f"STEPS {error}") from error
    config, pairs = config_and_pairs(arguments.method, rest)
    taken = next((key for key in pairs[::2] if key in OF_STEPS), None)
    if taken is not None:
        raise ConfigError(f"{taken} can't be set here: {OF_STEPS[taken]}")

    def run_of(seed: int, step: int) -> Run:
        keys = ["INCREMENTAL.STEPS", str(steps), "INCREMENTAL.STEP", str(step)]
        label = f"seed {seed}, step {step} of {steps}"
        return label, train_words(arguments, seed, config, [*keys, *pairs])

    # Data that can't be cut into so many sets are refused before a plan is made for each of these.
    first = planned(run_of(seeds[0], 1)[1])
    require_weights(first)
    require_data(first)
    runs = [run_of(seed, step) for seed in seeds for step in range(1, steps + 1)]
    for _, words in runs:
        planned(words)
    above_seeds = first.output_dir.parents[1]

    def table() -> int:
        from lamm.commands import parse_results
        from lamm.incremental.results import incremental_findings
        from lamm.incremental.table import as_json, draw_incremental
        from lamm.results.frame import load

        for result in incremental_findings(load(above_seeds)).results:
            write_json(above_seeds / "incremental.json", as_json(result))
            try:
                draw_incremental(result, above_seeds / "incremental.png")
            except LammError as error:
                print(f"no heat map: {error}", file=sys.stderr)
        return parse_results.main(parse_results.parser().parse_args([str(above_seeds), "--incremental"]))

    return runs, table


def plan_transfer(arguments: argparse.Namespace, seeds: list[int]) -> Plan:
    """Train on one data set, test on others, or on classes that were not trained; per seed a run and its tests."""
    from lamm_trainers import extend_cfg

    request = transfer.read_request(
        arguments.protocol, arguments.method, arguments.dataset, arguments.shots, arguments.rest
    )
    runs = transfer.plan_transfer(request, seeds, data_root(), extend_cfg, shared_flags(arguments))

    def table() -> int:
        from lamm.commands import parse_results

        words = ["--transfer", *(str(planned(run_words).output_dir) for _, run_words in runs)]
        return parse_results.main(parse_results.parser().parse_args(words))

    return runs, table


def seed_list(text: str) -> list[int]:
    """The seeds in $SEEDS.

    Raises:
        ConfigError: there are none, one comes twice, or they are not whole numbers from 0 up.
    """
    words = text.replace(",", " ").split()
    try:
        seeds = [SEEDS(word) for word in words]
    except argparse.ArgumentTypeError as error:
        raise ConfigError(f'SEEDS must be like "1 2 3": each {error}') from error
    if not seeds:
        raise ConfigError('SEEDS must be whole numbers from 0 up, such as "1 2 3"')
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f'SEEDS must name each seed once, got "{text}"')
    return seeds


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


def shared_flags(arguments: argparse.Namespace) -> list[str]:
    """The flags of this command that each run gets too."""
    flags = [f"--{name}" for name in ("debug", "verbose", "profile") if getattr(arguments, name)]
    return [*flags, "--tag", arguments.tag] if arguments.tag else flags


def train_words(arguments: argparse.Namespace, seed: int, config: list[str], pairs: list[str]) -> list[str]:
    """The command line of train.py for one seed."""
    words = ["--trainer", arguments.method, "--dataset", arguments.dataset, "--shots", str(arguments.shots)]
    return [*words, "--seed", str(seed), "--root", data_root(), *config, *shared_flags(arguments), *pairs]


def planned(words: Sequence[str]) -> RunPlan:
    """The plan of `train.py WORDS`."""
    import lamm_trainers

    return plan_run(train_parser().parse_args(list(words)), lamm_trainers.extend_cfg)


def exit_code(words: Sequence[str], is_last: bool = False) -> int:
    """Run `train.py WORDS` in a process of its own; if it is killed, 128 + the signal, as in a shell.

    The process is forked from this one, which has imported everything and computed nothing: no tensor, no GPU and no
    thread of torch is in it that a fork would break. Where there is no fork, a fresh interpreter is started.

    Args:
        words: the command line.
        is_last: the table comes next; what it takes is imported while the run is under way.
    """
    sys.stdout.flush()
    if not FORKS:
        command = [sys.executable, "-m", "lamm.commands", "train", *words]
        code = subprocess.run(command, check=False).returncode
    else:
        process = multiprocessing.get_context("fork").Process(target=call, args=("train", words))
        process.start()
        try:
            if is_last:  # the run starts in one thread; what is missing, the table will say
                with suppress(ImportError):
                    importlib.import_module("lamm.commands.parse_results")
            process.join()
        except KeyboardInterrupt:
            try:  # a terminal has told the run too; other senders of SIGINT may not have
                process.join(SECONDS_TO_END)
                if process.is_alive() and process.pid is not None:
                    os.kill(process.pid, signal.SIGINT)
                    process.join(SECONDS_TO_END)
            finally:
                process.kill()
                process.join()
            raise SystemExit(INTERRUPTED) from None
        code = process.exitcode or 0
    return code if code >= 0 else 128 - code


def method(text: str) -> str:
    """The trainer of a method, as a parser's type."""
    if text not in METHODS:
        raise argparse.ArgumentTypeError(unknown_name("method", text, METHODS))
    return METHODS[text]


def parser() -> Parser:
    """The command's arguments."""
    script = os.environ.get(SCRIPT_VARIABLE)
    top = Parser(description="Run a method's experiment: several runs, then the table of their results.")
    top.add_argument("method", metavar="METHOD", type=method, help=", ".join(METHODS))
    protocols = top.add_subparsers(dest="protocol", metavar="PROTOCOL", required=True, parser_class=Parser)
    verbose = "show all of each run's log.txt on the terminal"
    top.add_argument("--verbose", action="store_true", help=verbose)
    top.add_argument("--profile", action="store_true", help=PROFILE_HELP)
    top.add_argument("--tag", default="", metavar="NAME", help=TAG_HELP)
    meanings = {
        "main": "train and test with several seeds",
        "incremental": "learn a data set's classes set by set, with several seeds",
        BASE_TO_NEW: "train on half of the classes, test on the other half",
        **{name: "train on one data set, test on others" for name in PROTOCOLS if name != BASE_TO_NEW},
    }
    for name, meaning in meanings.items():
        protocol = protocols.add_parser(
            name,
            prog=script if script == f"{name}.sh" else None,
            help=meaning,
            description=f"{meaning[0].upper()}{meaning[1:]}. Then print the table over seeds.",
            epilog='Seeds come from $SEEDS (default "1 2 3"), the data root from $DATA (default "data").',
            argument_default=argparse.SUPPRESS,
        )
        words, meaning = "[CFG] [KEY VALUE ...]", "name of a config of the method, then config overrides"
        dataset = "DATASET"
        if name == "incremental":
            words = f"[STEPS] {words}"
            meaning = f"number of sets that the classes are cut into (default {USUAL_STEPS}), {meaning}"
        elif name in PROTOCOLS and name != BASE_TO_NEW:
            dataset, words = "SOURCE", f"[TARGET ...] {words}"
            meaning = f"data sets to test on (default: those of the papers), {meaning}"
        protocol.add_argument("dataset", metavar=dataset, help="name of a file in configs/datasets, such as caltech101")
        protocol.add_argument("shots", metavar="SHOTS", type=at_least(1), help="training images per class, such as 16")
        rest = protocol.add_argument("rest", nargs=argparse.REMAINDER, metavar=words, help=meaning)
        rest.required = False  # argparse counts it among what is missing when the words before it are
        protocol.add_argument("--verbose", action="store_true", help=verbose)
        protocol.add_argument("--profile", action="store_true", help=PROFILE_HELP)
        protocol.add_argument("--tag", metavar="NAME", help=TAG_HELP)
    return top
