"""A stand-in for train.py: the same halves of a command, and a run that does what `--do` says at once.

It leaves the same results.json, so that a sweep can't tell the difference.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lamm.commands.parser import Parser, run
from lamm.errors import ConfigError
from lamm.results.schema import FINISHED, RESULTS_FILE, RUNNING, RunResults

__all__ = ["main", "run", "train_parser"]


def train_parser() -> Parser:
    parser = Parser(prog="toy_train.py")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--do", nargs="+", default=["finish"])
    return parser


def main(arguments: argparse.Namespace) -> None:
    folder, (deed, *rest) = arguments.output_dir, arguments.do
    write(folder, RUNNING)
    print(f"process {os.getpid()} of {os.getppid()}, threads {os.environ.get('OMP_NUM_THREADS')}")
    print(f"GPU {os.environ.get('CUDA_VISIBLE_DEVICES')}, in {os.getcwd()}", flush=True)
    if deed == "mistake":
        raise ConfigError("no such thing: take another")
    if deed == "crash":
        raise RuntimeError("the loss is not a number")
    if deed == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "die-once" and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if deed == "sleep":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (folder / "pids").write_text(f"{os.getpid()} {child.pid} {os.getppid()}")
        time.sleep(float(rest[0]))
    if deed != "leave":
        write(folder, FINISHED)


def write(folder: Path, status: str) -> None:
    RunResults(
        trainer="Toy",
        dataset="toys",
        shots=1,
        seed=1,
        cfg="toy",
        protocol="few-shot",
        split="test",
        precision="fp32",
        config_hash="0" * 16,
        status=status,
        metrics={"accuracy": 50.0, "error_rate": 50.0, "macro_f1": 50.0} if status == FINISHED else {},
        seconds_train=1.0,
    ).write(folder / RESULTS_FILE)


if __name__ == "__main__":
    run(train_parser(), main)
