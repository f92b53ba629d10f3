"""The steps of class-incremental learning on disk, put together by method and seed."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lamm.errors import ResultsError
from lamm.results.collect import collect
from lamm.results.groups import Run, describe, natural
from lamm.results.layout import GroupKey
from lamm.results.protocols import INCREMENTAL
from lamm.results.stored_config import CONFIG_FILE, stored_config

Steps = dict[int, Run]
_STEP = re.compile(r"(.*)/step(\d+)")
_STEP_FOLDER = re.compile(r"step\d+")


class Method(NamedTuple):
    """What the steps of one method have in common.

    `folder` is the one above the seeds, `key` is without the step.
    """

    folder: str
    key: GroupKey
    steps: int
    seen_as_negatives: bool

    def whole(self, steps: Steps) -> bool:
        """Whether all steps are finished."""
        numbers = range(1, self.steps + 1)
        return all(number in steps and not steps[number].unfinished for number in numbers)


@dataclass(frozen=True)
class IncrementalRuns:
    """What was found.

    Attributes:
        methods: In natural order; seed → step → run.
        problems: One line for each seed that is not through its steps, that is missing though the trainer has it with
            other data sets or settings, or that is there twice.
    """

    methods: dict[Method, dict[int, Steps]]
    problems: list[str]


def incremental_runs(folders: Iterable[str | os.PathLike[str]], trainers: Collection[str] = ()) -> IncrementalRuns:
    """Find the steps in and below folders; of all trainers, or of these.

    Raises:
        ResultsError: a folder does not exist, there is no run in any, or a step does not say how many there are.
    """
    found: dict[Method, dict[str, Steps]] = {}
    without_record: list[Run] = []
    problems = []
    for runs in collect(folders).all.values():
        for run in runs:
            match = _STEP.fullmatch(run.key.cfg)
            wanted = not trainers or run.key.trainer in trainers
            if wanted and run.key.protocol == INCREMENTAL and match and run.seed is not None:
                steps, negatives = _settings(run.folder)
                above = os.path.abspath(run.folder.parent.parent)
                method = Method(above, run.key._replace(cfg=match[1]), steps, negatives)
                steps_of_seed = found.setdefault(method, {}).setdefault(os.path.abspath(run.folder.parent), {})
                first = steps_of_seed.setdefault(int(match[2]), run)
                if first is not run:
                    what = f"step {match[2]} of seed {run.seed} of {describe(method.key)}"
                    problems.append(f"there twice, the first counts: {what} in {first.folder} and {run.folder}")
            elif run.key_from_path and run.unfinished and _STEP_FOLDER.fullmatch(run.folder.name):
                without_record.append(run)
    problems += _killed(without_record, {place for seeds in found.values() for place in seeds})
    methods: dict[Method, dict[int, Steps]] = {}
    for method in sorted(found, key=_order):
        methods[method], twice = _by_seed(method, found[method])
        problems += twice
    return IncrementalRuns(methods, [*_unfinished(methods), *_missing(methods), *problems])


def _by_seed(method: Method, by_folder: Mapping[str, Steps]) -> tuple[dict[int, Steps], list[str]]:
    """The steps of each seed, all of one folder: the first that is whole, else the first; and a line for each other."""
    found: dict[int, tuple[str, Steps]] = {}
    problems = []
    for folder in sorted(by_folder, key=lambda name: (not method.whole(by_folder[name]), natural(name))):
        seed = next(iter(by_folder[folder].values())).seed or 0
        first, _ = found.setdefault(seed, (folder, by_folder[folder]))
        if first != folder:
            what = f"seed {seed} of {describe(method.key)} in {first} and {folder}"
            problems.append(f"there twice, the first counts: {what}")
    return {seed: steps for seed, (_, steps) in sorted(found.items())}, problems


def _killed(runs: Iterable[Run], known: Collection[str]) -> Iterator[str]:
    """Steps that left no results.json, of seeds of which nothing else is told."""
    for run in runs:
        if os.path.abspath(run.folder.parent) not in known:
            yield f"unfinished: {run.folder} ({run.unfinished})"


def _unfinished(methods: Mapping[Method, Mapping[int, Steps]]) -> Iterator[str]:
    for method, seeds in methods.items():
        for seed, steps in seeds.items():
            if not method.whole(steps):
                yield f"left out: seed {seed} in {method.folder} is not through its {method.steps} steps"


def _missing(methods: Mapping[Method, Mapping[int, Steps]]) -> Iterator[str]:
    """Seeds that a trainer has with the same shots and steps, on other data or with other settings."""
    for method, seeds in methods.items():
        peers = [
            others
            for other, others in methods.items()
            if (other.key.trainer, other.key.shots, other.steps) == (method.key.trainer, method.key.shots, method.steps)
        ]
        for seed in sorted({seed for others in peers for seed in others} - seeds.keys()):
            yield f"missing: seed {seed} of {describe(method.key)}"


def _settings(folder: Path) -> tuple[int, bool]:
    """`INCREMENTAL.STEPS` and `SEEN_AS_NEGATIVES` of a step's folder."""
    node: Any = stored_config(folder).get("INCREMENTAL")
    try:
        return int(node["STEPS"]), bool(node["SEEN_AS_NEGATIVES"])
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{folder / CONFIG_FILE} does not say how many steps there are") from error


def _order(method: Method) -> tuple[Any, ...]:
    key = method.key
    return (natural(key.dataset), key.shots or 0, natural(key.trainer), natural(key.cfg), method.folder)
