"""The steps of class-incremental learning on disk, put together by method and seed."""

import os
import re
import statistics
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lamm.errors import ResultsError
from lamm.results.collect import CONFIG_FILE, GroupKey, Run, collect, describe, natural, shots_in_words, stored_config
from lamm.results.schema import INCREMENTAL, RESULTS_FILE
from lamm.results.table import Statistic

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
    folders: pd.DataFrame | Iterable[str | os.PathLike[str]], trainers: Collection[str] = ()
) -> IncrementalFindings:
    """The class-incremental results in and below folders, and what is left out of them.

    Args:
        folders: any folders above runs, such as `output/incremental`.
        trainers: those to look at; empty: all.

    Raises:
        ResultsError: a folder does not exist, there is no run in any, or a finished step lacks a number.
    """
    if isinstance(folders, pd.DataFrame):  # a frame from `lamm.results.load`; soon the only argument
        folders = list(folders.folder)
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
        files=[run.folder / RESULTS_FILE for runs in whole.values() for run in runs],
        unfinished=sorted(by_seed.keys() - whole.keys()),
    )


def _over_seeds(whole: dict[int, list[Run]], step: int, metric: str) -> Statistic:
    runs = [steps[step - 1] for steps in whole.values()]
    lacking = next((run for run in runs if metric not in run.metrics), None)
    if lacking is not None:
        raise ResultsError(f"{lacking.folder / RESULTS_FILE} has no metric {metric}: run that step again")
    return Statistic(tuple(run.metrics[metric] for run in runs))


def _minus(one: Statistic, other: Statistic) -> Statistic:
    return Statistic(tuple(a - b for a, b in zip(one.values, other.values, strict=True)))
