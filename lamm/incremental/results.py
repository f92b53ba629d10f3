"""Class-incremental results: accuracy on every set of classes after every step, by method, over seeds."""

import itertools
import re
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lamm.errors import ResultsError
from lamm.results.frame import CONFIG_FILE, GROUP, describe, natural, shots_in_words
from lamm.results.schema import INCREMENTAL, RESULTS_FILE, STAGE, own_metric, seen_metric
from lamm.results.table import Statistic

Matrix = list[list[Statistic]]
_METHOD = ["above", *GROUP, "steps", "seen_as_negatives"]
"""What the steps of one method have in common; `above` is the folder above the seeds, `cfg` is without the step."""


@dataclass(frozen=True)
class IncrementalResult:
    """One method that learned the classes of a data set step by step, over seeds. Numbers are in percent.

    Attributes:
        dataset: Name of the data set.
        shots: Training images per class; -1 for all of them.
        trainer: Registered name of the trainer.
        cfg: Name of the config file, with overrides.
        seen_as_negatives: Whether the classes of earlier steps took part in the softmax of later ones.
        steps: T.
        seeds: Those whose steps are all finished; every statistic has a value for each, in this order.
        own: (a) `own[t-1][s-1]`: accuracy on set s after step t among the classes of set s.
        seen: (b) The same among the classes of sets 1 to t.
        stage: After each step the accuracy (b) over the images of all its sets together. Empty: unknown, since an
            earlier version wrote the runs, and a file that tells the number of images is missing.
        fall: For each set `own[s-1][s-1]` − `own[T-1][s-1]`; that of the last set is 0.
        files: The `results.json` that the numbers come from.
        unfinished: Seeds that are left out, since a step is missing or unfinished.
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
    stage: list[Statistic]
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
    def average_accuracy(self) -> Statistic | None:
        """The mean of `stage` over all steps, the field's "average accuracy"; None: unknown."""
        return mean_over(self.stage) if self.stage else None

    @property
    def last_accuracy(self) -> Statistic | None:
        """`stage` after the last step, the field's "last accuracy"; None: unknown."""
        return self.stage[-1] if self.stage else None

    @property
    def average_fall(self) -> Statistic:
        """The mean fall over the sets that something was learned after: all but the last."""
        return mean_over(self.fall[:-1] or self.fall)

    @property
    def title(self) -> str:
        """The result on one line: `digits, 16 shots, LAMM, tiny_ep50+STEPS=2, seeds 1 2 3`."""
        seeds = f"seed{'s' * (len(self.seeds) > 1)} {' '.join(map(str, self.seeds))}"
        return ", ".join((self.dataset, shots_in_words(self.shots), self.trainer, self.cfg, seeds))


def mean_over(statistics_of_sets: Sequence[Statistic]) -> Statistic:
    """The mean of several numbers, seed by seed."""
    return Statistic(tuple(map(statistics.fmean, zip(*(one.values for one in statistics_of_sets), strict=True))))


@dataclass(frozen=True)
class IncrementalFindings:
    """The results in a frame, and what is not among them.

    Attributes:
        results: In natural order; a method without a seed that is through all its steps has none.
        problems: One line for each seed that is not through its steps, that is missing though the trainer has it with
            other data sets or settings, or that is there twice.
    """

    results: list[IncrementalResult]
    problems: list[str]


def incremental_findings(frame: pd.DataFrame) -> IncrementalFindings:
    """The class-incremental results, and what is left out of them.

    Args:
        frame: Runs, from `lamm.results.load`.

    Raises:
        ResultsError: A step does not say how many there are, or a finished one lacks a number.
    """
    steps = _steps(frame)
    first = steps.groupby([*_METHOD, "seed_folder", "step"], sort=False, dropna=False).folder.transform("first")
    twice = steps.folder != first
    problems = [
        f"there twice, the first counts: step {run.step} of seed {run.seed} of {_named(run)} "
        f"in {first[run.Index]} and {run.folder}"
        for run in steps[twice].itertuples()
    ]
    steps = steps[~twice]
    # Steps that left no results.json, of seeds of which nothing else is told.
    problems += [
        f"unfinished: {run.folder} ({run.unfinished})"
        for run in frame[frame.from_path & ~frame.finished].itertuples()
        if re.fullmatch(r"step\d+", run.folder.name) and str(run.folder.absolute().parent) not in set(steps.seed_folder)
    ]

    seeds = _seeds(steps)
    first = seeds.groupby([*_METHOD, "seed"], sort=False, dropna=False).seed_folder.transform("first")
    twice = seeds.seed_folder != first
    problems += [
        f"there twice, the first counts: seed {run.seed} of {_named(run)} in {first[run.Index]} and {run.seed_folder}"
        for run in seeds[twice].itertuples()
    ]
    seeds = seeds[~twice].sort_values("seed")
    methods = [group for _, group in seeds.groupby(_METHOD, sort=False, dropna=False)]

    def order(group: pd.DataFrame) -> tuple[Any, ...]:
        one = group.iloc[0]
        return (natural(one.dataset), one.shots or 0, natural(one.trainer), natural(one.cfg), one.above)

    methods.sort(key=order)
    unfinished = [
        f"left out: seed {run.seed} in {run.above} is not through its {run.steps} steps"
        for group in methods
        for run in group[~group.complete].itertuples()
    ]
    results = [
        _result(group, steps[steps.seed_folder.isin(group.seed_folder[group.complete])])
        for group in methods
        if group.complete.any()
    ]
    return IncrementalFindings(results, [*unfinished, *_missing(methods), *problems])


