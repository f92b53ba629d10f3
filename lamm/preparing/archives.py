"""The files in an archive, one after another, whatever its format, and unpacking them below a folder.

Tar archives (plain, gzip, bzip2, xz) are read once from front to back, so that those of 100 GB need no second copy,
and to their very end, so that a check sum there is checked.
"""

import bz2
import errno
import gzip
import lzma
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lamm.datasets import listing
from lamm.errors import DataError

LEAST_FREE_BYTES = 500 * 10**6
"""What is left free on the disk; unpacking stops before there is less."""
GREATEST_RATIO = 200
"""An archive that unpacks to more than this many times its own size is not one of images."""
ALWAYS_ALLOWED_BYTES = 50 * 10**6
MOST_HEADER_BYTES = 1 << 20
"""Of a tar entry's long name and further fields, which `tarfile` reads as a whole."""
MOST_FOLDERS, MOST_PATH_BYTES = 50, 1000
FILE_BYTES = 4096
"""What a file takes on the disk, however small."""
_DRIVE = re.compile("[A-Za-z]:")
# What operating systems and archive programs leave behind, in any folder.
LEFT_BEHIND = listing.LEFT_BEHIND | {".DS_Store", "Thumbs.db", "desktop.ini", ".directory"}


def clean_path(path: str, archive: str) -> str:
    """The path of an archive's entry, relative, with forward slashes, without `.` parts.

    Args:
        path: as the archive has it.
        archive: the archive's name, for the message.

    Raises:
        DataError: the path is absolute (also in the manner of Windows), holds `..`, a backslash or a NUL, or is
            empty: a whole archive with such an entry is refused.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or _DRIVE.match(path):
        raise DataError(f"{archive} is refused: its entry {path!r} has an absolute path; fetch it from its own page")
    if ".." in parts:
        raise DataError(f"{archive} is refused: its entry {path!r} leads out of the folder; fetch it from its own page")
    if "\\" in path or "\0" in path:
        raise DataError(f"{archive} is refused: its entry {path!r} holds a character that no path may hold")
    return "/".join(parts)


def is_left_behind(path: str) -> bool:
    """Whether an entry is something that an operating system left in the archive (`__MACOSX`, `.DS_Store`, `._x`)."""
    return any(part in LEFT_BEHIND or part.startswith("._") for part in path.split("/"))


BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError, struct.error,
    NotImplementedError, RuntimeError, ValueError, IndexError,
)  # fmt: skip
COMPRESSED: tuple[tuple[bytes, Callable[[Any], Any]], ...] = (
    (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)
TAR_BLOCK = 512
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A file in an archive: its path there (POSIX, clean, relative), its size in bytes, and its content.

    `content` may be read until the next entry is asked for.
    """

    path: str
    size: int
    content: IO[bytes]


def entries(archive: Path, progress: Callable[[int], object] = lambda place: None) -> Iterator[Entry]:
    """Every file of the archive, in the order that they are stored in.

    Args:
        archive: the file.
        progress: told how many bytes of it have been passed, after each entry.

    Raises:
        DataError: it is not an archive, is damaged or cut off, or holds an entry that could do harm: a path out of the
            folder it is unpacked to, a link, a device.
    """
    with open(archive, "rb") as file:
        for entry in entries_of_stream(file, archive.name, archive.stat().st_size):
            yield entry
            progress(file.tell())


def entries_of_stream(file: Any, name: str, size: int) -> Iterator[Entry]:
    """Like `entries`, of an open file or of an archive within an archive.

    Args:
        file: readable, with `peek`; a zip archive needs `seek` too.
        name: for messages.
        size: of the archive, in bytes.
    """
    with damage_as_data_error(name):
        start = file.peek(TAR_BLOCK)[:TAR_BLOCK]
        if start.startswith(b"PK") and zipfile.is_zipfile(file):
            yield from _zip_entries(file, name)
        elif start.startswith(b"PK"):
            raise DataError(f"{name} is cut off: a zip archive without its list of contents; fetch it again")
        elif any(start.startswith(magic) for magic, _ in COMPRESSED):
            opened = next(opener for magic, opener in COMPRESSED if start.startswith(magic))
            yield from _tar_entries(_Bounded(opened(file), name, greatest_size(size)), name)
        elif _begins_like_tar(start):
            yield from _tar_entries(file, name)
        else:
            what = "neither tar nor zip" if start else "the file is empty"
            if start.lstrip()[:1] == b"<":
                what = "it is a web page, so the download led to a page instead of the file"
            raise DataError(f"{name} is not an archive: {what}; fetch it again")


def is_archive(path: Path) -> bool:
    """Whether a file begins like an archive."""
    with open(path, "rb") as file:
        start = file.read(TAR_BLOCK)
    return start.startswith((b"PK", *(magic for magic, _ in COMPRESSED))) or _begins_like_tar(start)


@contextmanager
def damage_as_data_error(name: str) -> Iterator[None]:
    """Turn whatever reading a damaged archive trips over into a DataError of one line.

    It belongs around every read of an entry's content too.
    """
    try:
        yield
    except BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name} is damaged or cut off ({reason}); fetch it again") from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # a damaged zip archive leads to places before its start
            raise
        raise DataError(f"{name} is damaged or cut off ({error}); fetch it again") from None


