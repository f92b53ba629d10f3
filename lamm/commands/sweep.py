"""A whole benchmark as one job: trainers × data sets × shots × seeds, several at once, then the table of them all.

    lamm sweep                                          # configs/sweeps/demo.yaml
    lamm sweep paper --dry-run                          # what would run, and how long it is expected to take
    lamm sweep --trainers LAMM CoOp --datasets caltech101 --shots 16 -- OPTIM.MAX_EPOCH 10
    lamm sweep paper --slurm --slurm-partition gpu      # the same as a Slurm job array

Each run is one `train.py` in a process of its own. Everything is planned before the first one starts. Finished runs are
skipped, broken ones resumed, those that died tried again; after a kill, the same command goes on where it stopped.

Exit code 0: all runs are finished. 1: some failed (listed on stderr). 2: a mistake, before anything ran. 130: Ctrl-C.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from lamm.commands.parser import (
    INTERRUPTED,
    USER_ERROR,
    Parser,
    add_import_argument,
    add_root_argument,
    at_least,
    imported_extensions,
)
from lamm.datasets import register_datasets
from lamm.errors import ConfigError, LammError
from lamm.numbers import PROCESSES, SEEDS
from lamm.sweep.grid import LISTS, Grid, grid_file, override_pairs, read_grid
from lamm.sweep.machine import Machine, this_machine
from lamm.sweep.pools import VISIBLE, import_ray, local_pool, ray_at, ray_here, ray_pool
from lamm.sweep.runs import SweepRun, largest_peak, left_to_do, prepare
from lamm.sweep.schedule import Progress, carry_out_all, duration, overview, summary
from lamm.sweep.slurm import MAX_TASKS, RunList, submit, write_array
from lamm.sweep.worker import TRAIN

LOCAL = "local"


class SweepParser(Parser):
    """A parser that takes everything behind `--` as KEY VALUE."""

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """The arguments; `opts` are the words behind `--`."""
        words = list(sys.argv[1:] if args is None else args)
        cut = words.index("--") if "--" in words else len(words)
        parsed = super().parse_args(words[:cut], namespace)
        parsed.opts = words[cut + 1 :]
        return parsed


def parser() -> Parser:
    """The command's arguments."""
    parser = SweepParser(
        description="Run trainers x data sets x shots x seeds as one job, then print the table of all runs.",
        usage="%(prog)s [GRID] [options] [-- KEY VALUE ...]",
        epilog="KEY VALUE behind -- are config overrides of every run.",
    )
    add, count, whole = parser.add_argument_group("what to run").add_argument, at_least(1), at_least(0)
    grid = "grid file, or its name in configs/sweeps (default: %(default)s); the flags below replace its lists"
    add("grid", nargs="?", default="demo", metavar="GRID", help=grid)
    add("--trainers", nargs="+", metavar="TRAINER", help="names, or TRAINER/CFG for one of the trainer's configs")
    add("--datasets", nargs="+", metavar="DATASET", help="names of files in configs/datasets")
    add("--shots", nargs="+", type=count, metavar="N", help="training images per class")
    add("--seeds", nargs="+", type=SEEDS, metavar="SEED", help="seeds; each is a run of its own")
    add("--quick", action="store_true", help="run the first seed only")
    add("--variants", nargs="+", metavar="NAME", help="run only these variants of the grid file")

    places = parser.add_argument_group("where and how")
    add_root_argument(places)
    add = places.add_argument
    add("--output", type=Path, default=Path("output"), metavar="DIR", help="folder of the runs (default: output)")
    add("--jobs", type=PROCESSES, metavar="N", help="runs at a time (default: as many as fit)")
    add("--threads", type=PROCESSES, metavar="N", help="threads per run (default: its share of the cores)")
    add("--retries", type=whole, default=1, metavar="N", help="new tries of a run that died (default: 1)")
    add("--address", default="", metavar="HOST:PORT", help="run on this Ray cluster; local: start Ray on this machine")
    add("--dry-run", action="store_true", help="show the runs and the time they are expected to take, and run nothing")
    add_import_argument(places, "code of further trainers")

    add = parser.add_argument_group("as a Slurm job array").add_argument
    add("--slurm", action="store_true", help="submit the unfinished runs, then exit")
    add("--slurm-dry-run", action="store_true", help="write the list of runs and the batch script, submit nothing")
    add("--slurm-folder", type=Path, metavar="DIR", help="folder of list, script and logs (default: in --output)")
    add("--slurm-partition", default="", metavar="NAME", help="default: the cluster's")
    add("--slurm-minutes", type=count, metavar="N", help="time limit per task (default: 3 x the expected time)")
    add("--slurm-gpus", type=whole, default=1, metavar="N", help="GPUs per task (default: 1)")
    add("--slurm-tasks", type=count, metavar="N", help="number of tasks that share the runs (default: a task per run)")
    add("--slurm-parallel", type=count, default=64, metavar="N", help="tasks at a time, at most (default: 64)")
    add("--slurm-set", nargs="+", default=[], metavar="NAME=VALUE", help="further flags of sbatch")
    add("--runs", type=Path, metavar="FILE", help="the list of runs; only a task of the array sets it")
    add("--run-index", type=whole, metavar="K", help="the part of the list to run; only a task of the array sets it")
    return parser


