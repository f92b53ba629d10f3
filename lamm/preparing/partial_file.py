"""What has come so far of a download, and of which version of the server's file."""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Version:
    """What a server says about a file, to tell whether it is still the same one.

    Attributes:
        validator: its strong ETag, or else its date; "" where it gives neither.
        size: bytes of the whole file; 0 where it does not say.
        first_byte: where the piece that it sends begins.
    """

    validator: str = ""
    size: int = 0
    first_byte: int = 0

    @classmethod
    def of(cls, headers: Any, asked_from: int) -> "Version":
        """From a response's headers; `asked_from` is the byte that the request asked for."""
        validator = headers.get("ETag") or headers.get("Last-Modified") or ""
        if validator.startswith("W/"):  # a weak one promises nothing about bytes
            validator = headers.get("Last-Modified") or ""
        piece = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range") or "")
        if piece:
            size = int(piece[2]) if piece[2].isdecimal() else 0
            return cls(validator, size, int(piece[1]) if piece[1] else -1)
        length = headers.get("Content-Length") or ""
        return cls(validator, int(length) if length.isdecimal() else 0, -1 if asked_from else 0)


class PartialFile:
    """`<file>.part`, and `<file>.part.json` with the link and the version that it is of.

    What can't be told to be of the same file is removed.
    """

    def __init__(self, file: Path, url: str) -> None:
        self.path = file.with_name(f"{file.name}.part")
        self._notes = file.with_name(f"{file.name}.part.json")
        self.version = Version()
        with suppress(OSError, ValueError, TypeError, KeyError):
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            if notes["url"] == url:
                self.version = Version(str(notes["validator"]), int(notes["size"]))
        if not self.version.size:
            self.remove()

    @property
    def size(self) -> int:
        """Bytes that have come so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def note(self, url: str, version: Version) -> None:
        """Remember which file this is of."""
        self.version = version
        self._notes.write_text(json.dumps({"url": url, **asdict(version)}), encoding="utf-8")

    def remove(self) -> None:
        """Remove it, and what is known of it."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        self.version = Version()
