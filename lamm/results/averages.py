"""Means over data sets, seed by seed, of methods that have runs on each of them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from lamm.results.few_shot_curve import Curve, ascending
from lamm.results.groups import Run
from lamm.results.statistic import Statistic


def average_curves(curves: Mapping[str, Sequence[Curve]], datasets: Sequence[str]) -> list[Curve]:
    """The curve of each method over the mean of data sets; a point that a data set lacks is left out.

    Args:
        curves: By data set, matched by label.
        datasets: What the mean is taken over.
    """
    by_label = {dataset: {curve.label: curve for curve in curves.get(dataset, ())} for dataset in datasets}
    labels = dict.fromkeys(curve.label for dataset in datasets for curve in curves.get(dataset, ()))
    means = []
    for label in labels:
        members = [by_label[dataset][label] for dataset in datasets if label in by_label[dataset]]
        if len(members) == len(datasets) and (mean := average_curve(members)).points:
            means.append(mean)
    return means


def average_curve(members: Sequence[Curve]) -> Curve:
    """One method's curves, one a data set, as the curve of their mean: the points that all of them have."""
    shared = set.intersection(*(set(member.points) for member in members))
    runs = {shots: [run for member in members for run in member.runs[shots]] for shots in ascending(shared)}
    points = {shots: mean_over([member.runs[shots] for member in members]) for shots in runs}
    return Curve(members[0].trainer, members[0].label, points, runs)


def mean_over(datasets: Sequence[Sequence[Run]], metric: str = "accuracy") -> Statistic:
    """The mean over data sets, a number a seed where all have runs of the same seeds, else one number.

    Args:
        datasets: The runs of each; runs of the same seed on a data set count as one, their mean.
        metric: A metric that all runs have.
    """
    by_seed = [_by_seed(runs, metric) for runs in datasets]
    if None not in by_seed[0] and all(numbers.keys() == by_seed[0].keys() for numbers in by_seed):
        return Statistic(tuple(statistics.fmean(numbers[seed] for numbers in by_seed) for seed in by_seed[0]))
    means = (statistics.fmean(run.metrics[metric] for run in runs) for runs in datasets)
    return Statistic((statistics.fmean(means),))


def _by_seed(runs: Iterable[Run], metric: str) -> dict[int | None, float]:
    found: dict[int | None, list[float]] = {}
    for run in runs:
        found.setdefault(run.seed, []).append(run.metrics[metric])
    return {seed: statistics.fmean(found[seed]) for seed in sorted(found, key=lambda seed: (seed is None, seed or 0))}
