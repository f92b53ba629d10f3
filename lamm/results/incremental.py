"""Class-incremental results: what is known of each set of classes after each step of learning.

Letters: T steps, t a step, s a set, both from 1; set s is what step s learns. Lists are by t − 1 and s − 1, and the row
of step t ends with set t: later sets are not there yet.
"""

import os
import statistics
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lamm.errors import ResultsError
from lamm.results.groups import Run
from lamm.results.incremental_runs import Method, Steps, incremental_runs
from lamm.results.layout import shots_in_words
from lamm.results.schema import FILE_NAME
from lamm.results.statistic import Statistic

Matrix = list[list[Statistic]]


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


@dataclass(frozen=True)
class IncrementalFindings:
    """The results in folders, and what is not among them.

    Attributes:
        results: In natural order; a method without a whole seed is none.
        problems: One line for each seed that is not through all steps, missing or there twice.
    """

    results: list[IncrementalResult]
    problems: list[str]


def incremental_findings(
    folders: Iterable[str | os.PathLike[str]], trainers: Collection[str] = ()
) -> IncrementalFindings:
    """The class-incremental results in and below folders, and what is left out of them.

    Args:
        folders: any folders above runs, such as `output/incremental`.
        trainers: those to look at; empty: all.

    Raises:
        ResultsError: a folder does not exist, there is no run in any, or a finished step lacks a number.
    """
    found = incremental_runs(folders, trainers)
    made = (_result(method, seeds) for method, seeds in found.methods.items())
    return IncrementalFindings([result for result in made if result is not None], found.problems)


def incremental_results(folders: Iterable[str | os.PathLike[str]]) -> list[IncrementalResult]:
    """The results of `incremental_findings` alone.

    Raises:
        ResultsError: a folder does not exist, there is no run in any, or a finished step lacks a number.
    """
    return incremental_findings(folders).results


def mean_over(statistics_of_sets: Sequence[Statistic]) -> Statistic:
    """The mean of several numbers, seed by seed."""
    return Statistic(tuple(map(statistics.fmean, zip(*(one.values for one in statistics_of_sets), strict=True))))


def _result(method: Method, by_seed: dict[int, Steps]) -> IncrementalResult | None:
    numbers = range(1, method.steps + 1)
    whole = {seed: [steps[number] for number in numbers] for seed, steps in by_seed.items() if method.whole(steps)}
    if not whole:
        return None
    own, seen = (
        [[_over_seeds(whole, step, name(number)) for number in range(1, step + 1)] for step in numbers]
        for name in (own_metric, seen_metric)
    )
    return IncrementalResult(
        dataset=method.key.dataset,
        shots=-1 if method.key.shots is None else method.key.shots,
        trainer=method.key.trainer,
        cfg=method.key.cfg,
        seen_as_negatives=method.seen_as_negatives,
        steps=method.steps,
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
