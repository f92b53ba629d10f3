"""One run: arguments → config → trainer → train, test.

    python train.py --trainer LAMM --dataset digits --shots 16 --seed 1

`--help` lists Dassl's flags, which work as they do there, and ours. The terminal shows a few lines; all of the rest is
in `log.txt`, and on the terminal with `--verbose`.
"""

import argparse
import time
from collections.abc import Sequence
from typing import NoReturn

from yacs.config import CfgNode

from lamm.commands import call
from lamm.commands.parser import imported_extensions
from lamm.run.arguments import train_parser


def main(arguments: argparse.Namespace) -> None:
    began = time.perf_counter()
    # Imported here so that --help is quick, and so that an engine that can't run is one line like any mistake. What the
    # user brings comes first: its folder is searched before ours.
    extensions = imported_extensions(arguments.imports)
    from lamm.datasets import register_datasets
    from lamm.run.execute import execute
    from lamm.run.plan import plan_run

    register_datasets()

    def extend_cfg(cfg: CfgNode) -> None:
        for extend in extensions:
            extend(cfg)

    execute(plan_run(arguments, extend_cfg), arguments, began)


def train(words: Sequence[str]) -> NoReturn:
    """`lamm train WORDS` in a process that `lamm sweep` has started; leaves with its exit code."""
    call("train", words)


parser = train_parser
