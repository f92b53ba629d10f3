"""Where the runs of a sweep read and write."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Where runs read and write.

    Attributes:
        root: of the data.
        output: folder that takes the place of `output` in the runs' paths.
        imports: code to load before the trainer is looked up, as `--import` of `train.py` takes it.
    """

    root: Path
    output: Path
    imports: tuple[str, ...] = ()