def main(arguments: argparse.Namespace) -> int:
    check(arguments)
    if arguments.runs is not None:
        return carry_out_part(arguments)
    runs, problems = prepared_runs(arguments)
    if arguments.dry_run:
        return dry_run(runs, problems, arguments)
    if problems:
        more = f" (and {len(problems) - 1} more: --dry-run lists them)" if len(problems) > 1 else ""
        raise ConfigError(f"{problems[0]}{more}")
    if arguments.slurm or arguments.slurm_dry_run:
        return slurm(runs, arguments)
    return carry_out(runs, arguments)


def check(arguments: argparse.Namespace) -> None:
    """Refuse flags that don't go together, and what is not installed, before anything takes time."""
    if (arguments.runs is None) != (arguments.run_index is None):
        raise ConfigError("--runs and --run-index go together: a file, and which of its parts")
    if arguments.address:
        if arguments.jobs and arguments.address != LOCAL:
            raise ConfigError("--jobs is for this machine; on the cluster at --address as many runs as fit go at once")
        import_ray()


def prepared_runs(arguments: argparse.Namespace) -> tuple[list[SweepRun], list[str]]:
    """Everything that can be known before the first run starts; see `lamm.sweep.runs.prepare`."""
    if arguments.dry_run:
        os.environ["HF_HUB_OFFLINE"] = "1"  # weights are looked for on this machine alone
    extensions = imported_extensions(arguments.imports, to_plan=arguments.dry_run)
    register_datasets()

    def extend_cfg(cfg: CfgNode) -> None:
        for extend in extensions:
            extend(cfg)

    root, output = (Path(os.path.expanduser(folder)) for folder in (arguments.root, arguments.output))
    return prepare(grid_of(arguments), root, output, arguments.imports, extend_cfg, arguments.dry_run)


def grid_of(arguments: argparse.Namespace) -> Grid:
    """The grid that the arguments name, flags in place of what its file says.

    Raises:
        ConfigError: no such file or variant, or a mistake in it.
    """
    grid = read_grid(grid_file(arguments.grid)).with_lists(**{name: getattr(arguments, name) for name in LISTS})
    if arguments.quick:
        if arguments.seeds is not None:
            raise ConfigError("--quick and --seeds both choose the seeds: give one of them")
        grid = grid.with_lists(seeds=list(grid.seeds[:1]))
    if arguments.variants is not None:
        grid = grid.with_variants(arguments.variants)
    return replace(grid, last=override_pairs(arguments.opts))


def dry_run(runs: list[SweepRun], problems: list[str], arguments: argparse.Namespace) -> int:
    """Show the runs and how long they are expected to take, then everything that is missing."""
    with machine_of(arguments) as machine:
        jobs, threads = slots(runs, machine, arguments)
    print(f"{overview(runs)}\n\n{summary(runs, jobs, threads)}", flush=True)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return USER_ERROR if problems else 0


