"""Stand-ins for `lamm train`: a run that does what `--do` says at once, and one that knows train.py's own words.

They leave the same results.json, so that a sweep can't tell the difference.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from lamm.commands.parser import Parser, run
from lamm.errors import ConfigError
from lamm.results.schema import FINISHED, RESULTS_FILE, RUNNING, RunResults


def train(words: Sequence[str]) -> NoReturn:
    parser = Parser(prog="toy")
    parser.add_argument("--output-dir", type=Path, required=True)
    parser.add_argument("--do", nargs="+", default=["finish"])
    run(parser, main, words)


def train_unless_lamm(words: Sequence[str]) -> NoReturn:
    """Takes the words of train.py; fails for LAMM, and writes a result for any other trainer."""
    from lamm.run.arguments import train_parser

    def main(arguments: argparse.Namespace) -> None:
        if arguments.trainer == "LAMM":
            raise RuntimeError("broken")
        write(Path(arguments.output_dir), FINISHED)

    run(train_parser(), main, words)


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


def write(folder: Path, status: str, seconds: float | None = 1.0, peak: float | None = None) -> None:
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
        seconds_train=seconds,
        peak_memory_mb=peak,
    ).write(folder / RESULTS_FILE)
