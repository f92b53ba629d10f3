"""Methods × data sets × shots × seeds, one after another or several at once, then the table of them all.

    python tools/run_grid.py                                     # every trainer on both demo data sets
    python tools/run_grid.py --trainers LAMM CoOp --datasets caltech101 --shots 16 --jobs 1

Each run is one `train.py`, so finished ones are skipped and broken ones resumed. A trainer that learns nothing runs at
the largest number of shots alone.
"""

import argparse
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from lamm.commands import Parser, run
from lamm.errors import ConfigError
from lamm.run.arguments import train_parser
from lamm.run.whole_number import at_least
from lamm.suggest import unknown_name

ROOT = Path(__file__).resolve().parents[1]
DEMO = ("digits", "shapes")
SHOTS = (1, 2, 4, 8, 16)
SEEDS = (1, 2, 3)


class Run(NamedTuple):
    """One line of train.py, and the folder that it fills."""

    words: list[str]
    folder: Path


def main(arguments: argparse.Namespace) -> int:
    runs = planned(arguments)
    failed = []
    with ThreadPoolExecutor(arguments.jobs) as pool, tqdm(total=len(runs), unit="run", disable=None) as bar:
        started = {pool.submit(train, one, threads_each(arguments.jobs)): one for one in runs}
        for count, done in enumerate(as_completed(started), start=1):
            one, code = started[done], done.result()
            bar.update()
            if bar.disable:  # not a terminal
                print(f"{count} of {len(runs)}: {one.folder}", flush=True)
            if code != 0:
                failed.append(one)
                print(f"failed with exit code {code}: train.py {' '.join(one.words)}", file=sys.stderr, flush=True)
    if len(failed) < len(runs):
        table = [sys.executable, str(ROOT / "tools" / "parse_results.py"), "--by-shots", "--seeds"]
        folders = [str(one.folder) for one in runs if one not in failed]
        subprocess.run([*table, *map(str, arguments.seeds), "--", *folders], check=False)
    return 1 if failed else 0


def planned(arguments: argparse.Namespace) -> list[Run]:
    """Every run, the longest first; all are planned before the first one starts, so that a mistake shows at once.

    Raises:
        ConfigError: an unknown trainer, or a mistake in a run's arguments.
    """
    # Imported here, so that an engine that can't run is one line like any mistake.
    import lamm_trainers

    from lamm.run.plan import plan_run

    known = {trainer.__name__: trainer for trainer in lamm_trainers.TRAINERS}
    for name in arguments.trainers or []:
        if name not in known:
            raise ConfigError(unknown_name("trainer", name, list(known)))
    runs = []
    shots = sorted(set(arguments.shots), reverse=True)
    for count, dataset, name, seed in itertools.product(
        shots, arguments.datasets, arguments.trainers or known, arguments.seeds
    ):
        if known[name].learner_class is None and count != shots[0]:
            continue
        words = ["--trainer", name, "--dataset", dataset, "--shots", str(count), "--seed", str(seed)]
        words += ["--root", str(arguments.root), *arguments.opts]
        runs.append(Run(words, Path(plan_run(train_parser().parse_args(words), lamm_trainers.extend_cfg).output_dir)))
    return runs


def train(one: Run, threads: int) -> int:
    """Run train.py to its end; its exit code. What it prints is in its own log.txt."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *one.words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no message", file=sys.stderr)
    return done.returncode


def threads_each(jobs: int) -> int:
    """Threads for each of several runs at once."""
    return max(1, (os.cpu_count() or 1) // jobs)


def parser() -> Parser:
    made = Parser(description="methods x data sets x shots x seeds, then the table of them all")
    made.add_argument("--trainers", nargs="+", metavar="TRAINER", help="default: all")
    made.add_argument("--datasets", nargs="+", default=list(DEMO), metavar="DATASET", help="default: the demo data")
    made.add_argument("--shots", nargs="+", type=at_least(1), default=list(SHOTS), help="default: 1 2 4 8 16")
    made.add_argument("--seeds", nargs="+", type=at_least(0), default=list(SEEDS), help="default: 1 2 3")
    made.add_argument("--root", type=Path, default=Path("data"), help="data root (default: data)")
    made.add_argument("--jobs", type=at_least(1), default=1, help="runs at once (default: 1)")
    made.add_argument("opts", nargs="*", metavar="KEY VALUE", help="config overrides of every run, behind --")
    return made


if __name__ == "__main__":
    run(parser(), main)
