"""Everything that a report is made of: the runs, what their folders say, and their place in the page's list."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lamm.errors import CheckpointError, ResultsError, unknown_name
from lamm.results.collect import GroupKey, Groups, Run, RunGroups, collect, stored_config
from lamm.results.curves import PART_OF_CLASSES, ZERO_SHOT_TRAINER, Curve, curves, why_no_few_shot_run
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.record import RunClasses


@dataclass(frozen=True)
class RunFacts:
    """Facts of one run; what isn't known is empty or None.

    Attributes:
        backbone: `MODEL.BACKBONE.NAME`.
        data_root: `DATASET.ROOT`, where the images were.
        split_made_here: Whether its data set was split by us, for want of the published split.
        precision: Floating-point precision.
        peak_memory_mb: Peak memory in MiB.
        versions: Of the software, by package.
        source: The file that the metrics come from.
    """

    backbone: str = ""
    data_root: str = ""
    split_made_here: bool = False
    precision: str = ""
    peak_memory_mb: float | None = None
    versions: dict[str, str] = field(default_factory=dict)
    source: Path = Path()

    @classmethod
    def of(cls, run: Run) -> "RunFacts":
        """Read a run's folder; a file that is missing or damaged tells nothing."""
        config = _config(run.folder)
        told = (
            _text(config, "MODEL", "BACKBONE", "NAME"),
            _text(config, "DATASET", "ROOT"),
            _split_made_here(run.folder),
        )
        file = run.folder / RESULTS_FILE
        if not file.is_file():
            return cls(*told, source=run.folder)
        try:
            results = RunResults.read(file)
        except ResultsError:
            return cls(*told, source=file)
        return cls(*told, results.precision, results.peak_memory_mb, results.versions, file)


def _config(folder: Path) -> dict[str, Any]:
    try:
        return stored_config(folder)
    except ResultsError:
        return {}


def _split_made_here(folder: Path) -> bool:
    try:
        classes = RunClasses.read(folder)
    except CheckpointError:
        return False
    return classes is not None and classes.split_made_here


def _text(config: Any, *keys: str) -> str:
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config if isinstance(config, str) else ""


@dataclass(frozen=True)
class Material:
    """The runs of a report.

    Attributes:
        folders: Where they were looked for.
        groups: The runs.
        facts: What each finished run's folder says besides, by folder.
        base: The folder that shown paths are relative to.
    """

    folders: list[Path]
    groups: RunGroups
    facts: dict[Path, RunFacts]
    base: Path

    @cached_property
    def anchors(self) -> dict[GroupKey, str]:
        """The place of each group in the page's list of runs."""
        return {key: f"runs-{number}" for number, key in enumerate(self.groups.all, 1)}

    @cached_property
    def few_shot(self) -> Groups:
        """The finished runs of the few-shot experiment, on all classes."""
        return {key: runs for key, runs in self.groups.finished.items() if not why_no_few_shot_run(runs[0])}

    @cached_property
    def on_some_classes(self) -> int:
        """Number of finished few-shot runs that are left out there: on a part of the classes."""
        return sum(why_no_few_shot_run(run) == PART_OF_CLASSES for run in self.finished)

    @cached_property
    def curves(self) -> dict[str, list[Curve]]:
        """Accuracy over shots by data set, zero-shot first."""
        return curves(self.few_shot)

    @cached_property
    def finished(self) -> list[Run]:
        """All finished runs."""
        return [run for runs in self.groups.finished.values() for run in runs]

    def sources(self, runs: Iterable[Run]) -> tuple[str, ...]:
        """The anchors of the groups that runs belong to."""
        return tuple(dict.fromkeys(self.anchors[run.key] for run in runs))

    def sources_of_files(self, files: Iterable[Path]) -> tuple[str, ...]:
        """The anchors of the groups whose runs wrote these `results.json`."""
        found = (self._by_folder.get(os.path.abspath(file.parent)) for file in files)
        return self.sources(run for run in found if run is not None)

    def outside(self, files: Iterable[Path]) -> list[Path]:
        """Those of these `results.json` whose runs are not on the page."""
        return [file for file in files if os.path.abspath(file.parent) not in self._by_folder]

    @cached_property
    def _by_folder(self) -> dict[str, Run]:
        return {os.path.abspath(run.folder): run for runs in self.groups.all.values() for run in runs}

    def shown(self, path: Path) -> str:
        """A path below `base` without it."""
        return Path(os.path.relpath(path, self.base)).as_posix()

    def backbones(self, runs: Iterable[Run]) -> list[str]:
        """The backbones of runs; "" stands for one that isn't known."""
        return sorted({self.facts[run.folder].backbone for run in runs})

    def detail(self, runs: Sequence[Run], metric: str = "accuracy") -> str:
        """Each run with its number, on one line."""
        parts = [f"{self.shown(run.folder)}: {run.metrics[metric]:.2f}" for run in runs[:12] if metric in run.metrics]
        more = f"; and {len(runs) - 12} more" if len(runs) > 12 else ""
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
    groups = collect(folders, test_log)
    known = sorted({key.trainer for key in groups.all if key.trainer})
    for trainer in trainers:
        if trainer not in known:
            raise ResultsError(unknown_name("trainer with runs", trainer, known))
    if trainers:
        kept = {*trainers, ZERO_SHOT_TRAINER}
        groups = RunGroups(run for key, runs in groups.all.items() if key.trainer in kept for run in runs)
    if not groups.finished:
        found = sum(map(len, groups.all.values()))
        raise ResultsError(f"none of the {found} runs in {', '.join(map(str, folders))} is finished: nothing to report")
    facts = {run.folder: RunFacts.of(run) for runs in groups.finished.values() for run in runs}
    paths = [Path(folder) for folder in folders]
    return Material(paths, groups, facts, Path(os.path.commonpath([os.path.abspath(path) for path in paths])))
