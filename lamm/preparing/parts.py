"""Which part of a data set's folder a file, or an archive's entry, belongs to, and where in that part.

Archives and files are known by what they hold, not only by their names: renamed archives, and archives that hold
several parts or wrap them in further folders, are recognised too.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamm.datasets.sources import SOURCES, TRAIN, VAL, Part, PublishedFile, Source
from lamm.errors import DataError
from lamm.files import sha256_of_file
from lamm.log import logger
from lamm.preparing.archives import Entry, entries, entries_of_stream, is_archive, is_left_behind
from lamm.preparing.download import has_md5
from lamm.preparing.imagenet import CLASS_ARCHIVE, VAL_IMAGE

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SAMPLED_ENTRIES = 500
"""How many entries of an archive with an unknown name are read to recognise it."""
LARGE_BYTES = 10**9


class Place(NamedTuple):
    """A part, and a path relative to the data set's folder: `<target>/…` in a folder, or the file's `<target>`."""

    part: Part
    path: str


def place_of(path: str, parts: Sequence[Part]) -> Place | None:
    """Where an entry belongs; None if it belongs to no part.

    Args:
        path: the entry's clean path in the archive.
        parts: the candidates; the first match counts.
    """
    if is_left_behind(path):
        return None
    for part in parts:
        for name in part.names_in_archives:
            if not part.is_folder and f"/{path}".endswith(f"/{name}"):
                return Place(part, part.target)
            _, folder, below = f"/{path}".rpartition(f"/{name}/")  # at the last occurrence
            if part.is_folder and folder:
                return Place(part, f"{part.target}/{below}")
        if part.target == VAL and VAL_IMAGE.fullmatch(path):  # ImageNet's archive of them has no folder at all
            return Place(part, f"{VAL}/{path}")
    return None


def placed_entries(
    archive: Path, source: Source, progress: Callable[[int], object] = lambda position: None
) -> Iterator[tuple[Place, Entry]]:
    """The entries of an archive that belong to a data set, each with its place; archives inside it are opened too.

    Args:
        archive: the file.
        source: the data set.
        progress: called with the number of bytes read so far.

    Raises:
        DataError: see `lamm.preparing.archives.entries`.
    """
    for entry in entries(archive, progress):
        yield from _placed(entry, entry.path, source)


def _placed(entry: Entry, path: str, source: Source) -> Iterator[tuple[Place, Entry]]:
    place = place_of(path, source.parts)
    if place is not None:
        yield place, entry
        return
    folder = folder_of_inner_archive(path, source)
    if folder is not None:
        for inner in entries_of_stream(entry.content, PurePosixPath(path).name, entry.size):
            yield from _placed(inner, f"{folder}{inner.path}", source)


def folder_of_inner_archive(path: str, source: Source) -> str | None:
    """The folder that prefixes the entries of an archive inside an archive; None if `path` is not such an archive.

    `caltech-101.zip` holds the archive of the images; ImageNet's training archive holds one archive per class.
    """
    name = PurePosixPath(path).name
    of_class = CLASS_ARCHIVE.fullmatch(name)
    if of_class and any(part.target == TRAIN for part in source.parts):
        return f"{TRAIN}/{of_class[1]}/"
    known = name.endswith(TAR_ENDINGS) and name in known_names(source)
    return "" if known and not is_left_behind(path) else None


def is_surely_of(path: str, source: Source) -> bool:
    """Whether an entry identifies the data set: many have `images/…`, one has `images/banded/banded_0002.jpg`."""
    place = place_of(path, source.parts)
    if place is None:
        return folder_of_inner_archive(path, source) is not None
    if not place.part.is_folder or VAL_IMAGE.fullmatch(PurePosixPath(path).name):
        return True
    starts = [f"{place.part.target}/{name}" for name in place.part.holds]
    return any(place.path == start or place.path.startswith(f"{start}/") for start in starts)


def known_names(source: Source) -> set[str]:
    """The file names of a data set's archives: the published ones, and those of its parts with a tar ending."""
    published = {file.name for file in source.files}
    return published | {f"{part.target}{ending}" for part in source.parts for ending in TAR_ENDINGS}


