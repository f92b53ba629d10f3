"""A training run and an evaluation of its model: which transfer protocol the two belong to, and whether they fit."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lamm.errors import CheckpointError, ResultsError
from lamm.results.schema import FILE_NAME, RunResults
from lamm.results.stored_config import ALL_CLASSES, class_subset, stored_config
from lamm.run.class_file import RunClasses

DOMAIN_GENERALIZATION = "domain_generalization"
BASE_TO_NEW = "base_to_new"
CROSS_DATASET = "cross_dataset"
PROTOCOLS = (DOMAIN_GENERALIZATION, BASE_TO_NEW, CROSS_DATASET)
BASE, NEW = "base", "new"
TESTED_WITH = ("MODEL", "INPUT.SIZE", "INPUT.INTERPOLATION", "INPUT.PIXEL_MEAN", "INPUT.PIXEL_STD")
"""Config keys, or nodes, that a model's scores depend on beside its checkpoint."""


@dataclass(frozen=True)
class Transfer:
    """One model, one target.

    Attributes:
        protocol: One of `PROTOCOLS`.
        source: Results of the training run.
        source_file: Its `results.json`.
        target: What it was evaluated on: the data set's name, `new` for the new classes of its own data set.
        results: Results of the evaluation.
        file: Its `results.json`.
        backbone: The CLIP model.
    """

    protocol: str
    source: RunResults
    source_file: Path
    target: str
    results: RunResults
    file: Path
    backbone: str


@dataclass(frozen=True)
class StoredRun:
    """A run's folder with all that tells what it was."""

    folder: Path
    results: RunResults

    @classmethod
    def read(cls, folder: Path) -> "StoredRun":
        """The run in a folder.

        Raises:
            ResultsError: Its results.json is missing or damaged.
        """
        return cls(folder, RunResults.read(folder / FILE_NAME))

    @cached_property
    def config(self) -> dict[str, Any]:
        """What its config.yaml says."""
        return stored_config(self.folder)

    @cached_property
    def class_names(self) -> set[str]:
        """Its classes, none where its folder doesn't say them."""
        try:
            classes = RunClasses.read(self.folder)
        except CheckpointError as error:
            raise ResultsError(str(error)) from error
        return set(classes.class_names) if classes else set()

    @property
    def subset(self) -> str:
        """`all`, `base` or `new` classes."""
        return class_subset(self.config)

    @property
    def part(self) -> str:
        """`new of digits`."""
        return f"{self.subset} of {self.results.dataset}"


def transfer_of(source: StoredRun, run: StoredRun) -> Transfer | None:
    """The two by protocol; None where a model is tested on its own classes, or on a part that no protocol has."""
    target = run.results.dataset
    if target == source.results.dataset:
        if (source.subset, run.subset) != (BASE, NEW):
            return None
        protocol, target = BASE_TO_NEW, NEW
    elif (source.subset, run.subset) != (ALL_CLASSES, ALL_CLASSES):
        return None
    else:
        known = run.class_names and run.class_names <= source.class_names
        protocol = DOMAIN_GENERALIZATION if known else CROSS_DATASET
    backbone = str(source.config.get("MODEL", {}).get("BACKBONE", {}).get("NAME", ""))
    files = source.folder / FILE_NAME, run.folder / FILE_NAME
    return Transfer(protocol, source.results, files[0], target, run.results, files[1], backbone)


def differing_settings(source: StoredRun, run: StoredRun, keys: tuple[str, ...] = TESTED_WITH) -> list[str]:
    """The settings below these keys (nodes, or single ones) that an evaluation has otherwise than its training run."""
    one, other = (dict(_flat(held.config)) for held in (source, run))
    within = [name for name in {**one, **other} if any(name == key or name.startswith(f"{key}.") for key in keys)]
    return [name for name in within if one.get(name) != other.get(name)]


def _flat(node: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value