def carry_out(runs: list[SweepRun], arguments: argparse.Namespace) -> int:
    """Carry out what is left to do, on this machine or with Ray, then print the table."""
    began, left = time.monotonic(), left_to_do(runs)
    failures: list[tuple[SweepRun, str]] = []
    try:
        with ExitStack() as stack:
            machine = stack.enter_context(machine_of(arguments))
            jobs, threads = slots(runs, machine, arguments)
            print(summary(runs, jobs, threads), flush=True)
            if left:
                if arguments.address == LOCAL:
                    stack.enter_context(ray_here(jobs * threads, len(machine.gpus)))
                pool = stack.enter_context(
                    ray_pool(TRAIN, threads, machine.gpu_share(largest_peak(runs)))
                    if arguments.address
                    else local_pool(TRAIN, threads, jobs, len(machine.gpus))
                )
                progress = Progress(runs, jobs)
                if sys.stdout.isatty():
                    try:
                        from lamm.sweep.live import LiveProgress
                    except ImportError:  # rich comes with the extra [sweep]
                        pass
                    else:
                        progress = stack.enter_context(LiveProgress(runs, jobs))
                failures = carry_out_all(left, pool, arguments.retries, progress)
    except KeyboardInterrupt:
        print("stopped, and every run with it; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    took = duration(time.monotonic() - began)
    print(f"{len(runs) - len(failures)} of {len(runs)} runs finished, {took}\n", flush=True)
    table(runs)
    return report(failures)


def slurm(runs: list[SweepRun], arguments: argparse.Namespace) -> int:
    """Write what is left to do as a job array, and submit it unless only the files are wanted."""
    left, settings = left_to_do(runs), slurm_settings(arguments)
    count = min(arguments.slurm_tasks or MAX_TASKS, len(left))
    jobs, threads = arguments.jobs or 1, arguments.threads or 4
    print(summary(runs, jobs * max(1, min(arguments.slurm_parallel, count)), threads), flush=True)
    if not left:
        return 0
    # The longest runs come first, so that each part gets some of them.
    parts = [left[first::count] for first in range(count)]
    folder = arguments.slurm_folder or arguments.output / ".slurm" / time.strftime("%Y-%m-%d-%H-%M-%S")
    script = write_array(folder, RunList(TRAIN, os.getcwd(), threads, jobs, arguments.retries, parts), **settings)
    print(f"{len(parts)} tasks, {len(left)} runs in {script.parent / 'runs.json'}, batch script {script}")
    if arguments.slurm_dry_run:
        return 0
    if shutil.which("sbatch") is None:
        print(f"there is no sbatch on this machine; on one of the cluster: sbatch {script}", file=sys.stderr)
        return USER_ERROR
    print(f"submitted as job {submit(script)}; the same command with --dry-run shows how far it is")
    return 0


def slurm_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a task of the array asks for, as arguments of `write_array`.

    Raises:
        ConfigError: a further flag that is not NAME=VALUE.
    """
    further = dict(word.removeprefix("--").partition("=")[::2] for word in arguments.slurm_set)
    if not all(name and value for name, value in further.items()):
        raise ConfigError(f"--slurm-set takes NAME=VALUE, such as account=vision, got {' '.join(arguments.slurm_set)}")
    names = ("partition", "minutes", "gpus", "parallel")
    return {**{name: getattr(arguments, f"slurm_{name}") for name in names}, "further": further}


def carry_out_part(arguments: argparse.Namespace) -> int:
    """What a task of a job array does."""
    runs = RunList.read(arguments.runs)
    if arguments.run_index >= len(runs.parts):
        raise ConfigError(f"--run-index is {arguments.run_index}, and {arguments.runs} has {len(runs.parts)} parts")
    part = runs.parts[arguments.run_index]
    os.chdir(runs.folder)
    gpus = len(os.environ[VISIBLE].split(",")) if os.environ.get(VISIBLE) else 0
    with local_pool(runs.command, runs.threads, runs.at_once, gpus) as pool:
        return report(carry_out_all(part, pool, runs.retries, Progress(part, runs.at_once)))


@contextmanager
def machine_of(arguments: argparse.Namespace) -> Iterator[Machine]:
    """This machine, or the cluster."""
    if arguments.address in ("", LOCAL):
        yield this_machine()
    else:
        with ray_at(arguments.address) as cluster:
            yield cluster


def slots(runs: Sequence[SweepRun], machine: Machine, arguments: argparse.Namespace) -> tuple[int, int]:
    """How many runs go side by side, and with how many threads each."""
    threads = arguments.threads or (1 if arguments.address not in ("", LOCAL) else None)
    left = sum(not run.finished for run in runs)
    return machine.share_out(left, largest_peak(runs), arguments.jobs, threads)


def table(runs: Sequence[SweepRun]) -> None:
    """The results, as lamm parse-results prints them."""
    from lamm.commands import parse_results

    folders = [run.folder for run in runs if Path(run.folder).is_dir()]
    seeds = sorted({str(run.seed) for run in runs})
    if folders:
        try:
            parse_results.main(parse_results.parser().parse_args([*folders, "--seeds", *seeds]))
        except LammError as error:  # no run has left anything
            print(f"error: {error}", file=sys.stderr)


def report(failures: Sequence[tuple[SweepRun, str]]) -> int:
    """List the runs that failed; the exit code."""
    for run, error in failures:
        print(f"failed: {run.folder}: {error} (see {run.folder}/{Path(run.log).name})", file=sys.stderr)
    return 1 if failures else 0
