"""Class-incremental results: what is known of each set of classes after each step of learning.

Letters: T steps, t a step, s a set, both from 1; set s is what step s learns. Lists are by t − 1 and s − 1, and the row
of step t ends with set t: later sets are not there yet.
"""

import os
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from lamm.errors import ResultsError
from lamm.results.collect import collect
from lamm.results.groups import Run, natural
from lamm.results.layout import GroupKey, shots_in_words
from lamm.results.protocols import INCREMENTAL
from lamm.results.schema import FILE_NAME
from lamm.results.statistic import Statistic
from lamm.results.stored_config import CONFIG_FILE, stored_config

Matrix = list[list[Statistic]]
_STEP = re.compile(r"(.*)/step(\d+)")


def own_metric(number: int) -> str:
    """Name of the metric (a): accuracy of a set's images among the set's own classes."""
    return f"set{number}_accuracy"


def seen_metric(number: int) -> str:
    """Name of the metric (b): accuracy of a set's images among all classes seen so far."""
    return f"set{number}_accuracy_seen"


@dataclass(frozen=True)
class IncrementalResult:
    """One method that learned the classes of a data set step by step, over seeds. Numbers are in percent.

    Attributes:
        dataset: name of the data set.
        shots: training images a class; -1 for all of them.
        trainer: registered name of the trainer.
        cfg: name of the config file, with overrides.
        seen_as_negatives: whether the classes of earlier steps took part in the softmax of later ones.
        steps: T.
        seeds: those whose steps are all finished; every statistic has a value for each, in this order.
        own: (a) `own[t-1][s-1]`: accuracy on set s after step t among the classes of set s.
        seen: (b) the same among the classes of sets 1 to t.
        fall: for each set `own[s-1][s-1]` − `own[T-1][s-1]`; that of the last set is 0.
        files: the `results.json` that the numbers come from.
        unfinished: seeds that are left out, since a step is missing or unfinished.
    """

    dataset: str
    shots: int
    trainer: str
    cfg: str
    seen_as_negatives: bool
    steps: int
    seeds: list[int]
    own: Matrix
    seen: Matrix
    fall: list[Statistic]
    files: list[Path]
    unfinished: list[int]

    @property
    def own_average(self) -> list[Statistic]:
        """After each step the mean over its sets, (a)."""
        return [mean_over(row) for row in self.own]

    @property
    def seen_average(self) -> list[Statistic]:
        """After each step the mean over its sets, (b)."""
        return [mean_over(row) for row in self.seen]

    @property
    def average_fall(self) -> Statistic:
        """The mean fall over the sets that something was learned after: all but the last."""
        return mean_over(self.fall[:-1] or self.fall)

    @property
    def folder(self) -> Path:
        """The folder above the seeds."""
        return self.files[0].parents[2]

    @property
    def title(self) -> str:
        """The result on one line: `digits, 16 shots, LAMM, tiny_ep50+STEPS=2, seeds 1 2 3`."""
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {' '.join(map(str, self.seeds))}"
        return ", ".join((self.dataset, shots_in_words(self.shots), self.trainer, self.cfg, seeds))


class _Group(NamedTuple):
    """What the steps of one method have in common."""

    folder: str
    key: GroupKey
    steps: int
    seen_as_negatives: bool


def incremental_results(folders: Iterable[str | os.PathLike[str]]) -> list[IncrementalResult]:
    """The class-incremental results in and below folders, in natural order.

    Seeds that are not through all steps are left out and named in `unfinished`; a method without a whole seed is no
    result.

    Args:
        folders: any folders above runs, such as `output/incremental`.

    Raises:
        ResultsError: a folder does not exist, there is no run in any, or a finished step lacks a number.
    """
    found: dict[_Group, dict[int, dict[int, Run]]] = {}
    for runs in collect(folders).all.values():
        for run in runs:
            match = _STEP.fullmatch(run.key.cfg)
            if run.key.protocol == INCREMENTAL and match and run.seed is not None:
                cfg, step = match.groups()
                steps, negatives = _settings(run.folder)
                place = os.path.abspath(run.folder.parent.parent)
                group = _Group(place, run.key._replace(cfg=cfg), steps, negatives)
                found.setdefault(group, {}).setdefault(run.seed, {})[int(step)] = run
    made = (_result(group, found[group]) for group in sorted(found, key=_order))
    return [result for result in made if result is not None]


def mean_over(statistics_of_sets: Sequence[Statistic]) -> Statistic:
    """The mean of several numbers, seed by seed."""
    return Statistic(tuple(map(statistics.fmean, zip(*(one.values for one in statistics_of_sets), strict=True))))


def _result(group: _Group, by_seed: dict[int, dict[int, Run]]) -> IncrementalResult | None:
    numbers = range(1, group.steps + 1)
    whole = {
        seed: [steps[number] for number in numbers]
        for seed, steps in sorted(by_seed.items())
        if all(number in steps and not steps[number].unfinished for number in numbers)
    }
    if not whole:
        return None
    own, seen = (
        [[_over_seeds(whole, step, name(number)) for number in range(1, step + 1)] for step in numbers]
        for name in (own_metric, seen_metric)
    )
    return IncrementalResult(
        dataset=group.key.dataset,
        shots=-1 if group.key.shots is None else group.key.shots,
        trainer=group.key.trainer,
        cfg=group.key.cfg,
        seen_as_negatives=group.seen_as_negatives,
        steps=group.steps,
        seeds=list(whole),
        own=own,
        seen=seen,
        fall=[_minus(own[place][place], last) for place, last in enumerate(own[-1])],
        files=[run.folder / FILE_NAME for runs in whole.values() for run in runs],
        unfinished=sorted(by_seed.keys() - whole.keys()),
    )


def _over_seeds(whole: dict[int, list[Run]], step: int, metric: str) -> Statistic:
    runs = [steps[step - 1] for steps in whole.values()]
    lacking = next((run for run in runs if metric not in run.metrics), None)
    if lacking is not None:
        raise ResultsError(f"{lacking.folder / FILE_NAME} has no metric {metric}: run that step again")
    return Statistic(tuple(run.metrics[metric] for run in runs))


def _minus(one: Statistic, other: Statistic) -> Statistic:
    return Statistic(tuple(a - b for a, b in zip(one.values, other.values, strict=True)))


def _settings(folder: Path) -> tuple[int, bool]:
    """`INCREMENTAL.STEPS` and `SEEN_AS_NEGATIVES` of a step's folder."""
    node: Any = stored_config(folder).get("INCREMENTAL")
    try:
        return int(node["STEPS"]), bool(node["SEEN_AS_NEGATIVES"])
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{folder / CONFIG_FILE} does not say how many steps there are") from error


def _order(group: _Group) -> tuple[Any, ...]:
    key = group.key
    return (natural(key.dataset), key.shots or 0, natural(key.trainer), natural(key.cfg), group.folder)
