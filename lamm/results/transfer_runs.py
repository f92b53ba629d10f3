"""Evaluations of trained models on other classes or data, each with the training run that its model comes from."""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lamm.errors import ResultsError
from lamm.results.few_shot_curve import ZERO_SHOT_TRAINER
from lamm.results.protocols import EVALUATION, FEW_SHOT
from lamm.results.schema import FILE_NAME, RunResults
from lamm.results.stored_config import ALL_CLASSES, class_subset, stored_config

DOMAIN_GENERALIZATION = "domain_generalization"
BASE_TO_NEW = "base_to_new"
CROSS_DATASET = "cross_dataset"
PROTOCOLS = (DOMAIN_GENERALIZATION, BASE_TO_NEW, CROSS_DATASET)
BASE, NEW = "base", "new"


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
class Transfers:
    """What was found.

    Attributes:
        found: Finished evaluations of finished runs.
        problems: One line for each evaluation that is unfinished, or whose training run is.
        left_out: One line for each that has no place in the tables: of a model before its last epoch, or of a model on
            another data set where one of the two has only a part of its classes.
    """

    found: list[Transfer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Run:
    """A run's folder with all that tells what it was."""

    folder: Path
    results: RunResults

    @property
    def config(self) -> dict[str, Any]:
        return _config(self.folder)

    @property
    def subset(self) -> str:
        return class_subset(self.config)

    @property
    def plain_cfg(self) -> str:
        """The name of its config without what says the class subset."""
        return self.results.cfg.replace(f"+SUBSAMPLE_CLASSES={self.subset}", "")


def find_transfers(folders: Iterable[str | os.PathLike[str]], trainers: Collection[str] = ()) -> Transfers:
    """Find evaluations in and below folders (`train.py --eval-only`) and the runs that they are evaluations of.

    Which protocol an evaluation belongs to, its classes say: `new` of the run's `base` classes; a data set all of whose
    classes the run had; any other data set. Two data sets count whole only, not `base` or `new` of either. A model
    tested on what it was trained on is none of these. `ZeroshotCLIP` loads nothing, so its evaluations go with its
    ordinary runs of the same config, shots and seed; only with those from which another trainer was evaluated on that
    target, if any was.

    Args:
        folders: Any folders above runs.
        trainers: Those to look at; empty: all.

    Raises:
        ResultsError: A folder does not exist, or a file is damaged.
    """
    _config.cache_clear()
    runs = [_Run(file.parent, RunResults.read(file)) for file in _files(folders)]
    runs = [run for run in runs if not trainers or run.results.trainer in trainers]
    made = Transfers()
    zero_shot = []
    for run in (run for run in runs if run.results.protocol == EVALUATION):
        node = run.config.get("EVALUATION", {})
        if not run.results.finished:
            made.problems.append(f"unfinished: {run.folder} (its results.json says {run.results.status})")
        elif not node.get("MODEL_DIR"):
            pairs = [pair for source in runs if (pair := _zero_shot_pair(source, run))]
            zero_shot += pairs
            if not pairs and run.subset != ALL_CLASSES:
                made.left_out.append(f"left out, a part of the classes ({_part(run)}): {run.folder}")
        elif (epoch := node.get("LOAD_EPOCH", -1)) != -1:
            made.left_out.append(f"left out, an evaluation with --load-epoch {epoch}: {run.folder}")
        else:
            _add(made, _source_of(run, node["MODEL_DIR"]), run, node["MODEL_DIR"])
    learned = {_place(pair) for pair in made.found}
    made.found.extend(pair for pair in zero_shot if not learned or _place(pair) in learned)
    return made


def _add(made: Transfers, source: _Run | None, run: _Run, named: str) -> None:
    if source is None or not source.results.finished:
        state = "is missing" if source is None else "is unfinished"
        made.problems.append(f"the training run {named} of {run.folder} {state}")
    elif pair := _pair(source, run):
        made.found.append(pair)
    elif source.results.dataset != run.results.dataset:
        parts = [_part(one) for one in (source, run) if one.subset != ALL_CLASSES]
        made.left_out.append(f"left out, a part of the classes ({', '.join(parts)}): {run.folder}")


def _part(run: _Run) -> str:
    return f"{run.subset} of {run.results.dataset}"


def _source_of(run: _Run, named: str) -> _Run | None:
    """The training run: where the config says, or, once `output` has moved, at the same place beside the evaluation."""
    for folder in _places(run.folder, Path(named)):
        if (folder / FILE_NAME).is_file():
            return _Run(folder, RunResults.read(folder / FILE_NAME))
    return None


def _places(folder: Path, named: Path) -> Iterator[Path]:
    yield named
    # evaluation/<dataset>/shots_<n>/<Trainer>/<cfg>/seed<k>
    above = folder.absolute().parents
    if len(above) > 5:
        yield above[5].joinpath(*named.parts[-5:])


def _zero_shot_pair(source: _Run, run: _Run) -> Transfer | None:
    """The two as a pair, if `source` is an ordinary run of the same trainer, config, shots and seed."""
    one, other = source.results, run.results
    if one.protocol != FEW_SHOT or not one.finished or other.trainer != ZERO_SHOT_TRAINER:
        return None
    same = all(getattr(one, name) == getattr(other, name) for name in ("trainer", "shots", "seed", "split"))
    return _pair(source, run) if same and source.plain_cfg == run.plain_cfg else None


def _pair(source: _Run, run: _Run) -> Transfer | None:
    """The two by protocol; None where a model is tested on its own classes, or on a part that no protocol has."""
    target = run.results.dataset
    if target == source.results.dataset:
        if (source.subset, run.subset) != (BASE, NEW):
            return None
        protocol, target = BASE_TO_NEW, NEW
    elif (source.subset, run.subset) != (ALL_CLASSES, ALL_CLASSES):
        return None
    else:
        held, asked = _class_names(source.folder), _class_names(run.folder)
        protocol = DOMAIN_GENERALIZATION if asked and asked <= held else CROSS_DATASET
    backbone = str(source.config.get("MODEL", {}).get("BACKBONE", {}).get("NAME", ""))
    files = source.folder / FILE_NAME, run.folder / FILE_NAME
    return Transfer(protocol, source.results, files[0], target, run.results, files[1], backbone)


def _place(pair: Transfer) -> tuple[object, ...]:
    return pair.protocol, pair.source.dataset, pair.source.shots, pair.target


def _files(folders: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Every results.json in and below the folders, hidden ones left out, each once."""
    seen: set[Path] = set()
    for root in map(Path, folders):
        if not root.is_dir():
            raise ResultsError(f"{root} is not a folder; give a seed folder or any folder above it, such as output")
        for place, below, names in os.walk(root):
            below[:] = sorted(name for name in below if not name.startswith("."))
            file = Path(place, FILE_NAME)
            if FILE_NAME in names and (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


@cache
def _config(folder: Path) -> dict[str, Any]:
    return stored_config(folder)


def _class_names(folder: Path) -> set[str]:
    """The classes of a run, none where its folder doesn't say them."""
    try:
        content = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        return set(content["class_names"])
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultsError(f"{folder / 'classes.json'} is damaged ({type(error).__name__})") from error
