"""Train on one data set, test on others or on classes it never saw, then the table: what the transfer scripts call.

    python tools/run_transfer.py --protocol domain_generalization --trainer LAMM shapes 16 [TARGET ...] [CFG] ...
    python tools/run_transfer.py --protocol base_to_new --trainer LAMM digits 16 [CFG] [KEY VALUE ...]
    python tools/run_transfer.py --protocol cross_dataset --trainer LAMM imagenet 16 [TARGET ...] [CFG] ...

Seeds come from $SEEDS (default "1 2 3"), the data root from $DATA (default "data"). Everything is planned, and all data
are looked for, before the first run starts. Finished trainings are skipped and broken ones resumed; evaluations are
done again.
"""

import argparse
import os
from pathlib import Path

from lamm.commands.parser import Parser, at_least
from lamm.run.series import add_rest, exit_code, seed_list
from lamm.transfer.runs import BASE_TO_NEW, PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "tools" / "parse_results.py"


def main(arguments: argparse.Namespace) -> int:
    # Imported here, so that an engine that can't run is one line like any mistake.
    import lamm_trainers

    from lamm.datasets import register_datasets
    from lamm.transfer.plan import plan_transfer, read_request

    register_datasets()
    seeds = seed_list(os.environ.get("SEEDS", "1 2 3"))
    words = (arguments.protocol, arguments.trainer, arguments.source, arguments.shots, arguments.rest)
    request, root = read_request(*words), os.environ.get("DATA") or "data"
    debug = ["--debug"] if arguments.debug else []
    plans = plan_transfer(request, seeds, root, lamm_trainers.extend_cfg, debug)
    folders = []
    for number, planned in enumerate(plans, start=1):
        steps = [("training on " + request.source, planned.words)]
        steps += [(f"testing on {evaluation.target}", evaluation.words) for evaluation in planned.evaluations]
        for what, step in steps:
            print(f"seed {planned.seed} ({number} of {len(seeds)}): {what}", flush=True)
            code = exit_code([str(ROOT / "train.py"), *step])
            if code != 0:
                print(f"stopped: {what} with seed {planned.seed} ended with exit code {code}")
                return code
        folders.append(planned.folder)
        folders += [evaluation.folder(lamm_trainers.extend_cfg) for evaluation in planned.evaluations]
    return exit_code([str(TABLE), "--transfer", *map(str, folders)])


def parser(protocol: str = "") -> Parser:
    """The command's arguments; of the script of a protocol, if one is given."""
    source, targets = "SOURCE", "[TARGET ...] "
    what, words = "train on one data set, test on others", "data sets to test on (default: the papers'), "
    if protocol == BASE_TO_NEW:
        source, targets, what, words = "DATASET", "", "train on half of the classes, test on the other half", ""
    name = f"{protocol}.sh" if protocol else "run_transfer.py"
    made = Parser(prog=name, description=f"{what}, then the table over seeds")
    made.add_argument("--protocol", required=True, choices=PROTOCOLS, help=argparse.SUPPRESS)
    made.add_argument("--trainer", required=True, help=argparse.SUPPRESS)
    made.add_argument("source", metavar=source, help="data set to train on, a name in configs/datasets/")
    made.add_argument("shots", metavar="SHOTS", type=at_least(1), help="training images a class: 1, 2, 4, 8, 16")
    add_rest(made, f"{targets}[CFG] [KEY VALUE ...]", f"{words}config name, config overrides")
    return made


def protocol_of(words: list[str]) -> str:
    """The protocol on a command line, so that --help can speak of it; empty where there is none."""
    given = [words[place + 1] for place, word in enumerate(words[:-1]) if word == "--protocol"]
    return given[0] if given and given[0] in PROTOCOLS else ""
