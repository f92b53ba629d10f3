"""Files that are never half-written, and their fingerprints.

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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text through a temporary file and a rename."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON through a temporary file and a rename."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def json_object(text: str | bytes, **fields: type) -> dict[str, Any]:
    """The object in a JSON text.

    Args:
        text: of a file or a line; bytes are UTF-8.
        fields: keys that the object must have, and the type of their values.

    Raises:
        ValueError: the text is not JSON, not an object, or a field is missing or of another type; says which.
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    for key, kind in fields.items():
        value = content.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f'it has no "{key}" of type {kind.__name__}')
    return content


def with_sorted_metadata(content: bytes) -> bytes:
    """The bytes of a safetensors file with its metadata in alphabetical order: the library's order is random."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
