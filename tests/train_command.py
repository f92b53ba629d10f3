"""train.py inside the test's own process: the same parser, the same `main`, its outcome as three values."""

import importlib
import shlex
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from lamm.parallel.command import run
from lamm.run.arguments import train_parser
from lamm.run.plan import RunPlan, plan_run

ROOT = Path(__file__).resolve().parents[1]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def command_module(name: str) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(f"lamm.commands.{name}")


def train(line: str) -> Outcome:
    """Run `train.py LINE`."""
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            run(train_parser(), command_module("train").main, shlex.split(line))
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def plan(line: str) -> RunPlan:
    """The plan of `train.py LINE`."""
    import lamm_trainers

    return plan_run(train_parser().parse_args(shlex.split(line)), lamm_trainers.extend_cfg)
