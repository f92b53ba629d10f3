"""A run's folder belongs to one process at a time.

The lock is the system's (`fcntl.lockf`, over NFS too): it ends with the process, however that ends, and the processes
that it forks don't hold it. What the file says is for the message; on a disk without locks it is all there is.
"""

import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lamm.errors import ConfigError
from lamm.log import logger
from lamm.reading import json_object

LOCK_FILE = ".lock"
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder, made if missing, while the block runs.

    A folder that can't be written to needs no lock.

    Raises:
        ConfigError: another process holds it, or it is not a folder.
    """
    file, handle = folder / LOCK_FILE, -1
    made = [above for above in (folder, *folder.parents) if not above.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _open(file)
    except (FileExistsError, NotADirectoryError):
        raise ConfigError(f"{folder} is not a folder: give another --output-dir") from None
    except OSError as error:
        if error.errno not in NOT_WRITABLE or file.exists():
            raise
    if handle == -1:
        yield
        return
    try:
        _tell(handle)
        yield
    finally:
        if _is_at(file, handle):
            with suppress(OSError):
                file.unlink()
        os.close(handle)
        for above in made:
            with suppress(OSError):  # one that something lies in stays
                above.rmdir()


def _open(file: Path) -> int:
    """The lock file, open and locked."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            holder, locks = _holder(handle), True
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                locks = False
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise ConfigError(f"{_in_use(file, holder)}, or use another --output-dir") from None
                if holder and not _is_dead(holder):
                    raise ConfigError(f"{_in_use(file, holder)}; if it runs no longer, remove {file}") from None
            # Its holder may have removed it between the two steps.
            if _is_at(file, handle):
                if locks and holder and holder["host"] != platform.node():
                    logger.warning("%s", f"{_in_use(file, holder)}, unless it has died, as it seems from here")
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _is_at(file: Path, handle: int) -> bool:
    """Whether `file` is still the file that is open."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _in_use(file: Path, holder: dict[str, Any]) -> str:
    who = "process {pid} on {host}, since {since}".format_map(holder) if holder else "another process"
    return f"{file.parent} is in use by {who}: wait for it or stop it"


def _holder(handle: int) -> dict[str, Any]:
    """What the file says of the process that wrote it last; empty if it says nothing."""
    try:
        return json_object(os.pread(handle, 4096, 0), pid=int, host=str, born=str, since=str)
    except (OSError, ValueError):
        return {}


def _tell(handle: int) -> None:
    """Write into the file who holds it; a full disk does not stop the run here."""
    holder = {"pid": os.getpid(), "host": platform.node(), "born": _born(os.getpid())}
    with suppress(OSError):
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({**holder, "since": time.strftime("%Y-%m-%d %H:%M:%S")}).encode(), 0)


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether the process is of this machine and gone, be its number another's by now or the machine started anew."""
    return bool(holder["host"] == platform.node() and holder["born"] and holder["born"] != _born(holder["pid"]))


def _born(pid: int) -> str:
    """The boot and the moment in it at which a process was started; empty: it is gone, or the system doesn't say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {Path(f'/proc/{pid}/stat').read_text(encoding='utf-8').rpartition(')')[2].split()[19]}"
    except OSError:
        return ""
