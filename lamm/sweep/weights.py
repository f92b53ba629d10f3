"""The weights of every backbone of a sweep, found or fetched once, before runs would do it all at the same time."""

from collections.abc import Iterable

from lamm.clip.loading import load_clip
from lamm.errors import BackboneError
from lamm.sweep.planned_run import PlannedRun


def missing_weights(runs: Iterable[PlannedRun]) -> list[str]:
    """Load each backbone once; one line for each that can't be had."""
    problems = []
    for name, path in sorted({(run.plan.cfg.MODEL.BACKBONE.NAME, _path(run)) for run in runs}):
        try:
            load_clip(name, path)
        except BackboneError as error:
            problems.append(str(error))
    return problems


def _path(run: PlannedRun) -> str:
    return str(getattr(run.plan.cfg.MODEL.BACKBONE, "PATH", ""))
