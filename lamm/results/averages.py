"""Means over data sets, seed by seed, of methods that have runs on each of them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence

from lamm.results.few_shot_curve import Curve
from lamm.results.few_shot_curve import curves as curves_of
from lamm.results.groups import Groups, Run
from lamm.results.layout import GroupKey
from lamm.results.statistic import Statistic


def average_curves(curves: Mapping[str, Sequence[Curve]], datasets: Sequence[str]) -> list[Curve]:
    """The curve of each method over the mean of data sets; a point that a data set lacks is left out.

    A method is a trainer with one config: runs of another config are another method, whatever the curves are called.

    Args:
        curves: By data set, with their runs.
        datasets: What the mean is taken over.
    """
    return [mean for _, mean in _means(curves, datasets) if mean is not None]


def without_average(curves: Mapping[str, Sequence[Curve]], datasets: Sequence[str]) -> list[str]:
    """The names of the methods that `average_curves` leaves out: no number of shots is there on all data sets."""
    return [label for label, mean in _means(curves, datasets) if mean is None]


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


def _means(curves: Mapping[str, Sequence[Curve]], datasets: Sequence[str]) -> list[tuple[str, Curve | None]]:
    """The name of each method, told apart among all data sets, and its mean where there is one."""
    means: list[tuple[str, Curve | None]] = []
    for curve in _pooled(curves, datasets):
        points, runs = {}, {}
        for shots, everything in curve.runs.items():
            by_dataset = [[run for run in everything if run.key.dataset == dataset] for dataset in datasets]
            if all(by_dataset):
                points[shots], runs[shots] = mean_over(by_dataset), [run for some in by_dataset for run in some]
        means.append((curve.label, Curve(curve.trainer, curve.label, points, runs) if points else None))
    return means


def _pooled(curves: Mapping[str, Sequence[Curve]], datasets: Sequence[str]) -> list[Curve]:
    """The curves of the data sets' runs together, as though they were of one."""
    runs = [run for name in datasets for curve in curves.get(name, ()) for some in curve.runs.values() for run in some]
    protocols: dict[tuple[str, GroupKey], set[str]] = {}
    for run in runs:
        protocols.setdefault((run.key.dataset, _method(run)), set()).add(run.key.protocol)
    told_apart = {method for (_, method), found in protocols.items() if len(found) > 1}
    groups: Groups = {}
    for run in runs:
        method = _method(run)
        protocol = run.key.protocol if method in told_apart else ""
        groups.setdefault(method._replace(shots=run.key.shots, protocol=protocol), []).append(run)
    return curves_of(groups).get("", [])


def _method(run: Run) -> GroupKey:
    """Trainer, config and split of a run: what it has in common with its method's runs on other data sets."""
    return run.key._replace(dataset="", shots=None, protocol="")


def _by_seed(runs: Iterable[Run], metric: str) -> dict[int | None, float]:
    found: dict[int | None, list[float]] = {}
    for run in runs:
        found.setdefault(run.seed, []).append(run.metrics[metric])
    return {seed: statistics.fmean(found[seed]) for seed in sorted(found, key=lambda seed: (seed is None, seed or 0))}
