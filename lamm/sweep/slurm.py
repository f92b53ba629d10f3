"""The runs of a job array as a plain JSON file: what is submitted can be read, and carried out part by part."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lamm.errors import ConfigError
from lamm.files import write_json, write_text
from lamm.sweep.estimate import Job
from lamm.sweep.worker import Setup

FILE_NAME = "runs.json"


@dataclass(frozen=True)
class RunList:
    """Runs in parts; each part is one task of a job array.

    Attributes:
        setup: what the runs have in common.
        at_once: runs of a part at a time.
        retries: of a run that died.
        parts: the runs of each task.
    """

    setup: Setup
    at_once: int
    retries: int
    parts: tuple[tuple[Job, ...], ...]

    @property
    def seconds(self) -> float:
        """That the longest part is expected to take."""
        return max(sum(job.seconds for job in part) for part in self.parts) / self.at_once

    def write(self, file: Path) -> None:
        """Write the file."""
        parts = [[job.as_dict() for job in part] for part in self.parts]
        head = {"setup": asdict(self.setup), "at_once": self.at_once, "retries": self.retries}
        write_json(file, {**head, "parts": parts})

    @classmethod
    def read(cls, file: Path) -> "RunList":
        """Read the file.

        Raises:
            ConfigError: it is missing, or is no list of runs.
        """
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            setup = Setup(**{**content["setup"], "modules": tuple(content["setup"]["modules"])})
            parts = tuple(tuple(map(Job.from_dict, part)) for part in content["parts"])
            return cls(setup, int(content["at_once"]), int(content["retries"]), parts)
        except OSError as error:
            raise ConfigError(f"can't read the list of runs {file}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{file} is no list of runs: give the {FILE_NAME} that --slurm wrote") from error


def in_parts(jobs: Sequence[Job], count: int) -> tuple[tuple[Job, ...], ...]:
    """At most `count` parts of about the same work: the longest runs are dealt out first."""
    ordered = sorted(jobs, key=lambda job: -job.seconds)
    return tuple(tuple(ordered[first::count]) for first in range(min(count, len(ordered))))


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
