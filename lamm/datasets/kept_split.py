"""A split that was made here is kept beside the images, so that later runs have the very same one."""

import random
from collections.abc import Callable
from pathlib import Path

from lamm.datasets.splits import Split, read_split, write_split
from lamm.log import logger

SPLIT_SEED = 1


def kept_split(file: Path, make: Callable[[random.Random], Split]) -> Split:
    """The split in `file`; where there is none, a new one.

    Args:
        file: `split_lamm_*.json`.
        make: makes the split; its generator has the same state every time.

    Raises:
        DataError: the file is broken, or `make` can't do it.
    """
    if file.is_file():
        return read_split(file)
    return make(random.Random(SPLIT_SEED))


def keep_split(file: Path, split: Split) -> None:
    """Write the split; where that can't be done a line in the log says so, and the next run makes it anew."""
    try:
        write_split(file, split)
        logger.info(f"The split is kept in {file}")
    except OSError as error:
        logger.info(f"the split is not kept: can't write to {file.parent} ({error.strerror or error})")