def _tar_entries(file: Any, name: str) -> Iterator[Entry]:
    if not hasattr(tarfile, "data_filter"):
        raise DataError("this Python can't unpack tar archives safely; use Python 3.10.12, 3.11.4, 3.12 or later")
    with tarfile.open(fileobj=file, mode="r|", bufsize=BLOCK_BYTES, tarinfo=_StrictMember) as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # else it keeps a million of them
            path = clean_path(member.name, name)
            if member.isdir():
                continue
            if not member.isreg():
                kind = "a link" if member.issym() or member.islnk() else "a device"
                raise DataError(f"{name} holds {kind}, {member.name!r}; it is not unpacked")
            try:
                tarfile.data_filter(member, "/unpacked")
            except tarfile.FilterError as error:
                raise DataError(f"{name} is not unpacked: {error}") from None
            content = tar.extractfile(member)
            if content is None:
                raise tarfile.ReadError(f"no content of {member.name!r}")
            yield Entry(path, member.size, content)
    while file.read(BLOCK_BYTES):
        pass


class _Bounded:
    """What a compressed file unpacks to, up to a number of bytes; a few kilobytes may unpack to terabytes."""

    def __init__(self, file: Any, name: str, most: int) -> None:
        self._file, self._name, self._left = file, name, most

    def read(self, size: int) -> bytes:
        block: bytes = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise _bomb(self._name)
        return block


class _StrictMember(tarfile.TarInfo):
    """`tarfile` takes a damaged header for the end of the archive, and reads one of any size; here both are errors."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> Any:  # tarfile's own hook for derived classes
        if self.type not in tarfile.SUPPORTED_TYPES and self.size > MOST_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tarfile_)  # type: ignore[misc]

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_StrictMember":
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            raise tarfile.ReadError(str(error)) from None


def _zip_entries(file: Any, name: str) -> Iterator[Entry]:
    with zipfile.ZipFile(file) as archive:
        members = [(clean_path(info.orig_filename, name), info) for info in archive.infolist()]
        for _, info in members:
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                what = "a link" if kind == stat.S_IFLNK else "a device"
                raise DataError(f"{name} holds {what}, {info.filename!r}; it is not unpacked")
            if info.flag_bits & 1:
                raise DataError(f"{name} is encrypted; unpack it with its password, and give an archive without one")
        for path, info in members:
            if not info.is_dir():
                with archive.open(info) as content:
                    yield Entry(path, info.file_size, content)


def greatest_size(archive: int) -> int:
    """To how many bytes an archive of so many bytes may unpack."""
    return max(GREATEST_RATIO * archive, ALWAYS_ALLOWED_BYTES)


def _bomb(name: str) -> DataError:
    return DataError(f"{name} unpacks to more than {GREATEST_RATIO} times its own size, so it is not what it is called")


def _begins_like_tar(start: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(start, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return False
    return True


class Unpacker:
    """Writes entries of one archive below a folder.

    Args:
        archive: for its size, and its name in messages.
        into: the folder.
    """

    def __init__(self, archive: Path, into: Path) -> None:
        self.name, self.into = archive.name, into
        self.written = 0
        self._most = greatest_size(archive.stat().st_size)

    def write(self, entry: Entry, path: str) -> None:
        """Write one file.

        Args:
            entry: of the archive, unread.
            path: POSIX path below the folder; its folders are made.

        Raises:
            DataError: the archive is damaged, holds the file twice or under a name that not every disk takes, is a
                bomb, or the disk would be full.
        """
        if not path.isascii() and any("\ud800" <= letter <= "\udfff" for letter in path):
            raise DataError(f"{self.name} holds {path[:80]!r}, whose name is not UTF-8; it is not unpacked")
        if path.count("/") > MOST_FOLDERS or len(path.encode()) > MOST_PATH_BYTES:
            raise DataError(f"{self.name} holds {path[:80]!r}…, which lies in too many folders; it is not unpacked")
        self.written += max(entry.size, FILE_BYTES)
        if self.written > self._most:
            raise _bomb(self.name)
        free = shutil.disk_usage(self.into).free
        if free - entry.size < LEAST_FREE_BYTES:
            raise DataError(
                f"no space for what {self.name} holds: {free:,} bytes are free where {self.into} is, and at least "
                f"{LEAST_FREE_BYTES:,} are left so; make room, or use another data root"
            )
        file, size = self.into / path, 0
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file, "xb") as opened:
                while True:
                    with damage_as_data_error(self.name):
                        block = entry.content.read(BLOCK_BYTES)
                    if not block:
                        break
                    opened.write(block)
                    size += len(block)
        except (FileExistsError, NotADirectoryError):
            raise DataError(f"{self.name} holds {path!r} twice, or as a folder too; it is not unpacked") from None
        if size != entry.size:
            raise DataError(f"{self.name} is damaged or cut off: {path!r} has {size} of {entry.size} bytes")
