"""Methods beside each other: one table a data set, a row a method, a column a number of shots."""

from collections.abc import Sequence

from tabulate import tabulate

from lamm.results.few_shot_curve import ALL_SHOTS, Curve, ascending
from lamm.results.statistic import Statistic
from lamm.results.table import TABULATE_FORMATS

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
