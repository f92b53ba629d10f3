"""Files that are never half-written, JSON and YAML that cost no more than their size, and fingerprints.

What is written goes to a temporary name beside its place, to the disk, and then to its own name in one step. So a
process that is killed, a power cut or a full disk leaves the file from before, or none.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

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


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text through a temporary file and a rename."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write `value` as indented JSON through a temporary file and a rename."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


LARGEST_BYTES = 1 << 30
DEEPEST_NESTING = 50
MOST_DIGITS = 40


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The content of a user's file, if it is a file of a size that a list or table may have.

    Raises:
        OSError: it is missing, can't be read, is not a regular file (a pipe would be waited for), or is too large.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        kind = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        reason = "Is a directory" if kind == errno.EISDIR else "it is not a regular file"
        raise OSError(kind, reason, str(path))
    if status.st_size > LARGEST_BYTES:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST_BYTES >> 20} MiB", str(path))
    return Path(path).read_bytes()


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text: the one reader for files that a user may have written.

    Args:
        text: of a file or a line; bytes are UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: it is not JSON, is nested too deeply, has an integer that is too long or a key twice; says which.
    """
    try:
        value = json.loads(text, parse_int=_integer, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    layer = [value]
    for _ in range(DEEPEST_NESTING):  # so that nothing that walks or prints the value later recurses too deeply
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return value
    raise ValueError("it is nested too deeply")


def _integer(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"it has an integer of {len(text)} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"it has the key {json.dumps(next(key for key in content if keys.count(key) > 1))[:80]} twice")
    return content


def json_object(text: str | bytes, **fields: type) -> dict[str, Any]:
    """The object in a JSON text.

    Args:
        text: of a file or a line; bytes are UTF-8.
        fields: keys that the object must have, and the type of their values.

    Raises:
        ValueError: as `json_value`; or it is not an object, or a field is missing or of another type; says which.
    """
    content = json_value(text)
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    for key, kind in fields.items():
        value = content.get(key)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ValueError(f'it has no "{key}" of type {kind.__name__}')
    return content


LARGEST_YAML = 2**20
MOST_ALIASES = 100
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """The content of a YAML file, which is read in a time that its size bounds.

    Raises:
        OSError: the file can't be read.
        UnicodeDecodeError: it is not UTF-8.
        yaml.YAMLError: it is not YAML, larger than `LARGEST_YAML` bytes, or has aliases that multiply it.
    """
    with open(path, "rb") as file:
        content = file.read(LARGEST_YAML + 1)
    if len(content) > LARGEST_YAML:
        raise yaml.YAMLError("it is larger than 1 MB, too large for settings")
    text = content.decode("utf-8")
    try:
        # Without a "*" nothing is an alias, and the fast loader reads the same.
        return yaml.load(text, Loader=_BoundedLoader if "*" in text else _FAST)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except ValueError as error:  # a date or a number that Python can't hold
        raise yaml.YAMLError(f"it holds an impossible value: {str(error)[:80]}") from error


class _BoundedLoader(yaml.SafeLoader):
    """Few aliases, and none to what holds aliases itself, so that content does not multiply."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._inside, self._aliases = 0, 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        is_alias = isinstance(event, yaml.AliasEvent)
        self._aliases += is_alias
        if is_alias and (self._inside or self._aliases > MOST_ALIASES):
            raise yaml.composer.ComposerError(
                None, None, "an alias too many, or one inside an anchor", event.start_mark
            )
        anchored = not is_alias and event.anchor is not None
        self._inside += anchored
        node = super().compose_node(parent, index)  # type: ignore[no-untyped-call]
        self._inside -= anchored
        return node


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
