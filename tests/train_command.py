"""train.py inside the test's own process: the same parser, the same `main`, its outcome as three values."""

import importlib.util
import shlex
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from lamm.commands import run
from lamm.run.arguments import train_parser
from lamm.run.plan import RunPlan, plan_run

ROOT = Path(__file__).resolve().parents[1]


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


def load_script(path: str) -> ModuleType:
    """A script of the checkout as a module of its own name."""
    spec = importlib.util.spec_from_file_location(f"script_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def train(line: str) -> Outcome:
    """Run `train.py LINE`."""
    out, err, code = StringIO(), StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            run(train_parser(), load_script("train.py").main, shlex.split(line))
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.getvalue(), err.getvalue())


def plan(line: str) -> RunPlan:
    """The plan of `train.py LINE`."""
    import lamm_trainers

    return plan_run(train_parser().parse_args(shlex.split(line)), lamm_trainers.extend_cfg)
