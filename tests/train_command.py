"""Commands inside the test's own process: the same parser, the same `main`, the outcome as three values."""

import importlib
import shlex
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from lamm.commands import parser
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


def call_tool(name: str, *words: object) -> "subprocess.CompletedProcess[str]":
    """What `python tools/NAME.py WORDS` would give, without the process."""
    out, err, code = StringIO(), StringIO(), 0
    module = command_module(name)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            parser.run(module.parser(), module.main, list(map(str, words)))
        except SystemExit as stop:
            code = int(stop.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def train(line: str | list[str]) -> Outcome:
    """Run `train.py LINE`, or its words."""
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            run(train_parser(), command_module("train").main, words_of(line))
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def plan(line: str | list[str]) -> RunPlan:
    """The plan of `train.py LINE`, or of its words."""
    import lamm_trainers

    return plan_run(train_parser().parse_args(words_of(line)), lamm_trainers.extend_cfg)


def words_of(line: str | list[str]) -> list[str]:
    """The words of a command line."""
    return shlex.split(line) if isinstance(line, str) else line
