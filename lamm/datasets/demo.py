"""Data set folders that are made on first use, whole or not at all.

A folder is built under a hidden name beside its place and renamed when it is whole, so a folder with the right name
is never half built, and processes that build at the same time end with one result. A build that was killed leaves
its hidden folder behind, which nobody reads.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from lamm.errors import DataError
from lamm.files import write_json
from lamm.log import logger

STAMP_FILE = "lamm_demo.json"


def materialise(folder: Path, version: int, build: Callable[[Path], None]) -> None:
    """Make `folder` by `build` unless it is there.

    Args:
        folder: where the data set belongs; its parents are made as needed.
        version: of the generator; kept in the folder.
        build: fills the folder it is given, a temporary one.

    Raises:
        DataError: the folder is of another version or not from here, or can't be written.
    """
    if os.path.lexists(folder):
        _check_stamp(folder, version)
        return
    logger.info(f"Making the data set in {folder} (once)")
    temporary = folder.parent / f".{folder.name}.{uuid.uuid4().hex}.building"
    try:
        temporary.mkdir(parents=True)
        build(temporary)
        write_json(temporary / STAMP_FILE, {"data_set": folder.name, "generator_version": version})
        _move_into_place(temporary, folder)
    except OSError as error:
        raise DataError(
            f"can't write the data set to {folder}: {error.strerror or error}; give another --root"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _check_stamp(folder, version)
    logger.info(f"Made {folder}")


def _move_into_place(temporary: Path, folder: Path) -> None:
    """Rename; where another process has put its folder first, that one stays."""
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise


def _check_stamp(folder: Path, version: int) -> None:
    try:
        found = json.loads((folder / STAMP_FILE).read_bytes())["generator_version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{folder} is not a data set made here (no readable {STAMP_FILE}); move or remove it") from None
    if found != version:
        raise DataError(
            f"{folder} holds version {found} of this data set, version {version} is needed; remove the folder"
        )
