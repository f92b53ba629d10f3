"""What a report is made of: the table of runs, and their place in the list at the page's end."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from lamm.errors import ResultsError, unknown_name
from lamm.results.curves import ZERO_SHOT_TRAINER, few_shot_curves
from lamm.results.frame import GROUP, PART_OF_CLASSES, load
from lamm.results.schema import FEW_SHOT

MOST_DETAILS = 12


@dataclass(frozen=True)
class Material:
    """The runs of a report. Methods take and return runs as index labels of `runs`.

    Attributes:
        folders: Where the runs were looked for.
        runs: A row per run, see `lamm.results.load`; `anchor` is the id of its group in the page's list of runs.
        base: The folder that shown paths are relative to.
    """

    folders: list[Path]
    runs: pd.DataFrame
    base: Path

    @cached_property
    def finished(self) -> pd.DataFrame:
        """The finished runs."""
        return self.runs[self.runs.finished]

    @cached_property
    def few_shot(self) -> pd.DataFrame:
        """The finished runs of the few-shot experiment, on all classes."""
        return self.finished[self.finished.kind == FEW_SHOT]

    @cached_property
    def on_some_classes(self) -> int:
        """Number of finished few-shot runs that are left out of `few_shot`: those on a part of the classes."""
        return int((self.finished.kind == PART_OF_CLASSES).sum())

    @cached_property
    def curves(self) -> pd.DataFrame:
        """Accuracy over shots: a row per point, see `few_shot_curves`."""
        return few_shot_curves(self.few_shot)

    def sources(self, runs: Iterable[int]) -> tuple[str, ...]:
        """The anchors of the groups that runs belong to."""
        return tuple(self.runs.anchor[list(runs)].unique())

    def runs_of(self, files: Iterable[Path]) -> list[int]:
        """The runs that wrote these `results.json`; those that are not on the page are left out."""
        return [run for file in files if (run := self._run_in.get(os.path.abspath(file.parent))) is not None]

    def sources_of(self, files: Iterable[Path]) -> tuple[str, ...]:
        """The anchors of the groups that these `results.json` belong to."""
        return self.sources(self.runs_of(files))

    @cached_property
    def _run_in(self) -> dict[str, int]:
        return {os.path.abspath(folder): run for run, folder in self.runs.folder.items()}

    def shown(self, path: Path | str) -> str:
        """A path, or a line with one, without `base`."""
        if isinstance(path, str):
            return path.replace(f"{self.base}/", "")
        return Path(os.path.relpath(path, self.base)).as_posix()

    def detail(self, runs: Sequence[int]) -> str:
        """Each run with its accuracy, on one line."""
        known = self.runs.loc[runs[:MOST_DETAILS]]
        parts = [f"{self.shown(run.folder)}: {run.accuracy:.2f}" for run in known[known.accuracy.notna()].itertuples()]
        more = f"; and {len(runs) - MOST_DETAILS} more" if len(runs) > MOST_DETAILS else ""
        return "; ".join(parts) + more


def gather(folders: Sequence[str | os.PathLike[str]], trainers: Sequence[str] = (), test_log: bool = False) -> Material:
    """Find and read the runs in and below folders.

    Args:
        folders: Any folders above runs.
        trainers: Those to show, and zero-shot CLIP beside them; empty: all.
        test_log: Whether logs of evaluations alone count.

    Raises:
        ResultsError: A folder does not exist, there is no run, no finished one, or none of a trainer.
    """
    runs = load(*folders, test_log=test_log)
    known = sorted({*runs.trainer} - {""})
    for trainer in trainers:
        if trainer not in known:
            raise ResultsError(unknown_name("trainer with runs", trainer, known))
    if trainers:
        runs = runs[runs.trainer.isin([*trainers, ZERO_SHOT_TRAINER])]
    if not runs.finished.any():
        raise ResultsError(
            f"none of the {len(runs)} runs in {', '.join(map(str, folders))} is finished: nothing to report"
        )
    groups = runs.groupby(GROUP, sort=False, dropna=False).ngroup()
    base = Path(os.path.commonpath([os.path.abspath(folder) for folder in folders]))
    return Material([Path(folder) for folder in folders], runs.assign(anchor=[f"runs-{n + 1}" for n in groups]), base)