def files_for(source: Source, paths: Iterable[Path]) -> list[Path]:
    """The user's files to lay out, the smallest first: those named, and those of the data set in folders named.

    Raises:
        DataError: a file is missing, or a folder holds nothing of the data set.
    """
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            matches = [file for file in sorted(path.iterdir()) if file.is_file() and _belongs(file, source)]
            if not matches:
                names = ", ".join(file.name for file in source.files)
                raise DataError(f"{path} holds no file of {source.title}; it is published as {names}")
            files += matches
        elif path.is_file():
            files.append(path)
        else:
            raise DataError(f"no file at {path}; --from takes archives, or a folder with them")
    return sorted(dict.fromkeys(files), key=lambda file: file.stat().st_size)


def _belongs(file: Path, source: Source) -> bool:
    """Whether a file in a folder is of the data set; archives with unknown names are looked into."""
    name = _plain(file.name)
    if name in known_names(source) or _part_by_name(file, source):
        return True
    others = (other for other in SOURCES.values() if other.name != source.name)
    if not is_archive(file) or any(name in known_names(other) for other in others):
        return False
    try:
        paths = _first_paths(file)
    except DataError:
        return False
    if any(is_surely_of(path, source) for path in paths):
        return True
    if any(place_of(path, source.parts) for path in paths):
        logger.info(f"{file.name} may hold files of {source.title}: to take it, name it after --from")
    return False


def source_of_archive(archive: Path) -> Source | None:
    """The data set that an archive seems to be of, by its first entries."""
    paths = _first_paths(archive)
    return next((source for source in SOURCES.values() if any(is_surely_of(path, source) for path in paths)), None)


def _first_paths(archive: Path) -> list[str]:
    return [entry.path for entry in itertools.islice(entries(archive), SAMPLED_ENTRIES)]


def single_part(file: Path, source: Source) -> Part:
    """The part that a file is, which is not an archive: by its name, or by its content where that is known.

    Raises:
        DataError: it is not a part of the data set.
    """
    part = _part_by_name(file, source) or _part_by_content(file, source)
    if part is not None:
        return part
    start = file.read_bytes()[:200].lstrip() if file.stat().st_size < 10**7 else b""
    if start.startswith(b"<"):
        raise DataError(f"{file} is a web page, so the download led to a page instead of the file; fetch it again")
    other = next((other for other in SOURCES.values() if _part_by_content(file, other)), None)
    names = ", ".join(part.target for part in source.parts if not part.is_folder)
    hint = f"; it is of {other.title}: lamm prepare-data {other.name}" if other else f" ({names})"
    raise DataError(f"{file} is neither an archive nor a file of {source.title}{hint}")


def _part_by_name(file: Path, source: Source) -> Part | None:
    name = _plain(file.name)
    files = [part for part in source.parts if not part.is_folder]
    return next((part for part in files if name in [inner.split("/")[-1] for inner in part.names_in_archives]), None)


def _part_by_content(file: Path, source: Source) -> Part | None:
    candidates = [part for part in source.parts if part.sha256 and part.size == file.stat().st_size]
    return next((part for part in candidates if sha256_of_file(file) == part.sha256), None)


def published_as(file: Path, source: Source) -> PublishedFile | None:
    """The published file with the same name."""
    return next((published for published in source.files if published.name == _plain(file.name)), None)


def check_md5(file: Path, source: Source) -> None:
    """Compare a file's MD5 sum with that of the published file with the same name, if it is known.

    Raises:
        DataError: they differ.
    """
    published = published_as(file, source)
    if published is None or not published.md5:
        return
    if file.stat().st_size > LARGE_BYTES:
        logger.info(f"{file.name}: comparing its MD5 sum with the published one, {file.stat().st_size:,} bytes")
    if not has_md5(file, published.md5):
        raise DataError(
            f"{file} is not the published file (its MD5 sum is not {published.md5}): it is damaged, cut off, or was "
            "packed anew; fetch it again, or add --any-md5 if you trust it"
        )


def _plain(name: str) -> str:
    """Without the ` (1)` that browsers add to the name of a second download."""
    return re.sub(r" ?\(\d+\)(?=\.|$)", "", name)
