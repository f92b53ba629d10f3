"""The table of results: one row a group of runs, mean and spread over its seeds."""

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pandas as pd
from tabulate import tabulate

from lamm.results.collect import GroupKey, Groups, Run
from lamm.results.frame import GROUP

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Statistic:
    """One number a run, over several runs (at least one)."""

    values: tuple[float, ...]

    @classmethod
    def over(cls, values: Iterable[float]) -> "Statistic | None":
        """The statistic of one number per run, None when a run lacks it or there is none."""
        numbers = tuple(map(float, values))
        return None if not numbers or any(map(math.isnan, numbers)) else cls(numbers)

    def __str__(self) -> str:
        """As `text()`."""
        return self.text()

    __repr__ = __str__

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """The population standard deviation (divides by n, as the CoOp family's tables do)."""
        return statistics.pstdev(self.values)

    @property
    def ci95(self) -> float:
        """Half the width of the 95% confidence interval of the mean as the CoOp family computes it: 1.96·std/√n."""
        return 1.96 * self.std / math.sqrt(len(self.values))

    def text(self, spread: str = "std", digits: int = 2) -> str:
        """`91.88 ± 0.40`; without the spread where there is one value.

        Args:
            spread: "std" or "ci95".
            digits: Places after the point.
        """
        mean = f"{self.mean:.{digits}f}"
        return mean if len(self.values) == 1 else f"{mean} ± {getattr(self, spread):.{digits}f}"


def mean_and_spread(
    frame: pd.DataFrame, metrics: Sequence[str] = ("accuracy", "macro_f1"), by: Sequence[str] = GROUP
) -> pd.DataFrame:
    """One row per group of finished runs, in the order of `frame`.

    Columns: those of `by`; `seeds` (a tuple; None for a run that doesn't say it); each metric as a `Statistic`, None
    where a run lacks it; `trainable_parameters`, the largest, and `seconds_train`, the median, over the runs that know
    them; and `runs`, the index labels of the runs in `frame`, so that `frame.loc[row.runs]` are the runs of a row.

    Args:
        frame: Runs, from `lamm.results.load`.
        metrics: The columns of `frame` to put together.
        by: What the runs of a group have in common; the seed is what they differ in.
    """
    groups = frame[frame.finished].groupby(list(by), sort=False, dropna=False)
    columns = {"seeds": groups.seed.agg(lambda seeds: tuple(None if pd.isna(seed) else int(seed) for seed in seeds))}
    columns |= {metric: groups[metric].agg(Statistic.over) for metric in metrics}
    columns |= {
        "trainable_parameters": groups.trainable_parameters.max(),
        "seconds_train": groups.seconds_train.median(),
    }
    columns["runs"] = groups.folder.agg(lambda folders: list(folders.index))
    return pd.DataFrame(columns).reset_index()


def metric_over(runs: Sequence[Run], metric: str) -> Statistic | None:
    """The statistic of `metric` (such as "accuracy") over `runs`, None when a run lacks it or there is none."""
    values = [run.metrics.get(metric) for run in runs]
    return Statistic(tuple(_known(values))) if values and None not in values else None


def median_seconds(runs: Sequence[Run]) -> float | None:
    """The median training time in seconds over the runs that know theirs, None when none does."""
    seconds = _known(run.seconds_train for run in runs)
    return statistics.median(seconds) if seconds else None


def trainable_parameters(runs: Sequence[Run]) -> int | None:
    """The number of trained scalars, the largest when runs differ; None when no run knows it."""
    return max(_known(run.trainable_parameters for run in runs), default=None)


def _known(values: Iterable[_Number | None]) -> list[_Number]:
    return [value for value in values if value is not None]


FORMATS = ("plain", "github", "latex", "csv", "json")
METRICS = ("accuracy", "macro_f1")
TABULATE_FORMATS = {"plain": "simple", "github": "github", "latex": "latex_raw"}
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


@dataclass(frozen=True)
class Row:
    """One group of runs.

    Attributes:
        key: What the runs have in common.
        seeds: Their seeds; None for a run that doesn't say it.
        metrics: Percent by name; None when a run lacks that metric.
        trainable_parameters: Number of trained scalars, None when not known.
        seconds_train: Median training time, None when not known.
    """

    key: GroupKey
    seeds: list[int | None]
    metrics: dict[str, Statistic | None]
    trainable_parameters: int | None
    seconds_train: float | None


def rows(groups: Groups, metrics: Sequence[str] = METRICS) -> list[Row]:
    """One row a group.

    Args:
        groups: Finished runs.
        metrics: The metrics to show.
    """
    return [
        Row(
            key=key,
            seeds=[run.seed for run in runs],
            metrics={metric: metric_over(runs, metric) for metric in metrics},
            trainable_parameters=trainable_parameters(runs),
            seconds_train=median_seconds(runs),
        )
        for key, runs in groups.items()
    ]


def render(table: Sequence[Row], layout: str = "plain", ci95: bool = False) -> str:
    """The table as text, without a line break at its end.

    Args:
        table: At least one row.
        layout: One of `FORMATS`. "csv" and "json" hold every column and unrounded numbers; the others, made to be read,
            round, and leave out protocol and split where these are the same everywhere.
        ci95: Show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    if layout == "json":
        return json.dumps([_json_row(row, spread) for row in table], indent=2, ensure_ascii=False)
    if layout == "csv":
        return _csv(table, spread)
    lines = _without_constant([_readable_row(row, spread) for row in table])
    if layout == "latex":
        lines = [{latex_text(name): latex_text(cell) for name, cell in line.items()} for line in lines]
    names = list(lines[0])
    align = ["left" if name in ("dataset", "trainer", "cfg", "protocol", "split") else "right" for name in names]
    cells = [list(line.values()) for line in lines]
    return tabulate(cells, headers=names, tablefmt=TABULATE_FORMATS[layout], colalign=align, disable_numparse=True)


def _json_row(row: Row, spread: str) -> dict[str, Any]:
    metrics = {
        name: value and {"mean": value.mean, spread: getattr(value, spread), "values": list(value.values)}
        for name, value in row.metrics.items()
    }
    return {**row.key._asdict(), "seeds": row.seeds, **metrics, **_cost(row)}


def _csv(table: Sequence[Row], spread: str) -> str:
    lines = []
    for row in table:
        line = {**row.key._asdict(), "seeds": _seeds(row)}
        for name, value in row.metrics.items():
            line[f"{name}_mean"] = value and value.mean
            line[f"{name}_{spread}"] = value and getattr(value, spread)
        lines.append(line | _cost(row))
    text = io.StringIO()
    writer = csv.DictWriter(text, lines[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue().rstrip("\n")


def _readable_row(row: Row, spread: str) -> dict[str, str]:
    cells = {**row.key._asdict(), "seeds": _seeds(row), **row.metrics, **_cost(row)}
    return {name: _cell(value, spread) for name, value in cells.items()}


def _cost(row: Row) -> dict[str, float | None]:
    return {"trainable_parameters": row.trainable_parameters, "seconds_train": row.seconds_train}


def _seeds(row: Row) -> str:
    return " ".join("?" if seed is None else str(seed) for seed in row.seeds)


def _cell(value: Any, spread: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, Statistic):
        return value.text(spread)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _without_constant(lines: list[dict[str, str]]) -> list[dict[str, str]]:
    """The lines without protocol and split, where these say the same on each."""
    constant = {name for name in ("protocol", "split") if len({line[name] for line in lines}) == 1}
    return [{name: cell for name, cell in line.items() if name not in constant} for line in lines]


def latex_text(text: str) -> str:
    """Text as LaTeX takes it, special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in text)
