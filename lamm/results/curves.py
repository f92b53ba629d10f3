"""Few-shot curves: which groups of runs form one line of accuracy over shots, and what the line is called."""

import math
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd
from tabulate import tabulate

from lamm.errors import ResultsError
from lamm.results.collect import ALL_CLASSES, GroupKey, Groups, Run, RunGroups, class_subset, natural, stored_config
from lamm.results.schema import EVALUATION, FEW_SHOT, INCREMENTAL
from lamm.results.table import TABULATE_FORMATS, Statistic, mean_and_spread, metric_over

ZERO_SHOT_TRAINER = "ZeroshotCLIP"
ALL_SHOTS = -1


def few_shot_curves(frame: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """The few-shot curves: one row per point.

    A curve is one trainer with one config on one data set. Columns: `dataset`; `label`, the trainer and what sets this
    curve apart from the trainer's others; `trainer`, `cfg`, `protocol`, `split`; `shots`, in ascending order, 0 for a
    method without training, whatever number it was started with, and `ALL_SHOTS` last; `value`, a `Statistic` over
    seeds; `runs`, their index labels in `frame`. Curves of a data set are in order of their labels, zero-shot first.
    Groups whose shots are not known, or that lack the metric, are left out.

    Args:
        frame: Runs, from `lamm.results.load`, such as those of the kind `few-shot`; unfinished ones don't count.
        metric: Name of the metric.
    """
    groups = mean_and_spread(frame, [metric])
    groups = groups[groups.shots.notna() & groups[metric].notna()].copy()
    shots = groups.shots.where(groups.shots > 0, ALL_SHOTS)
    groups["shots"] = shots.where(groups.trainer != ZERO_SHOT_TRAINER, 0).astype(int)
    points = groups.groupby(["dataset", "trainer", "cfg", "protocol", "split", "shots"], sort=False)
    curves = points.runs.agg("sum").reset_index()
    curves["value"] = [Statistic.over(frame.loc[runs, metric]) for runs in curves.runs]
    curves.insert(1, "label", _labels(curves))
    place = {dataset: number for number, dataset in enumerate(curves.dataset.unique())}

    def order(row: int) -> tuple[object, ...]:
        dataset, label, shots = curves.loc[row, ["dataset", "label", "shots"]]
        return place[dataset], shots != 0, natural(label), math.inf if shots == ALL_SHOTS else shots

    return curves.loc[sorted(curves.index, key=order)].reset_index(drop=True)


def _labels(curves: pd.DataFrame) -> list[str]:
    """The trainer, its overrides, and of the rest what differs between the trainer's curves on the data set."""
    names = curves.assign(cfg=curves.cfg.str.partition("+")[0])
    peers = names.groupby(["dataset", "trainer"])
    several = {name: peers[name].transform("nunique") > 1 for name in ("cfg", "protocol", "split")}
    labels = []
    for row, (trainer, cfg) in enumerate(zip(curves.trainer, curves.cfg, strict=True)):
        rest = [names[name].iloc[row] for name, differs in several.items() if differs.iloc[row]]
        remarks = [remark for remark in (cfg.partition("+")[2].replace("+", ", "), *rest) if remark]
        labels.append(f"{trainer} ({', '.join(remarks)})" if remarks else trainer)
    return labels


def mean_curves(frame: pd.DataFrame, datasets: Sequence[str], metric: str = "accuracy") -> pd.DataFrame:
    """The curve of each method over the mean of data sets: rows as `few_shot_curves` has them.

    A method is a trainer with one config: runs of another config are another method, whatever the curves are called.
    `dataset` is empty, and `value` is None at a point that one of the data sets lacks. The methods without any mean
    are those that have None at all points.

    Args:
        frame: Runs, from `lamm.results.load`.
        datasets: What the mean is taken over.
        metric: Name of the metric.
    """
    runs = frame[frame.finished & frame.dataset.isin(datasets)]
    method = ["trainer", "cfg", "split"]
    per_dataset = runs.groupby(["dataset", *method]).protocol.transform("nunique")
    told_apart = per_dataset.groupby([runs[name] for name in method]).transform("max") > 1
    pooled = runs.assign(dataset="", protocol=runs.protocol.where(told_apart, ""))
    curves = few_shot_curves(pooled, metric)
    curves["value"] = [_mean_over(runs.loc[point], datasets, metric) for point in curves.runs]
    return curves


def _mean_over(runs: pd.DataFrame, datasets: Sequence[str], metric: str) -> Statistic | None:
    """The mean over data sets: a number per seed where all have runs of the same seeds, else one number.

    Runs of the same seed on a data set count as one, their mean. None where a data set has no runs.
    """
    if not set(datasets) <= set(runs.dataset):
        return None
    by_seed = runs.pivot_table(metric, index="seed", columns="dataset", aggfunc=statistics.fmean)
    if runs.seed.notna().all() and by_seed.notna().all(axis=None):
        return Statistic(tuple(map(statistics.fmean, by_seed.to_numpy())))
    return Statistic((statistics.fmean(runs.groupby("dataset")[metric].agg(statistics.fmean)),))


def by_shots(curves: pd.DataFrame) -> pd.DataFrame:
    """The table of curves: a row per data set and label, a column per number of shots, `Statistic` cells.

    Args:
        curves: From `few_shot_curves` or `mean_curves`; one without training stands in the column 0.
    """
    table = curves.pivot(index=["dataset", "label"], columns="shots", values="value")
    rows = curves[["dataset", "label"]].drop_duplicates()
    return table.reindex(index=pd.MultiIndex.from_frame(rows), columns=ascending(table.columns))


@dataclass(frozen=True)
class Curve:
    """One line of a plot.

    Attributes:
        trainer: Name of the trainer.
        label: The trainer, and what sets this line apart from the trainer's others.
        points: Percent over seeds by number of shots, in ascending order; `ALL_SHOTS` comes last, 0 is zero-shot.
        runs: The runs behind each point.
    """

    trainer: str
    label: str
    points: dict[int, Statistic]
    runs: dict[int, list[Run]] = field(default_factory=dict)

    @property
    def zero_shot(self) -> bool:
        """Whether this is a method without training, which has one value whatever the shots."""
        return list(self.points) == [0]


class _Line(NamedTuple):
    trainer: str
    overrides: str
    cfg: str
    protocol: str
    split: str


def curves(groups: Groups, metric: str = "accuracy") -> dict[str, list[Curve]]:
    """The curves of each data set, zero-shot first.

    A run of `ZeroshotCLIP` has 0 shots, whatever number it was started with. Groups whose shots are not known, or that
    lack the metric, are left out; `without_point` names them.

    Args:
        groups: Finished runs.
        metric: Name of the metric.
    """
    lines: dict[str, dict[_Line, dict[int, list[Run]]]] = {}
    for key, runs in groups.items():
        shots = _shots(key)
        if shots is not None and metric_over(runs, metric):
            points = lines.setdefault(key.dataset, {}).setdefault(_line(key), {})
            points.setdefault(shots, []).extend(runs)
    return {dataset: _labelled(members, metric) for dataset, members in lines.items()}


def without_point(groups: Groups, metric: str = "accuracy") -> list[GroupKey]:
    """The groups that `curves` leaves out."""
    return [key for key, runs in groups.items() if _shots(key) is None or not metric_over(runs, metric)]


def ascending(shots: Iterable[int]) -> list[int]:
    """Numbers of shots in ascending order, `ALL_SHOTS` last."""
    return sorted(shots, key=lambda number: math.inf if number == ALL_SHOTS else number)


def _shots(key: GroupKey) -> int | None:
    if key.trainer == ZERO_SHOT_TRAINER:
        return 0
    return key.shots if key.shots is None or key.shots > 0 else ALL_SHOTS


def _line(key: GroupKey) -> _Line:
    cfg, _, overrides = key.cfg.partition("+")
    return _Line(key.trainer, overrides.replace("+", ", "), cfg, key.protocol, key.split)


def _labelled(lines: dict[_Line, dict[int, list[Run]]], metric: str) -> list[Curve]:
    found = []
    for line, points in lines.items():
        statistics = {shots: metric_over(runs, metric) for shots, runs in points.items()}
        known = {shots: value for shots, value in statistics.items() if value is not None}
        ordered = {shots: known[shots] for shots in ascending(known)}
        found.append(Curve(line.trainer, _label(line, lines), ordered, {shots: points[shots] for shots in ordered}))
    return sorted(found, key=lambda curve: (not curve.zero_shot, natural(curve.label)))


def _label(line: _Line, lines: Iterable[_Line]) -> str:
    """The trainer, its overrides, and of the rest of the line what differs between the trainer's lines."""
    peers = [peer for peer in lines if peer.trainer == line.trainer]
    rest = [getattr(line, name) for name in ("cfg", "protocol", "split") if _differs(peers, name)]
    remarks = [remark for remark in (line.overrides, *rest) if remark]
    return f"{line.trainer} ({', '.join(remarks)})" if remarks else line.trainer


def _differs(peers: Sequence[_Line], name: str) -> bool:
    return len({getattr(peer, name) for peer in peers}) > 1


PART_OF_CLASSES = "on a part of the classes"
_KINDS = {EVALUATION: "evaluation", INCREMENTAL: "incremental step"}
_SUBSET = re.compile(r"\+(?:DATASET\.)?SUBSAMPLE_CLASSES=([^+/]+)")


@dataclass(frozen=True)
class FewShotRuns:
    """The few-shot experiment, and what else there is.

    Attributes:
        groups: Its runs, the unfinished ones included.
        left_out: Numbers of other runs, by what they are.
    """

    groups: RunGroups
    left_out: dict[str, int]

    @property
    def left_out_line(self) -> str:
        """What is left out, on one line; empty where nothing is."""
        counts = ", ".join(f"{what} ({count})" for what, count in self.left_out.items())
        return f"left out, no few-shot runs on all classes: {counts}" if counts else ""


def few_shot_runs(found: RunGroups) -> FewShotRuns:
    """Take out of all runs those of the few-shot experiment."""
    kept: list[Run] = []
    others: Counter[str] = Counter()
    for runs in found.all.values():
        for run in runs:
            if reason := why_no_few_shot_run(run):
                others[reason] += 1
            else:
                kept.append(run)
    return FewShotRuns(RunGroups(kept), dict(sorted(others.items())))


def require_few_shot_runs(found: RunGroups) -> FewShotRuns:
    """As `few_shot_runs`, where there has to be one.

    Raises:
        ResultsError: There is none, finished or not.
    """
    made = few_shot_runs(found)
    if not made.groups.all:
        raise ResultsError(f"no few-shot run on all classes to show; {made.left_out_line}")
    return made


def why_no_few_shot_run(run: Run) -> str:
    """What a run is that does not belong to the few-shot experiment; empty for one that does.

    A run that only its path tells of, such as a log of other code, belongs to it: its protocol is a part of the path.
    Which classes a run was on, the config's name says or, as far as it can be read, its `config.yaml`.
    """
    if run.key_from_path:
        return ""
    protocol = run.key.protocol.replace("_", "-")
    if protocol != FEW_SHOT:
        return _KINDS.get(protocol, f"protocol {run.key.protocol or 'unknown'}")
    return "" if _subset(run) == ALL_CLASSES else PART_OF_CLASSES


def _subset(run: Run) -> str:
    if named := _SUBSET.search(run.key.cfg):
        return named.group(1)
    try:
        return class_subset(stored_config(run.folder))
    except ResultsError:
        return ALL_CLASSES


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


def _pooled(by_dataset: Mapping[str, Sequence[Curve]], datasets: Sequence[str]) -> list[Curve]:
    """The curves of the data sets' runs together, as though they were of one."""
    runs = [
        run for name in datasets for curve in by_dataset.get(name, ()) for some in curve.runs.values() for run in some
    ]
    protocols: dict[tuple[str, GroupKey], set[str]] = {}
    for run in runs:
        protocols.setdefault((run.key.dataset, _method(run)), set()).add(run.key.protocol)
    told_apart = {method for (_, method), found in protocols.items() if len(found) > 1}
    groups: Groups = {}
    for run in runs:
        method = _method(run)
        protocol = run.key.protocol if method in told_apart else ""
        groups.setdefault(method._replace(shots=run.key.shots, protocol=protocol), []).append(run)
    return curves(groups).get("", [])


def _method(run: Run) -> GroupKey:
    """Trainer, config and split of a run: what it has in common with its method's runs on other data sets."""
    return run.key._replace(dataset="", shots=None, protocol="")


def _by_seed(runs: Iterable[Run], metric: str) -> dict[int | None, float]:
    found: dict[int | None, list[float]] = {}
    for run in runs:
        found.setdefault(run.seed, []).append(run.metrics[metric])
    return {seed: statistics.fmean(found[seed]) for seed in sorted(found, key=lambda seed: (seed is None, seed or 0))}


ALL = "all"


def render_by_shots(curves: dict[str, list[Curve]], layout: str = "plain", ci95: bool = False) -> str:
    """The tables as text, each under the name of its data set, without a line break at the end.

    A method without training has its one value in every column.

    Args:
        curves: of each data set, from `few_shot_curve.curves`.
        layout: one of `TABULATE_FORMATS`.
        ci95: show the 95% confidence interval in place of the standard deviation.
    """
    return "\n\n".join(f"{dataset}\n\n{_table(members, layout, ci95)}" for dataset, members in curves.items())


def _table(curves: Sequence[Curve], layout: str, ci95: bool) -> str:
    shots = ascending({number for curve in curves for number in curve.points if not curve.zero_shot})
    names = [ALL if number == ALL_SHOTS else str(number) for number in shots] or ["0"]
    lines = [[curve.label, *(_cell(curve, number, ci95) for number in shots or [0])] for curve in curves]
    align = ["left", *("right" for _ in names)]
    return tabulate(
        lines, headers=["trainer", *names], tablefmt=TABULATE_FORMATS[layout], colalign=align, disable_numparse=True
    )


def _cell(curve: Curve, shots: int, ci95: bool) -> str:
    value: Statistic | None = curve.points.get(0 if curve.zero_shot else shots)
    return "" if value is None else value.text("ci95" if ci95 else "std", digits=1)
