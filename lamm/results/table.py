"""The table of results, a row per group of runs with mean and spread over its seeds, and what all tables share."""

import json
import math
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from tabulate import tabulate

from lamm.escaping import csv_cell, latex, markdown, printable
from lamm.results.frame import GROUP

FORMATS = ("plain", "github", "latex", "csv", "json")
METRICS = ("accuracy", "macro_f1")
TABULATE_FORMATS = {"plain": "simple", "github": "github", "latex": "latex_raw"}


@dataclass(frozen=True)
class Statistic:
    """One number per run, over several runs (at least one)."""

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

    def as_json(self, spread: str = "std") -> dict[str, Any]:
        """Mean, spread and values."""
        return {"mean": self.mean, spread: getattr(self, spread), "values": list(self.values)}


def mean_and_spread(frame: pd.DataFrame, metrics: Sequence[str] = METRICS, by: Sequence[str] = GROUP) -> pd.DataFrame:
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
    columns["trainable_parameters"] = groups.trainable_parameters.max()
    columns["seconds_train"] = groups.seconds_train.median()
    columns["runs"] = groups.folder.agg(lambda folders: list(folders.index))
    return pd.DataFrame(columns).reset_index()


def render(table: pd.DataFrame, layout: str = "plain", ci95: bool = False) -> str:
    """The table as text, without a line break at its end.

    Args:
        table: At least one row, from `mean_and_spread`.
        layout: One of `FORMATS`. "csv" and "json" hold every column and unrounded numbers; the others, made to be read,
            round, and leave out protocol and split where these are the same everywhere.
        ci95: Show the 95% confidence interval in place of the standard deviation.
    """
    spread = "ci95" if ci95 else "std"
    metrics = [name for name in table if name not in (*GROUP, "seeds", "trainable_parameters", "seconds_train", "runs")]
    rows = table.drop(columns="runs").astype(object).where(table.notna(), None).to_dict("records")
    if layout == "json":
        for row in rows:
            row |= {"seeds": list(row["seeds"])}
            row |= {name: row[name] and row[name].as_json(spread) for name in metrics}
        return json.dumps(rows, indent=2, ensure_ascii=False)
    for row in rows:
        row["seeds"] = " ".join("?" if seed is None else str(seed) for seed in row["seeds"])
    if layout == "csv":
        numbers = pd.DataFrame(rows, dtype=object)
        for name in metrics:
            at = list(numbers).index(name)
            values = numbers.pop(name)
            numbers.insert(at, f"{name}_mean", [value and value.mean for value in values])
            numbers.insert(at + 1, f"{name}_{spread}", [value and getattr(value, spread) for value in values])
        return csv_text(numbers.to_dict("records"))
    constant = [name for name in ("protocol", "split") if table[name].nunique() == 1]
    lines = [{name: _cell(value, spread) for name, value in row.items() if name not in constant} for row in rows]
    return tabulated(lines, layout, left=("dataset", "trainer", "cfg", "protocol", "split"))


def _cell(value: Any, spread: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, Statistic):
        return value.text(spread)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def tabulated(lines: Sequence[Mapping[str, str]], layout: str, left: Collection[str]) -> str:
    """Lines of text cells as a table.

    Args:
        lines: At least one, all with the same columns.
        layout: One of `TABULATE_FORMATS`.
        left: The columns of words; the others are numbers, which stand on the right.
    """
    return tabulate(
        [[escaped(cell, layout) for cell in line.values()] for line in lines],
        headers=[escaped(name, layout) for name in lines[0]],
        tablefmt=TABULATE_FORMATS[layout],
        colalign=["left" if name in left else "right" for name in lines[0]],
        disable_numparse=True,
    )


def csv_text(lines: Iterable[Mapping[str, Any]]) -> str:
    """Lines as CSV with a header, numbers unrounded, no text a formula, without a line break at the end."""
    texts = ({name: csv_cell(printable(v)) if isinstance(v, str) else v for name, v in line.items()} for line in lines)
    return pd.DataFrame(list(texts), dtype=object).to_csv(index=False, lineterminator="\n").rstrip("\n")


def escaped(text: str, layout: str) -> str:
    """A name or a line of words, on one line, without what would be markup in a layout of `TABULATE_FORMATS`."""
    line = printable(text)
    return markdown(line) if layout == "github" else latex(line) if layout == "latex" else line
