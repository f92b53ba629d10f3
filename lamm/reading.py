"""Files that a user may have written, read at a cost that their size bounds: bytes, JSON, YAML."""

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import yaml

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
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"it has the key {json.dumps(key)[:80]} twice")
        content[key] = value
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
LONG_NUMBER = re.compile(r"[0-9a-fA-F_:.+-]{500}")
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
    if LONG_NUMBER.search(text):  # the time to read one grows with its square
        raise yaml.YAMLError("it has a number of too many digits")
    try:
        # Without a "*" nothing is an alias, and the fast loader reads the same.
        return yaml.load(text, Loader=_BoundedLoader if "*" in text else _FAST)
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None
    except yaml.YAMLError:
        raise
    except Exception as error:  # a date or number that Python can't hold, or a tag whose text is of another kind
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
