"""A whole benchmark as one job: trainers × data sets × shots × seeds, several at once, then the table of them all.

    python tools/sweep.py                                          # configs/sweeps/demo.yaml
    python tools/sweep.py paper --dry-run                          # what would run, and what it is expected to cost
    python tools/sweep.py --trainers LAMM CoOp --datasets caltech101 --shots 16 -- OPTIM.MAX_EPOCH 10
    python tools/sweep.py paper --slurm --slurm-partition gpu      # the same as a Slurm job array

Each run is one `train.py` in a process of its own. Everything is planned before the first one starts. Finished runs are
skipped, broken ones resumed, those that died tried again; started anew after a kill, a sweep goes on where it stopped.

Exit code 0: all runs are finished. 1: some failed (listed on stderr). 2: a mistake, before anything ran. 130: Ctrl-C.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamm.commands.parser import INTERRUPTED, USER_ERROR
from lamm.errors import ConfigError
from lamm.sweep.arguments import grid_of, places_of, slurm_settings, sweep_parser
from lamm.sweep.estimate import LOG_FILE
from lamm.sweep.machine import Machine, this_machine
from lamm.sweep.pools import VISIBLE, LocalPool, RayPool, import_ray, ray_at, ray_here
from lamm.sweep.progress import PlainProgress
from lamm.sweep.schedule import Failure, Tally, carry_out_all, duration
from lamm.sweep.slurm import MOST_TASKS, RunList, can_submit, in_parts, submit, write_array
from lamm.sweep.worker import Pool, Setup

if TYPE_CHECKING:
    from lamm.sweep.estimate import LeftToDo
    from lamm.sweep.runs import Preparation


ROOT = Path(__file__).resolve().parents[2]
WARM = ("lamm_trainers", "lamm.run.execute", "lamm.run.plan", "open_clip", "torch.utils.tensorboard")


def main(arguments: argparse.Namespace) -> int:
    check(arguments)
    if arguments.runs is not None:
        return carry_out_part(arguments)
    prepared = prepared_sweep(arguments)
    if arguments.dry_run:
        return dry_run(prepared, arguments)
    prepared.require_no_problem()
    if arguments.slurm or arguments.slurm_dry_run:
        return slurm(prepared, arguments)
    began = time.monotonic()
    try:
        failures = carry_out(prepared, arguments) if prepared.left else []
    except KeyboardInterrupt:
        print("stopped, and every run with it; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    done = len(prepared.runs) - len(failures)
    print(f"{done} of {len(prepared.runs)} runs finished, {duration(time.monotonic() - began)}\n", flush=True)
    table(prepared)
    return report(failures)


def check(arguments: argparse.Namespace) -> None:
    """Refuse flags that don't go together, and what is not installed, before anything takes time."""
    if (arguments.runs is None) != (arguments.run_index is None):
        raise ConfigError("--runs and --run-index go together: a file, and which of its parts")
    if arguments.address and (arguments.local or arguments.jobs):
        flag = "--local" if arguments.local else "--jobs"
        raise ConfigError(f"{flag} is for this machine; on the cluster at --address as many runs as fit go at once")
    slurm_asked = arguments.slurm or arguments.slurm_dry_run
    if not (arguments.local or arguments.dry_run or slurm_asked or arguments.runs) or arguments.address:
        import_ray()


def prepared_sweep(arguments: argparse.Namespace) -> "Preparation":
    """Everything that can be known before the first run starts."""
    if arguments.dry_run:
        os.environ["HF_HUB_OFFLINE"] = "1"  # weights are looked for on this machine alone
    # Imported here, so that an engine that can't run is one line like any mistake.
    from lamm.engine.foreign import import_file_or_module

    foreign = [import_file_or_module(spec) for spec in arguments.imports]
    import lamm_trainers

    from lamm.datasets import register_datasets
    from lamm.sweep.runs import prepare

    register_datasets()

    def extend_cfg(cfg: Any) -> None:
        for module in (*foreign, lamm_trainers):
            getattr(module, "extend_cfg", lambda _: None)(cfg)

    return prepare(grid_of(arguments), places_of(arguments), extend_cfg, arguments.dry_run)


def dry_run(prepared: "Preparation", arguments: argparse.Namespace) -> int:
    """Show the runs and what they are expected to cost, then everything that is missing."""
    from lamm.sweep.progress import overview

    with machine_of(arguments) as machine:
        left = left_of(prepared, machine, arguments)
    print(overview(prepared.runs, left, len(prepared.states.begun)), flush=True)
    for problem in prepared.problems:
        print(f"error: {problem}", file=sys.stderr)
    return USER_ERROR if prepared.problems else 0


def carry_out(prepared: "Preparation", arguments: argparse.Namespace) -> list[Failure]:
    """Carry out what is left to do, on this machine or the cluster; the runs that failed."""
    with machine_of(arguments) as machine:
        left = left_of(prepared, machine, arguments)
        say_total(prepared, left)
        setup = setup_of(left.slots.threads)
        if arguments.address:
            return watched(prepared, left, RayPool(setup, min(machine.gpus, default=0)), arguments.retries)
        if arguments.local:
            with LocalPool(setup, left.slots.jobs, len(machine.gpus)) as pool:
                return watched(prepared, left, pool, arguments.retries)
        with ray_here(left.slots, len(machine.gpus)):
            return watched(prepared, left, RayPool(setup, min(machine.gpus, default=0)), arguments.retries)


