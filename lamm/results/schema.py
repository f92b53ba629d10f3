"""`results.json`: what one run was and what came out of it."""

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lamm.errors import ResultsError, unknown_name
from lamm.files import write_json

RESULTS_FILE = "results.json"
SCHEMA_VERSION = 1
RUNNING = "running"
FINISHED = "finished"
STATUSES = (RUNNING, FINISHED)
METRICS = ("accuracy", "error_rate", "macro_f1")
KEYWORDS = {"accuracy": "accuracy", "error": "error_rate", "macro_f1": "macro_f1"}
"""What the CoOp family's commands call a metric → the metric."""


@dataclass(frozen=True)
class RunResults:
    """The content of `results.json`.

    A run writes the file with status "running" when it starts and with "finished" at its end, so that a run that
    died in between is seen as unfinished.

    Attributes:
        trainer: Registered name of the trainer.
        dataset: Name of the data set.
        shots: Training images per class; -1 for all of them.
        seed: Random seed; -1 for an unseeded run.
        cfg: Name of the config file, with overrides: `vit_b16_ep50_ctxv1+LAMBDA_KD=0.1`.
        protocol: What kind of experiment the run belongs to, such as few-shot or class-incremental.
        split: The part of the data that the metrics were measured on.
        precision: Floating-point precision that the run used.
        config_hash: Fingerprint of config, data root and split.
        status: "running" or "finished".
        metrics: `accuracy`, `error_rate` and `macro_f1` in percent, and any further ones; may be empty while running.
        trainable_parameters: Number of trained scalars; None while unknown.
        seconds_train: Wall-clock seconds of training; None while unknown.
        peak_memory_mb: Peak accelerator memory in MiB; None where there is no accelerator.
        versions: Versions of the software in use, by package name.
        schema_version: Version of this layout.
    """

    trainer: str
    dataset: str
    shots: int
    seed: int
    cfg: str
    protocol: str
    split: str
    precision: str
    config_hash: str
    status: str
    metrics: dict[str, float] = field(default_factory=dict)
    trainable_parameters: int | None = None
    seconds_train: float | None = None
    peak_memory_mb: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ResultsError: A field has a value that `results.json` can't hold.
        """
        for name, check, meaning in _CHECKS:
            value = getattr(self, name)
            if not check(value):
                raise ResultsError(f'"{name}" must be {meaning}, got {value!r}')
        lacking = [name for name in METRICS if name not in self.metrics]
        if self.status == FINISHED and lacking:
            raise ResultsError(f'"metrics" of a finished run lacks {", ".join(lacking)}')

    @property
    def finished(self) -> bool:
        """Whether the run came to its end."""
        return self.status == FINISHED

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file `path`, replacing an older one in one step."""
        content = asdict(self)
        write_json(path, {name: content[name] for name in _FILE_ORDER})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "RunResults":
        """Read the file `path`.

        Raises:
            ResultsError: The file is missing, is not JSON, or does not hold the fields of this version.
        """
        file = Path(path)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ResultsError(f"can't read {file}: {error.strerror}") from error
        except ValueError as error:
            raise ResultsError(f"{file} is damaged (not JSON: {error}); run that seed again") from error
        try:
            return cls(**_checked_names(content))
        except ResultsError as error:
            raise ResultsError(f"{file}: {error}") from error


_FILE_ORDER = (
    *("schema_version", "trainer", "dataset", "shots", "seed", "cfg", "protocol", "split", "metrics"),
    *("trainable_parameters", "seconds_train", "peak_memory_mb", "precision", "config_hash", "versions", "status"),
)


def _checked_names(content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise ResultsError(f"must be a JSON object, got {type(content).__name__}")
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ResultsError(f"has schema_version {version!r}, this version of the code reads {SCHEMA_VERSION}")
    known = [item.name for item in fields(RunResults)]
    for name in content:
        if name not in known:
            raise ResultsError(unknown_name("field", name, known))
    lacking = [name for name in _FILE_ORDER if name not in content]
    if lacking:
        raise ResultsError(f"lacks {', '.join(lacking)}")
    return content


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_amount(value: Any) -> bool:
    return value is None or (_is_number(value) and value >= 0)


_CHECKS = (
    ("trainer", _is_name, "a name"),
    ("dataset", _is_name, "a name"),
    ("shots", _is_integer, "a whole number"),
    ("seed", lambda value: _is_integer(value) and value >= -1, "a whole number from -1 up"),
    ("cfg", _is_text, "text"),
    ("protocol", _is_text, "text"),
    ("split", _is_text, "text"),
    (
        "metrics",
        lambda value: isinstance(value, dict) and all(map(_is_number, value.values())),
        "an object of finite numbers",
    ),
    (
        "trainable_parameters",
        lambda value: _is_amount(value) and not isinstance(value, float),
        "a whole number or null",
    ),
    ("seconds_train", _is_amount, "a number or null"),
    ("peak_memory_mb", _is_amount, "a number or null"),
    ("precision", _is_text, "text"),
    ("config_hash", _is_text, "text"),
    ("versions", lambda value: isinstance(value, dict) and all(map(_is_text, value.values())), "an object of texts"),
    ("status", lambda value: value in STATUSES, 'one of "running", "finished"'),
    ("schema_version", lambda value: value == SCHEMA_VERSION, str(SCHEMA_VERSION)),
)


FEW_SHOT = "few-shot"
"""An ordinary training run."""
EVALUATION = "evaluation"
"""A test of a model that is there."""
INCREMENTAL = "incremental"
"""One step of class-incremental learning."""


def own_metric(number: int) -> str:
    """Name of an incremental step's metric (a): accuracy of a set's images among the set's own classes."""
    return f"set{number}_accuracy"


def seen_metric(number: int) -> str:
    """Name of an incremental step's metric (b): accuracy of a set's images among all classes seen so far."""
    return f"set{number}_accuracy_seen"
