"""What a run's folder says besides its metrics: backbone, data, precision, memory."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lamm.errors import CheckpointError, ResultsError
from lamm.results.groups import Run
from lamm.results.schema import FILE_NAME, RunResults
from lamm.results.stored_config import stored_config
from lamm.run.class_file import RunClasses


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
        file = run.folder / FILE_NAME
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
