"""A Slurm job array: its runs as a plain JSON file, which can be read and carried out part by part, and its script."""

import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamm.errors import ConfigError
from lamm.files import require_place, write_json, write_text
from lamm.reading import json_value, read_bytes
from lamm.sweep.runs import SweepRun, expected_seconds

RUNS_FILE = "runs.json"
SCRIPT_FILE = "submit.sh"
JOB_NAME = "lamm-sweep"
MAX_TASKS = 1000
"""Slurm's usual MaxArraySize is 1001."""
SAFETY = 3
MIN_MINUTES = 30
RUN_FIELDS = ("words", "folder", "output_dir", "method", "dataset", "cfg", "shots", "seed", "seconds")


@dataclass(frozen=True)
class RunList:
    """Runs in parts; each part is one task of a job array.

    Attributes:
        command: see `Worker`.
        folder: working directory of the runs.
        threads: of each run.
        at_once: runs of a part at a time.
        retries: of a run that died.
        parts: the runs of each task.
    """

    command: str
    folder: str
    threads: int
    at_once: int
    retries: int
    parts: Sequence[Sequence[SweepRun]]

    def write(self, file: Path) -> None:
        """Write the file."""
        parts = [[{name: getattr(run, name) for name in RUN_FIELDS} for run in part] for part in self.parts]
        write_json(file, {**vars(self), "parts": parts})

    @classmethod
    def read(cls, file: Path) -> "RunList":
        """Read the file.

        Raises:
            ConfigError: it is missing, or is not a list of runs.
        """
        try:
            content = json_value(read_bytes(file))
            parts = [[SweepRun(**{**run, "words": tuple(run["words"])}) for run in part] for part in content["parts"]]
            return cls(**{**content, "parts": parts})
        except OSError as error:
            raise ConfigError(f"can't read the list of runs {file}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file} is not a list of runs: give the {RUNS_FILE} that --slurm wrote") from error


def write_array(
    place: Path,
    runs: RunList,
    *,
    partition: str = "",
    minutes: int | None = None,
    gpus: int = 1,
    parallel: int = 64,
    further: Mapping[str, Any] | None = None,
) -> Path:
    """Write the list of runs and the batch script.

    Args:
        place: where to; on the cluster's shared file system, for the tasks' logs go there too.
        runs: what is left to do.
        partition: empty: the cluster's default.
        minutes: time limit; None: `SAFETY` times what the longest part is expected to take, or the cluster's default
            where that is not known.
        gpus: of a task.
        parallel: tasks at a time, at most.
        further: more flags of sbatch, name → value.

    Returns:
        The script.

    Raises:
        ConfigError: submitit is not installed, or a file there is not of a sweep.
    """
    try:
        from submitit.slurm.slurm import _make_sbatch_string
    except ImportError as error:
        raise ConfigError('--slurm needs submitit: pip install -e ".[sweep]"') from error
    place = place.absolute()
    require_place(place / RUNS_FILE, '"at_once": ')
    require_place(place / SCRIPT_FILE, JOB_NAME)
    runs.write(place / RUNS_FILE)
    words = [sys.executable, "-m", "lamm.commands", "sweep", "--runs", str(place / RUNS_FILE), "--run-index"]
    if minutes is None and all(run.seconds is not None for part in runs.parts for run in part):
        longest = max(expected_seconds(part, runs.at_once) or 0.0 for part in runs.parts)
        minutes = max(MIN_MINUTES, round(SAFETY * longest / 60))
    text = _make_sbatch_string(
        command=f'{shlex.join(words)} "$SLURM_ARRAY_TASK_ID"',
        folder=place,
        job_name=JOB_NAME,
        partition=partition or None,
        time=minutes,  # type: ignore[arg-type]  # None leaves the flag out
        cpus_per_task=runs.at_once * runs.threads,
        gpus_per_node=gpus or None,
        array_parallelism=parallel,
        map_count=len(runs.parts),
        stderr_to_stdout=True,
        additional_parameters={"requeue": True, **(further or {})},
    )
    write_text(place / SCRIPT_FILE, text)
    return place / SCRIPT_FILE


def submit(script: Path) -> str:
    """Submit the script; the job's number.

    Raises:
        ConfigError: Slurm refuses it.
    """
    done = subprocess.run(["sbatch", "--parsable", str(script)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigError(f"sbatch refuses {script}: {' '.join(done.stderr.split()) or 'without a reason'}")
    return done.stdout.strip().split(";")[0]
