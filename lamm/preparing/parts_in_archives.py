"""Which part of a data set's folder an archive's entry belongs to, and where in it.

An archive is known by what it holds, not by its name: renamed ones, and copies that hold several parts or wrap them
in further folders, are taken all the same.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamm.datasets.imagenet_sources import TRAIN, VAL
from lamm.datasets.published_files import Part, Source
from lamm.preparing.archives import Entry, entries, entries_of_stream
from lamm.preparing.imagenet_val import CLASS_ARCHIVE, VAL_IMAGE
from lamm.preparing.safe_paths import is_left_behind

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Place(NamedTuple):
    """A part, and the path below the data set's folder: `<target>/…` for what is in a folder, or `<target>`."""

    part: Part
    path: str


def place_of(path: str, parts: Sequence[Part]) -> Place | None:
    """Where an entry goes; None where it is of no part.

    Args:
        path: the entry's path in the archive, clean.
        parts: those to look for; the first that fits counts.
    """
    if is_left_behind(path):
        return None
    for part in parts:
        for name in part.names_in_archives:
            below = _below(path, name) if part.is_folder else _same_file(path, name)
            if below is not None:
                return Place(part, f"{part.target}/{below}" if below else part.target)
        if part.target == VAL and VAL_IMAGE.fullmatch(path):  # ImageNet's archive of them has no folder at all
            return Place(part, f"{VAL}/{path}")
    return None


def _below(path: str, folder: str) -> str | None:
    """What follows the last occurrence of `folder` among the folders of `path`."""
    wanted, parts = folder.split("/"), path.split("/")
    for start in range(len(parts) - 1 - len(wanted), -1, -1):
        if parts[start : start + len(wanted)] == wanted:
            return "/".join(parts[start + len(wanted) :])
    return None


def _same_file(path: str, name: str) -> str | None:
    """ "" where `path` ends in `name`."""
    wanted, parts = name.split("/"), path.split("/")
    return "" if parts[-len(wanted) :] == wanted else None


def placed_entries(
    archive: Path, source: Source, progress: Callable[[int], object] = lambda place: None
) -> Iterator[tuple[Place, Entry]]:
    """The entries of an archive that are of the data set, each with its place; archives in it are opened too.

    Args:
        archive: the file.
        source: the data set.
        progress: told how many bytes of the archive have been passed.

    Raises:
        DataError: as `lamm.preparing.archives.entries`.
    """
    for entry in entries(archive, progress):
        yield from _placed(entry, entry.path, source)


def _placed(entry: Entry, path: str, source: Source) -> Iterator[tuple[Place, Entry]]:
    place = place_of(path, source.parts)
    if place is not None:
        yield place, entry
        return
    folder = opened_into(path, source)
    if folder is not None:
        for inner in entries_of_stream(entry.content, PurePosixPath(path).name):
            yield from _placed(inner, f"{folder}{inner.path}", source)


def opened_into(path: str, source: Source) -> str | None:
    """Where the content of an archive within an archive counts as lying; None where `path` is none of interest.

    `caltech-101.zip` holds the archive of the images; ImageNet's training archive one for each class.
    """
    name = PurePosixPath(path).name
    of_class = CLASS_ARCHIVE.fullmatch(name)
    if of_class and any(part.target == TRAIN for part in source.parts):
        return f"{TRAIN}/{of_class[1]}/"
    known = name.endswith(TAR_ENDINGS) and name in known_names(source)
    return "" if known and not is_left_behind(path) else None


def is_surely_of(path: str, source: Source) -> bool:
    """Whether an entry tells the data set: `images/…` may be of many, `images/banded/banded_0002.jpg` is of one."""
    place = place_of(path, source.parts)
    if place is None:
        return opened_into(path, source) is not None
    if not place.part.is_folder or VAL_IMAGE.fullmatch(PurePosixPath(path).name):
        return True
    starts = [f"{place.part.target}/{name}" for name in place.part.holds]
    return any(place.path == start or place.path.startswith(f"{start}/") for start in starts)


def known_names(source: Source) -> set[str]:
    """File names under which a data set is published; those of parts with an archive's ending among them."""
    published = {file.name for file in source.files}
    return published | {f"{part.target}{ending}" for part in source.parts for ending in TAR_ENDINGS}
