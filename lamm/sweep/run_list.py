"""The runs of a job array as a plain JSON file: what is submitted can be read, and carried out part by part."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from lamm.errors import ConfigError
from lamm.files import write_json
from lamm.sweep.job import Job
from lamm.sweep.order import Setup

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
