"""Files that are never half-written, and never in the place of a file of another kind; fingerprints.

What is written goes to a temporary name beside its place, to the disk, and then to its own name in one step. So a
process that is killed, a power cut or a full disk leaves the file from before, or none.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from lamm.errors import ConfigError

LEFTOVER = re.compile(r"\..+\.[0-9a-z_]{8}\.tmp")
"""The name of a temporary file or folder of ours."""
LONGEST_START = 100
ABANDONED_SECONDS = 24 * 3600.0


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds, else remove it.

    Raises:
        OSError: it can't be written, as on a full disk; `filename` is `path`.
    """
    target = Path(path)
    try:
        with temporary_beside(target) as temporary:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
    except OSError as error:
        if error.filename is None or LEFTOVER.fullmatch(os.path.basename(os.fspath(error.filename))):
            error.filename = os.fspath(target)
            if error.filename2 is not None:  # of a rename
                error.filename2 = None
        raise


@contextmanager
def temporary_beside(target: Path, folder: bool = False) -> Iterator[Path]:
    """A new file or folder beside `target`, removed at the end if it is still there.

    It is locked, so that those that killed processes have left can be told from those in use; the former are removed.
    """
    start = f".{target.name[:LONGEST_START]}."
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent, start)
    while True:
        temporary = target.parent / f"{start}{uuid.uuid4().hex[:8]}.tmp"
        if folder:
            temporary.mkdir()
        handle = os.open(temporary, os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # else another process took it for a leftover before it was locked
            break
        os.close(handle)
    try:
        yield temporary
    finally:
        os.close(handle)
        _remove(temporary)


def remove_leftovers(folder: Path, start: str = ".") -> None:
    """Remove the temporary files and folders that processes killed in between have left in a folder.

    Args:
        folder: where to look; nothing below it is looked at.
        start: of their names.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(start) and LEFTOVER.fullmatch(entry.name) and _is_abandoned(Path(entry.path)):
                _remove(Path(entry.path))


def _is_abandoned(path: Path) -> bool:
    """Whether no process has it locked; where there are no locks, whether it is old."""
    try:
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    except OSError:  # gone, or not ours
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return time.time() - os.fstat(handle).st_mtime > ABANDONED_SECONDS
    finally:
        os.close(handle)
    return True


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def exclusive(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a file while it is read, changed and replaced; who comes second waits, and then reads the new one.

    A file that is not there, or that can't be read, is not held: who reads it says so.
    """
    with ExitStack() as held:
        with suppress(OSError):  # also of a file system without locks
            while True:
                held.close()  # of a file that was replaced while this process waited
                file = held.enter_context(open(path, "rb"))
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    break
        yield


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text through a temporary file and a rename."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON through a temporary file and a rename."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def with_sorted_metadata(content: bytes) -> bytes:
    """The bytes of a safetensors file with its metadata in alphabetical order: the library's order is random."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def identity(file: str) -> tuple[object, ...]:
    """What all names of one file have in common: spellings of its path, links of both kinds, letters of another case.

    Raises:
        OSError: there is no file.
    """
    status = os.stat(file)
    # Some network file systems have no numbers of files.
    return (status.st_dev, status.st_ino) if status.st_ino else (os.path.normcase(os.path.realpath(file)),)


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_place(file: str | os.PathLike[str], mark: str) -> None:
    """Check that a product can be written to a file that a user names; its folder need not exist yet.

    A file that is there is replaced only if it is a product of the same kind, or empty.

    Args:
        file: The place.
        mark: Text that every product of this kind has in its first or last 4 KiB, and other files don't have.

    Raises:
        ConfigError: The place is a folder, can't be written to, or has a file of another kind.
    """
    path = Path(file)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of the file to write")
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise ConfigError(f"can't write {path}: {above} is a file, not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ConfigError(f"can't write {path}: {above} may not be written to")
    if path.exists() and not has_mark(path, mark):
        raise ConfigError(f"{path} exists and is not a file of this command: give another name, or remove it")


def has_mark(file: Path, mark: str) -> bool:
    """Whether a file is empty, or has `mark` in its first or last 4 KiB."""
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        ends = opened.read(4096)
        opened.seek(max(opened.tell(), file.stat().st_size - 4096))
        return not ends or mark.encode() in ends or mark.encode() in opened.read()
