"""Runs on someone's own images: which folder or file they are in is part of the output path."""

import hashlib
import os
import re
from pathlib import Path

from yacs.config import CfgNode

from lamm.datasets import DATASETS, OWN
from lamm.errors import ConfigError


def settle_own_data(cfg: CfgNode) -> str:
    """The name of the images' place, `folder-<name>-<hash8>` or `csv-<name>-<hash8>`; "" for other data sets.

    Makes DATASET.CSV absolute.

    Raises:
        ConfigError: DATASET.CSV for a data set that takes no file.
    """
    own = next((name for name in OWN if DATASETS[name] == cfg.DATASET.NAME), "")
    file = getattr(cfg.DATASET, "CSV", "")
    if file and own != "csv":
        raise ConfigError(f"--csv (DATASET.CSV) is for data set csv, not for {cfg.DATASET.NAME}: leave it out")
    if file:
        cfg.DATASET.CSV = os.path.abspath(os.path.expanduser(file))
    place = Path(cfg.DATASET.CSV if file else cfg.DATASET.ROOT)
    return f"{own}-{name_of_place(place)}" if own else ""


def name_of_place(place: Path) -> str:
    """The last part of an absolute path without what a folder's name can't hold, and a hash of the whole path."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "_", place.stem if place.is_file() else place.name)
    return f"{plain or 'data'}-{hashlib.sha256(str(place).encode()).hexdigest()[:8]}"