def _steps(frame: pd.DataFrame) -> pd.DataFrame:
    """The runs that are steps, their `cfg` without the step, with the folder of their seed and the one above it."""
    steps = frame[(frame.protocol == INCREMENTAL) & frame.step.notna() & frame.seed.notna()]
    for run in steps.itertuples():
        if run.damaged:
            raise ResultsError(run.damaged)
        if pd.isna(run.steps):
            raise ResultsError(f"{run.folder / CONFIG_FILE} does not say how many steps there are")
    folders = steps.folder.map(Path.absolute)
    seed_folder, above = (folders.map(lambda folder, up=up: str(folder.parents[up])) for up in (0, 1))
    return steps.assign(cfg=steps.cfg.str.replace(r"/step\d+$", "", regex=True), seed_folder=seed_folder, above=above)


def _seeds(steps: pd.DataFrame) -> pd.DataFrame:
    """The seed folders; of one seed the first is that which is through all its steps, else the first by name."""
    seeds = steps.drop_duplicates([*_METHOD, "seed_folder"]).copy()
    finished = steps[steps.finished].groupby("seed_folder").step.agg(set)
    seeds["complete"] = [
        finished.get(run.seed_folder, set()) >= set(range(1, run.steps + 1)) for run in seeds.itertuples()
    ]
    place = seeds.seed_folder.map(natural)
    return seeds.loc[sorted(seeds.index, key=lambda row: (not seeds.complete[row], place[row]))]


def _missing(methods: Sequence[pd.DataFrame]) -> Iterator[str]:
    """Seeds that a trainer has with the same shots and steps, on other data or with other settings."""
    peers: dict[tuple[Any, ...], set[int]] = {}
    for group in methods:
        one = group.iloc[0]
        peers.setdefault((one.trainer, one.shots, one.steps), set()).update(group.seed)
    for group in methods:
        one = group.iloc[0]
        for seed in sorted(peers[one.trainer, one.shots, one.steps] - set(group.seed)):
            yield f"missing: seed {seed} of {_named(one)}"


def _named(run: Any) -> str:
    return describe(*(getattr(run, name) for name in GROUP))


def _result(seeds: pd.DataFrame, steps: pd.DataFrame) -> IncrementalResult:
    """The result of a method.

    Args:
        seeds: A row per seed.
        steps: The runs of those that are through all their steps.
    """
    one = seeds.iloc[0]
    steps = steps.sort_values(["seed", "step"])
    numbers = range(1, one.steps + 1)
    by_step = {number: steps[steps.step == number] for number in numbers}

    def accuracy(step: int, metric: str) -> Statistic:
        runs = by_step[step]
        values = [metrics.get(metric) for metrics in runs.metrics]
        if None in values:
            lacking = runs.folder.iloc[values.index(None)]
            raise ResultsError(f"{lacking / RESULTS_FILE} has no metric {metric}: run that step again")
        return Statistic(tuple(values))

    own, seen = (
        [[accuracy(step, name(number)) for number in range(1, step + 1)] for step in numbers]
        for name in (own_metric, seen_metric)
    )
    stages = [_stages(runs) for _, runs in steps.groupby("seed", sort=False)]
    falls = [zip(own[place][place].values, last.values, strict=True) for place, last in enumerate(own[-1])]
    return IncrementalResult(
        dataset=one.dataset,
        shots=-1 if pd.isna(one.shots) else int(one.shots),
        trainer=one.trainer,
        cfg=one.cfg,
        seen_as_negatives=bool(one.seen_as_negatives),
        steps=int(one.steps),
        seeds=seeds.seed[seeds.complete].tolist(),
        own=own,
        seen=seen,
        stage=[] if None in stages else [Statistic(values) for values in zip(*stages, strict=True)],
        fall=[Statistic(tuple(first - last for first, last in fall)) for fall in falls],
        files=[folder / RESULTS_FILE for folder in steps.folder],
        unfinished=seeds.seed[~seeds.complete].tolist(),
    )


def _stages(runs: pd.DataFrame) -> list[float] | None:
    """The accuracy of one seed after each step over the images of all sets so far; None: unknown.

    Steps of earlier versions did not record it: there each set counts as often as its own step has predictions.
    """
    recorded = [metrics.get(STAGE) for metrics in runs.metrics]
    if None not in recorded:
        return recorded
    from lamm.results.run_files import read_predictions

    images = [len(read_predictions(folder) or ()) for folder in runs.folder]
    if 0 in images:
        return None
    rights = [
        sum(count * metrics[seen_metric(number)] for number, count in enumerate(images[:step], start=1))
        for step, metrics in enumerate(runs.metrics, start=1)
    ]
    return [right / total for right, total in zip(rights, itertools.accumulate(images), strict=True)]
