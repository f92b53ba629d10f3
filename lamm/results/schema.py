"""`results.json`: what one run was and what came out of it."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from lamm.errors import ResultsError, unknown_name
from lamm.files import write_json
from lamm.numbers import FINITE, Range
from lamm.reading import json_value, read_bytes

RESULTS_FILE = "results.json"
SCHEMA_VERSION = 1
RUNNING = "running"
FINISHED = "finished"
METRICS = ("accuracy", "error_rate", "macro_f1")
KEYWORDS = {"accuracy": "accuracy", "error": "error_rate", "macro_f1": "macro_f1"}
"""What the CoOp family's commands call a metric → the metric."""
FEW_SHOT = "few-shot"
"""An ordinary training run."""
EVALUATION = "evaluation"
"""A test of a model that is there."""
INCREMENTAL = "incremental"
"""One step of class-incremental learning."""
STAGE = "stage_accuracy"
"""An incremental step's metric over the images of all sets so far, among all classes seen so far."""


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """The content of `results.json`, its fields in the file's order.

    A run writes the file with status "running" when it starts and with "finished" at its end, so that a run that
    died in between is seen as unfinished.

    Attributes:
        schema_version: Version of this layout.
        trainer: Registered name of the trainer.
        dataset: Name of the data set.
        shots: Training images per class; -1 for all of them.
        seed: Random seed; -1 for an unseeded run.
        cfg: Name of the config file, with overrides: `vit_b16_ep50_ctxv1+LAMBDA_KD=0.1`.
        protocol: What kind of experiment the run belongs to, such as few-shot or class-incremental.
        split: The part of the data that the metrics were measured on.
        metrics: `accuracy`, `error_rate` and `macro_f1` in percent, and any further ones; may be empty while running.
        trainable_parameters: Number of trained scalars; None while unknown.
        seconds_train: Wall-clock seconds of training; None while unknown.
        peak_memory_mb: Peak accelerator memory in MiB; None where there is no accelerator.
        precision: Floating-point precision that the run used.
        config_hash: Fingerprint of config, data root and split.
        versions: Versions of the software in use, by package name.
        status: "running" or "finished".
        seconds_by_part: Wall-clock seconds by part of the run, such as `text`; empty in files of earlier versions.
    """

    schema_version: int = SCHEMA_VERSION
    trainer: str
    dataset: str
    shots: int
    seed: int
    cfg: str
    protocol: str
    split: str
    metrics: dict[str, float] = field(default_factory=dict)
    trainable_parameters: int | None = None
    seconds_train: float | None = None
    peak_memory_mb: float | None = None
    precision: str
    config_hash: str
    versions: dict[str, str] = field(default_factory=dict)
    status: str
    seconds_by_part: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            ResultsError: A field has a value that `results.json` can't hold.
        """
        for name, (meaning, holds) in _CHECKS.items():
            value = getattr(self, name)
            if not holds(value):
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
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "RunResults":
        """Read the file `path`.

        Raises:
            ResultsError: The file is missing, is not JSON, or does not hold the fields of this version.
        """
        file = Path(path)
        try:
            content = json_value(read_bytes(file))
        except OSError as error:
            raise ResultsError(f"can't read {file}: {error.strerror}") from error
        except ValueError as error:
            raise ResultsError(f"{file} is damaged (not JSON: {error}); run that seed again") from error
        try:
            return cls(**_checked_names(content))
        except ResultsError as error:
            raise ResultsError(f"{file}: {error}") from error


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
    if lacking := [name for name in known if name not in content and name != "seconds_by_part"]:
        raise ResultsError(f"lacks {', '.join(lacking)}")
    return content


def _holds(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """A check of an object: each of its values passes another check."""
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


_Check = tuple[str, Callable[[Any], bool]]
_NAME: _Check = ("a name", lambda value: isinstance(value, str) and value != "")
_TEXT: _Check = ("text", lambda value: isinstance(value, str))
_AMOUNT: _Check = ("a number or null", lambda value: value is None or value in Range(0, FINITE.high, whole=False))
_COUNT: _Check = ("a whole number or null", lambda value: value is None or value in Range(0, FINITE.high))
_CHECKS: dict[str, _Check] = {
    **{"trainer": _NAME, "dataset": _NAME},
    "shots": ("a whole number", Range(FINITE.low, FINITE.high).__contains__),
    "seed": ("a whole number from -1 up", Range(-1, FINITE.high).__contains__),
    **dict.fromkeys(("cfg", "protocol", "split"), _TEXT),
    **dict.fromkeys(("metrics", "seconds_by_part"), ("an object of finite numbers", _holds(FINITE.__contains__))),
    **{"trainable_parameters": _COUNT, "seconds_train": _AMOUNT, "peak_memory_mb": _AMOUNT},
    **{"precision": _TEXT, "config_hash": _TEXT},
    "versions": ("an object of texts", _holds(_TEXT[1])),
    "status": ('one of "running", "finished"', lambda value: value in (RUNNING, FINISHED)),
    "schema_version": (str(SCHEMA_VERSION), lambda value: value == SCHEMA_VERSION),
}


def own_metric(number: int) -> str:
    """Name of an incremental step's metric (a): accuracy of a set's images among the set's own classes."""
    return f"set{number}_accuracy"


def seen_metric(number: int) -> str:
    """Name of an incremental step's metric (b): accuracy of a set's images among all classes seen so far."""
    return f"set{number}_accuracy_seen"
