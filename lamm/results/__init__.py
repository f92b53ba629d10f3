"""Results of runs as one table: `load` reads every run below some folders into a pandas DataFrame, a row per run.

In a notebook:

    import lamm.results as results

    frame = results.load("output")
    few_shot = frame[frame.finished & (frame.kind == "few-shot")]
    few_shot.groupby(["dataset", "shots", "trainer"]).accuracy.agg(["mean", "std", "count"])
    few_shot.pivot_table("accuracy", index=["dataset", "trainer"], columns="shots")

`lamm.results.frame.load` describes the columns. The functions below make the tables of `parse_results` from the frame:
a cell with several seeds is a `Statistic`, which prints as `91.88 ± 0.40` and has `mean`, `std`, `ci95` and `values`.

    results.mean_and_spread(few_shot)                         # a row per experiment, over its seeds
    curves = results.few_shot_curves(few_shot)                # a row per point of a few-shot curve
    results.by_shots(curves)                                  # methods as rows, shots as columns
    results.mean_curves(few_shot, ["digits", "shapes"])       # each method's mean over data sets
    results.problems(frame, seeds=[1, 2, 3])                  # what is unfinished, missing or there twice

`lamm.transfer.results.transfer_findings(frame)` and `lamm.incremental.results.incremental_findings(frame)` put together
what belongs to those protocols. `natural`, `shots_in_words` and `describe` are in `lamm.results.frame`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamm.results.curves import by_shots, few_shot_curves, mean_curves
    from lamm.results.frame import GROUP, load, problems
    from lamm.results.table import Statistic, mean_and_spread

__all__ = [
    "GROUP",
    "Statistic",
    "by_shots",
    "few_shot_curves",
    "load",
    "mean_and_spread",
    "mean_curves",
    "problems",
]

_MODULES = {"GROUP": "frame", "load": "frame", "problems": "frame", "Statistic": "table", "mean_and_spread": "table"}


def __getattr__(name: str) -> Any:
    """Import pandas only when a table is wanted: a training run needs nothing but `lamm.results.schema`."""
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'curves')}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
