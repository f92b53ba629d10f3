"""Writing what a data set needs of an archive below a fresh folder, within bounds."""

import shutil
from pathlib import Path
from typing import IO

from lamm.errors import DataError
from lamm.preparing.archives import Entry, damage_told

LEAST_FREE_BYTES = 500 * 10**6
"""What is left free on the disk; unpacking stops before there is less."""
GREATEST_RATIO = 200
"""An archive that unpacks to more than this many times its own size is no archive of images."""
_AT_ONCE = 1 << 20
_SMALL = 50 * 10**6


class Unpacker:
    """Writes entries of one archive below a folder.

    Args:
        archive: for its size, and its name in messages.
        into: the folder.
    """

    def __init__(self, archive: Path, into: Path) -> None:
        self.name, self.into = archive.name, into
        self.written = 0
        self._most = max(GREATEST_RATIO * archive.stat().st_size, _SMALL)

    def write(self, entry: Entry, path: str) -> None:
        """Write one file.

        Args:
            entry: of the archive, unread.
            path: POSIX path below the folder; its folders are made.

        Raises:
            DataError: the archive is damaged, holds the file twice, is a bomb, or the disk would be full.
        """
        self._check_bounds(entry.size)
        file = self.into / path
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(file, "xb") as opened:
                size = self._copy(entry.content, opened)
        except FileExistsError:
            raise DataError(f"{self.name} holds {path!r} twice; it is not unpacked") from None
        if size != entry.size:
            raise DataError(f"{self.name} is damaged or cut off: {path!r} has {size} of {entry.size} bytes")

    def _copy(self, content: IO[bytes], file: IO[bytes]) -> int:
        size = 0
        while True:
            with damage_told(self.name):
                block = content.read(_AT_ONCE)
            if not block:
                return size
            file.write(block)
            size += len(block)

    def _check_bounds(self, size: int) -> None:
        self.written += size
        if self.written > self._most:
            raise DataError(
                f"{self.name} unpacks to more than {GREATEST_RATIO} times its own size, so it is not what it is called"
            )
        free = shutil.disk_usage(self.into).free
        if free - size < LEAST_FREE_BYTES:
            raise DataError(
                f"no space for what {self.name} holds: {free:,} bytes are free where {self.into} is, and at least "
                f"{LEAST_FREE_BYTES:,} are left so; make room, or use another data root"
            )
