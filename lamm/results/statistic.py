"""Mean and spread of a number over runs."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from lamm.results.groups import Run

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Statistic:
    """One number a run, over several runs (at least one)."""

    values: tuple[float, ...]

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
