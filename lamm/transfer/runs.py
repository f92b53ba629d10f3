"""A training run and an evaluation of its model: which transfer protocol the two belong to, and whether they fit."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lamm.errors import CheckpointError, ResultsError
from lamm.results.collect import ALL_CLASSES, class_subset, folders_below, stored_config
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.published import config_of
from lamm.results.schema import EVALUATION, FEW_SHOT, RESULTS_FILE, RunResults
from lamm.run.record import RunClasses

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
        return cls(folder, RunResults.read(folder / RESULTS_FILE))

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
    files = source.folder / RESULTS_FILE, run.folder / RESULTS_FILE
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


@dataclass(frozen=True)
class Transfers:
    """What was found.

    Attributes:
        found: Finished evaluations of finished runs.
        problems: One line for each evaluation that is unfinished, or whose training run is.
        left_out: One line for each that has no place in the tables: of a model before its last epoch, of a model on
            another data set where one of the two has only a part of its classes, on another split or with other
            settings than its training run, or of zero-shot CLIP where no model was evaluated.
    """

    found: list[Transfer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def find_transfers(folders: Iterable[str | os.PathLike[str]], trainers: Collection[str] = ()) -> Transfers:
    """Find evaluations in and below folders (`train.py --eval-only`) and the runs that they are evaluations of.

    Which protocol an evaluation belongs to, its classes say: `new` of the run's `base` classes; a data set all of whose
    classes the run had; any other data set. Two data sets count whole only, not `base` or `new` of either. A model
    tested on what it was trained on is none of these. `ZeroshotCLIP` loads nothing, so its evaluations go with its
    ordinary runs of the same settings, shots and seed; only with those from which another trainer was evaluated on that
    target, if any was.

    Args:
        folders: Any folders above runs.
        trainers: Those to look at; empty: all.

    Raises:
        ResultsError: A folder does not exist, or a file is damaged.
    """
    runs = [StoredRun.read(folder) for folder in folders_below(folders) if (folder / RESULTS_FILE).is_file()]
    runs = [run for run in runs if not trainers or run.results.trainer in trainers]
    known = {run.folder.resolve(): run for run in runs}
    made = Transfers()
    zero_shot: dict[Path, list[Transfer]] = {}
    for run in (run for run in runs if run.results.protocol == EVALUATION):
        node = run.config.get("EVALUATION", {})
        if not run.results.finished:
            made.problems.append(f"unfinished: {run.folder} (its results.json says {run.results.status})")
        elif not node.get("MODEL_DIR"):
            zero_shot[run.folder] = [pair for source in runs if (pair := _zero_shot_pair(source, run))]
            if not zero_shot[run.folder]:
                made.left_out.append(_why_alone(run))
        elif (epoch := node.get("LOAD_EPOCH", -1)) != -1:
            made.left_out.append(f"left out, an evaluation with --load-epoch {epoch}: {run.folder}")
        else:
            _add(made, _source_of(run, node["MODEL_DIR"], known), run, node["MODEL_DIR"])
    _add_zero_shot(made, zero_shot)
    return made


def _add(made: Transfers, source: StoredRun | None, run: StoredRun, named: str) -> None:
    """Put an evaluation of a trained model where it belongs."""
    if source is None or not source.results.finished:
        state = "is missing" if source is None else "is unfinished"
        made.problems.append(f"the training run {named} of {run.folder} {state}")
    elif source.results.split != run.results.split:
        splits = f"{run.results.split} split, the training run was on {source.results.split}"
        made.left_out.append(f"left out, tested on the {splits}: {run.folder}")
    elif differing := differing_settings(source, run):
        made.left_out.append(f"left out, other settings than its training run ({', '.join(differing)}): {run.folder}")
    elif pair := transfer_of(source, run):
        made.found.append(pair)
    elif source.results.dataset != run.results.dataset:
        parts = [one.part for one in (source, run) if one.subset != ALL_CLASSES]
        made.left_out.append(f"left out, a part of the classes ({', '.join(parts)}): {run.folder}")


def _source_of(run: StoredRun, named: str, known: Mapping[Path, StoredRun]) -> StoredRun | None:
    """The training run: at its place beside the evaluation, for `output` may have moved, else where the config says."""
    for folder in _places(run.folder, Path(named)):
        if (folder / RESULTS_FILE).is_file():
            return known.get(folder.resolve()) or StoredRun.read(folder)
    return None


def _places(folder: Path, named: Path) -> Iterator[Path]:
    # <output>/evaluation/<dataset>/shots_<n>/<Trainer>/<cfg>/seed<k>
    above = folder.absolute().parents
    if len(above) > 5 and above[4].name == "evaluation":
        yield above[5].joinpath(*named.parts[-5:])
    yield named


def _zero_shot_pair(source: StoredRun, run: StoredRun) -> Transfer | None:
    """The two as a pair, if `source` is an ordinary run of zero-shot CLIP with the same settings, shots and seed."""
    one, other = source.results, run.results
    if one.protocol != FEW_SHOT or not one.finished or other.trainer != ZERO_SHOT_TRAINER:
        return None
    same = all(getattr(one, name) == getattr(other, name) for name in ("trainer", "shots", "seed", "split"))
    if not same or config_of(one.cfg) != config_of(other.cfg):
        return None
    settings = (*TESTED_WITH, "TRAINER", "DATASET.TEMPLATE")
    return None if differing_settings(source, run, settings) else transfer_of(source, run)


def _why_alone(run: StoredRun) -> str:
    if run.subset != ALL_CLASSES:
        return f"left out, a part of the classes ({run.part}): {run.folder}"
    return f"left out, no ordinary run of {run.results.trainer} on other data that it goes with: {run.folder}"


def _add_zero_shot(made: Transfers, zero_shot: dict[Path, list[Transfer]]) -> None:
    """Zero-shot CLIP beside the trained models; where there are none, from sources with its classes, else from any."""
    learned = {_place(pair) for pair in made.found}
    for folder, pairs in zero_shot.items():
        if learned:
            kept = [pair for pair in pairs if _place(pair) in learned]
        else:
            kept = [pair for pair in pairs if pair.protocol != CROSS_DATASET] or pairs
        made.found.extend(kept)
        if pairs and not kept:
            made.left_out.append(f"left out, zero-shot CLIP where no model was evaluated: {folder}")


def _place(pair: Transfer) -> tuple[object, ...]:
    return pair.protocol, pair.source.dataset, pair.source.shots, pair.target
