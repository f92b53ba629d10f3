"""Files that are never half-written, and their fingerprints."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamm.errors import ConfigError


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds, else remove it."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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
