"""The hidden folder that a data set is prepared in: on the disk that it ends up on, one process at a time.

It lies in the data set's own folder, `.lamm_preparing`. A run that was stopped leaves it behind; the next one removes
what was half unpacked and goes on with half a download.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lamm.errors import DataError
from lamm.log import logger

NAME = ".lamm_preparing"
UNPACKED, DOWNLOADS = "unpacked", "downloads"
_LOCK = "lock"


@contextmanager
def work_folder(dataset_folder: Path) -> Iterator[Path]:
    """The locked work folder, with an empty `unpacked` and a `downloads` in it; waits while another run has it.

    Afterwards `unpacked` is removed, and all else (the data set's folder too) as far as it is empty.

    Raises:
        DataError: the folder can't be made.
    """
    folder = dataset_folder / NAME
    lock = _locked(folder)
    try:
        shutil.rmtree(folder / UNPACKED, ignore_errors=True)
        for name in (UNPACKED, DOWNLOADS):
            (folder / name).mkdir(exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder / UNPACKED, ignore_errors=True)
        with suppress(OSError):
            (folder / DOWNLOADS).rmdir()
        if not (folder / DOWNLOADS).exists():
            (folder / _LOCK).unlink(missing_ok=True)
        for empty in (folder, dataset_folder):
            with suppress(OSError):
                empty.rmdir()
        os.close(lock)


def _locked(folder: Path) -> int:
    """An open, locked file in the folder, which is made."""
    told = False
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # another run has just removed the folder
            continue
        except OSError as error:
            raise DataError(f"can't make {folder}: {error.strerror}; check the path and its permissions") from None
        told = _lock(handle, folder, told)
        with suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(folder / _LOCK)):
                return handle
        os.close(handle)  # the run that had it has removed it


def _lock(handle: int, folder: Path, told: bool) -> bool:
    """Lock an open file, where the system can; a line in the log says that it takes waiting."""
    try:
        import fcntl
    except ImportError:  # Windows
        return told
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not told:
            logger.info(f"another run is preparing {folder.parent}: waiting until it has ended")
        fcntl.flock(handle, fcntl.LOCK_EX)
        return True
    except OSError as error:
        logger.info(f"{folder.parent} can't be locked ({error.strerror}): don't prepare it twice at the same time")
    return told