def watched(prepared: "Preparation", left: "LeftToDo", pool: Pool, retries: int) -> list[Failure]:
    """Carry out what is left to do; on a terminal as a live table."""
    finished = prepared.states.finished
    tally = Tally(len(finished), left.jobs, left.slots.jobs)
    if not sys.stdout.isatty():
        return carry_out_all(left.jobs, pool, retries, PlainProgress(tally))
    try:
        from lamm.sweep.progress import LiveProgress
    except ImportError:  # rich comes with the extra that Ray comes with
        return carry_out_all(left.jobs, pool, retries, PlainProgress(tally))
    accuracies = {run: results.metrics["accuracy"] for run, results in finished}
    known = [(run.method, run.plan.dataset, accuracies.get(run)) for run in prepared.runs]
    with LiveProgress(tally, known) as progress:
        return carry_out_all(left.jobs, pool, retries, progress)


def slurm(prepared: "Preparation", arguments: argparse.Namespace) -> int:
    """Write what is left to do as a job array, and submit it unless only the files are wanted."""
    from lamm.sweep.estimate import left_to_do

    settings = slurm_settings(arguments)
    jobs, threads = arguments.jobs or 1, arguments.threads or 4
    task = Machine(jobs * threads, float("inf"), (sys.maxsize,) * settings.gpus)
    left = left_to_do(prepared.left, prepared.facts, task, jobs, threads)
    parts = in_parts(left.jobs, arguments.slurm_tasks or MOST_TASKS)
    at_once = jobs * max(1, min(settings.parallel, len(parts)))
    say_total(prepared, replace(left, slots=replace(left.slots, jobs=at_once)))
    if not parts:
        return 0
    folder = arguments.slurm_folder or arguments.output / ".slurm" / time.strftime("%Y-%m-%d-%H-%M-%S")
    runs = RunList(setup_of(threads), jobs, arguments.retries, parts)
    script = write_array(folder, runs, str(Path(__file__).resolve()), settings)
    print(f"{len(parts)} tasks, {len(left.jobs)} runs in {script.parent / 'runs.json'}, batch script {script}")
    if arguments.slurm_dry_run:
        return 0
    if not can_submit():
        print(f"there is no sbatch on this machine; on one of the cluster: sbatch {script}", file=sys.stderr)
        return USER_ERROR
    print(f"submitted as job {submit(script)}; the same command with --dry-run shows how far it is")
    return 0


def carry_out_part(arguments: argparse.Namespace) -> int:
    """What a task of a job array does."""
    runs = RunList.read(arguments.runs)
    if arguments.run_index >= len(runs.parts):
        raise ConfigError(f"--run-index is {arguments.run_index}, and {arguments.runs} has {len(runs.parts)} parts")
    part = runs.parts[arguments.run_index]
    gpus = len(os.environ[VISIBLE].split(",")) if os.environ.get(VISIBLE) else 0
    with LocalPool(runs.setup, runs.at_once, gpus) as pool:
        return report(carry_out_all(part, pool, runs.retries, PlainProgress(Tally(0, part, runs.at_once))))


@contextmanager
def machine_of(arguments: argparse.Namespace) -> Iterator[Machine]:
    """This machine, or the cluster."""
    if arguments.address:
        with ray_at(arguments.address) as cluster:
            yield cluster
    else:
        yield this_machine()


def left_of(prepared: "Preparation", machine: Machine, arguments: argparse.Namespace) -> "LeftToDo":
    """What is left to do, shared out on the machine."""
    from lamm.sweep.estimate import left_to_do

    threads = arguments.threads or (1 if arguments.address else None)
    return left_to_do(prepared.left, prepared.facts, machine, arguments.jobs, threads, counted=not arguments.local)


def say_total(prepared: "Preparation", left: "LeftToDo") -> None:
    """What is to do, in one line."""
    from lamm.sweep.progress import total

    print(total(len(prepared.runs), left, len(prepared.states.begun)), flush=True)


def setup_of(threads: int) -> Setup:
    """What the runs have in common."""
    return Setup(str(ROOT / "train.py"), WARM, os.getcwd(), threads)


def table(prepared: "Preparation") -> None:
    """The results, as tools/parse_results.py prints them."""
    folders = [str(planned.folder) for planned in prepared.runs if planned.folder.is_dir()]
    seeds = sorted({str(planned.point.seed) for planned in prepared.runs})
    if folders:
        command = [sys.executable, str(ROOT / "tools" / "parse_results.py"), *folders, "--seeds", *seeds]
        subprocess.run(command, check=False)


def report(failures: Sequence[Failure]) -> int:
    """List the runs that failed; the exit code."""
    for failure in failures:
        job = failure.job
        print(f"failed: {job.folder}: {failure.error} (see {job.folder}/{LOG_FILE})", file=sys.stderr)
    return 1 if failures else 0


parser = sweep_parser
