"""A sweep as a Slurm job array: a folder with the list of runs and the batch script, and its submission.

The script is submitit's, with a plain command in it, so that everything that will happen can be read beforehand and
also be submitted by hand. Task k of the array carries out part k of the list. A task that is preempted is put back in
the queue by Slurm, and resumes; so does the whole sweep when it is submitted once more.
"""

import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from lamm.errors import ConfigError
from lamm.files import write_text
from lamm.sweep.run_list import FILE_NAME, RunList

SCRIPT_NAME = "submit.sh"
MOST_TASKS = 1000
"""Slurm's usual MaxArraySize is 1001."""
SAFETY = 3
LEAST_MINUTES = 30


@dataclass(frozen=True)
class SlurmSettings:
    """What a task of the array asks for.

    Attributes:
        partition: empty: the cluster's default.
        minutes: time limit; None: `SAFETY` times what the longest part is expected to take.
        gpus: of a task.
        parallel: tasks at a time, at most.
        further: more flags of sbatch, name → value.
    """

    partition: str = ""
    minutes: int | None = None
    gpus: int = 1
    parallel: int = 64
    further: dict[str, str] = field(default_factory=dict)


def write_array(folder: Path, runs: RunList, command: str, settings: SlurmSettings) -> Path:
    """Write the list of runs and the batch script.

    Args:
        folder: where to; on the cluster's shared file system, for the tasks' logs go there too.
        runs: what is left to do.
        command: a Python script that takes `--runs FILE --run-index K`.
        settings: what a task asks for.

    Returns:
        The script.

    Raises:
        ConfigError: submitit is not installed.
    """
    try:
        from submitit.slurm.slurm import _make_sbatch_string
    except ImportError as error:
        raise ConfigError('--slurm needs submitit: pip install -e ".[sweep]"') from error
    place = folder.absolute()
    runs.write(place / FILE_NAME)
    words = [sys.executable, command, "--runs", str(place / FILE_NAME), "--run-index"]
    text = _make_sbatch_string(
        command=f'{shlex.join(words)} "$SLURM_ARRAY_TASK_ID"',
        folder=place,
        job_name="lamm-sweep",
        partition=settings.partition or None,
        time=settings.minutes or max(LEAST_MINUTES, round(SAFETY * runs.seconds / 60)),
        cpus_per_task=runs.at_once * runs.setup.threads,
        gpus_per_node=settings.gpus or None,
        array_parallelism=settings.parallel,
        map_count=len(runs.parts),
        stderr_to_stdout=True,
        additional_parameters={"requeue": True, **settings.further},
    )
    write_text(place / SCRIPT_NAME, text)
    return place / SCRIPT_NAME


def submit(script: Path) -> str:
    """Submit the script; the job's number.

    Raises:
        ConfigError: there is no Slurm here, or it refuses.
    """
    if not can_submit():
        raise ConfigError("there is no sbatch on this machine: submit from a node of the cluster, or --slurm-dry-run")
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"sbatch refuses {script}: {' '.join(done.stderr.split()) or 'without a word'}")
    return done.stdout.strip().split(";")[0]


def can_submit() -> bool:
    """Whether this machine can submit to Slurm."""
    return shutil.which("sbatch") is not None
