"""Few-shot curves: which groups of runs form one line of accuracy over shots, what it is called, and its table."""

import math
import statistics
from collections.abc import Iterable, Sequence

import pandas as pd

from lamm.errors import ResultsError
from lamm.results.frame import natural
from lamm.results.schema import FEW_SHOT
from lamm.results.table import Statistic, escaped, mean_and_spread, tabulated

ZERO_SHOT_TRAINER = "ZeroshotCLIP"
ALL_SHOTS = -1


def require_few_shot_runs(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The runs of the few-shot experiment on all classes, and a line that counts the others; empty if there are none.

    Raises:
        ResultsError: There is no such run, finished or not.
    """
    others = frame.kind[frame.kind != FEW_SHOT].value_counts().sort_index()
    counts = ", ".join(f"{kind} ({count})" for kind, count in others.items())
    line = f"left out, no few-shot runs on all classes: {counts}" if counts else ""
    if len(frame) == others.sum():
        raise ResultsError(f"no few-shot run on all classes to show; {line}")
    return frame[frame.kind == FEW_SHOT], line


def few_shot_curves(frame: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """The few-shot curves: one row per point.

    A curve is one trainer with one config on one data set. Columns: `dataset`; `label`, the trainer and what sets this
    curve apart from the trainer's others; `trainer`, `cfg`, `protocol`, `split`; `shots`, in ascending order, 0 for a
    method without training, whatever number it was started with, and `ALL_SHOTS` last; `value`, a `Statistic` over
    seeds; `runs`, their index labels in `frame`. Curves of a data set are in order of their labels, zero-shot first.
    Groups whose shots are not known, or that lack the metric, are left out; `without_point` names them.

    Args:
        frame: Runs, from `lamm.results.load`, such as those of the kind `few-shot`; unfinished ones don't count.
        metric: Name of the metric.
    """
    groups = mean_and_spread(frame, [metric])
    groups = groups[groups.shots.notna() & groups[metric].notna()].copy()
    shots = groups.shots.where(groups.shots > 0, ALL_SHOTS)
    groups["shots"] = shots.where(groups.trainer != ZERO_SHOT_TRAINER, 0).astype(int)
    # Runs of zero-shot CLIP with several numbers of shots are one point.
    points = groups.groupby(["dataset", "trainer", "cfg", "protocol", "split", "shots"], sort=False)
    curves = points.runs.agg("sum").reset_index()
    curves["value"] = pd.Series([Statistic.over(frame.loc[runs, metric]) for runs in curves.runs], dtype=object)
    curves.insert(1, "label", _labels(curves))
    place = {dataset: number for number, dataset in enumerate(groups.dataset.unique())}

    def order(row: int) -> tuple[object, ...]:
        dataset, label, shots = curves.loc[row, ["dataset", "label", "shots"]]
        return place[dataset], shots != 0, natural(label), math.inf if shots == ALL_SHOTS else shots

    return curves.loc[sorted(curves.index, key=order)].reset_index(drop=True)


def _labels(curves: pd.DataFrame) -> list[str]:
    """The trainer, its overrides, and of the rest what differs between the trainer's curves on the data set."""
    names = curves.assign(cfg=curves.cfg.map(lambda cfg: cfg.partition("+")[0]))
    overrides = curves.cfg.map(lambda cfg: cfg.partition("+")[2].replace("+", ", "))
    peers = names.groupby(["dataset", "trainer"])
    differing = [names[name].where(peers[name].transform("nunique") > 1, "") for name in ("cfg", "protocol", "split")]
    labels = []
    for trainer, *remarks in zip(curves.trainer, overrides, *differing, strict=True):
        remark = ", ".join(filter(None, remarks))
        labels.append(f"{trainer} ({remark})" if remark else trainer)
    return labels


def without_point(frame: pd.DataFrame, metric: str = "accuracy") -> pd.DataFrame:
    """The groups (rows of `mean_and_spread`) that `few_shot_curves` leaves out."""
    groups = mean_and_spread(frame, [metric])
    return groups[groups[metric].isna() | (groups.shots.isna() & (groups.trainer != ZERO_SHOT_TRAINER))]


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
    # Protocols tell methods apart only where a data set has the method with several, for logs have a path there.
    protocols = runs.groupby(["dataset", *method]).protocol.transform("nunique")
    told_apart = protocols.groupby([runs[name] for name in method]).transform("max") > 1
    curves = few_shot_curves(runs.assign(dataset="", protocol=runs.protocol.where(told_apart, "")), metric)
    means = [mean_over(runs.loc[point], datasets, metric) for point in curves.runs]
    return curves.assign(value=pd.Series(means, dtype=object))


def mean_over(runs: pd.DataFrame, datasets: Sequence[str], metric: str = "accuracy") -> Statistic | None:
    """The mean over data sets: a number per seed where all have runs of the same seeds, else one number.

    Runs of the same seed on a data set count as one, their mean. None where a data set has no runs.
    """
    if not set(datasets) <= set(runs.dataset):
        return None
    by_seed = runs.groupby(["seed", "dataset"])[metric].agg(statistics.fmean).unstack()
    if runs.seed.notna().all() and by_seed.notna().all(axis=None):
        return Statistic(tuple(map(statistics.fmean, by_seed.to_numpy())))
    return Statistic((statistics.fmean(runs.groupby("dataset")[metric].agg(statistics.fmean)),))


def ascending(shots: Iterable[int]) -> list[int]:
    """Numbers of shots in ascending order, `ALL_SHOTS` last."""
    return sorted(shots, key=lambda number: math.inf if number == ALL_SHOTS else number)


def by_shots(curves: pd.DataFrame) -> pd.DataFrame:
    """The table of curves: a row per data set and label, a column per number of shots, `Statistic` cells.

    Args:
        curves: From `few_shot_curves` or `mean_curves`; one without training stands in the column 0.
    """
    table = curves.pivot(index=["dataset", "label"], columns="shots", values="value")
    rows = curves[["dataset", "label"]].drop_duplicates()
    return table.reindex(index=pd.MultiIndex.from_frame(rows), columns=ascending(table.columns))


def render_by_shots(
    curves: pd.DataFrame, layout: str = "plain", ci95: bool = False, frame: pd.DataFrame | None = None
) -> str:
    """The tables as text, each under the name of its data set, without a line break at the end.

    A method without training has its one value in every column.

    Args:
        curves: From `few_shot_curves` or `mean_curves`.
        layout: One of `lamm.results.table.TABULATE_FORMATS`.
        ci95: Show the 95% confidence interval in place of the standard deviation.
        frame: The curves' runs. With it, two more columns: the largest number of `parameters`, and the `seconds` of
            training with the most shots, a median.
    """
    spread, texts = "ci95" if ci95 else "std", []
    for dataset, points in curves.groupby("dataset", sort=False):
        table = by_shots(points).droplevel("dataset")
        columns = [number for number in table if number != 0] or [0]
        lines = []
        for label, values in table.iterrows():
            cells = values[columns].fillna(values.get(0, math.nan))
            texts_of = ["" if pd.isna(value) else value.text(spread, digits=1) for value in cells]
            names = ["all" if number == ALL_SHOTS else str(number) for number in columns]
            lines.append({"trainer": label, **dict(zip(names, texts_of, strict=True))})
            if frame is not None:
                runs = points.runs[points.label == label]
                parameters = frame.loc[runs.sum(), "trainable_parameters"].max()
                seconds = frame.loc[runs.iloc[-1], "seconds_train"].median()
                lines[-1] |= {
                    "parameters": "" if pd.isna(parameters) else f"{parameters:,}",
                    "seconds": "" if pd.isna(seconds) else f"{seconds:.1f}",
                }
        texts.append(f"{escaped(dataset, layout)}\n\n{tabulated(lines, layout, left=['trainer'])}")
    return "\n\n".join(texts)
