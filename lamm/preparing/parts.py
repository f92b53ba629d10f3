"""Which part of a data set's folder an archive's entry belongs to, and where in it.

An archive is known by what it holds, not by its name: renamed ones, and copies that hold several parts or wrap them
in further folders, are taken all the same.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lamm.datasets.listing import is_image_name, missing_images
from lamm.datasets.sources import TRAIN, VAL, Need, Part, Source
from lamm.datasets.splits import read_split
from lamm.errors import DataError
from lamm.files import sha256_of_file
from lamm.preparing.archives import Entry, entries, entries_of_stream, is_left_behind
from lamm.preparing.imagenet_val import CLASS_ARCHIVE, VAL_IMAGE

TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


class Place(NamedTuple):
    """A part, and the path below the data set's folder: `<target>/…` for what is in a folder, or `<target>`."""

    part: Part
    path: str


def place_of(path: str, parts: Sequence[Part]) -> Place | None:
    """Where an entry goes; None if it belongs to no part.

    Args:
        path: the entry's path in the archive, clean.
        parts: those to look for; the first match counts.
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


def shortcoming(part: Part, place: Path) -> str:
    """What a part lacks, in a few words; "" if it is complete.

    Args:
        part: what it should be.
        place: the file or folder, whatever it is called.
    """
    if not part.is_folder:
        return _shortcoming_of_file(part, place)
    if not place.is_dir():
        return "is not a folder" if place.exists() else "is absent"
    images, folders = count_images(place)
    if images < part.images:
        return f"has {images:,} of at least {part.images:,} images"
    if folders < part.folders:
        return f"has images in {folders:,} folders, at least {part.folders:,} are expected"
    lacking = next((name for name in part.holds if not (place / name).exists()), None)
    return f'has no "{lacking}"' if lacking else ""


def _shortcoming_of_file(part: Part, place: Path) -> str:
    if not place.is_file():
        return "is not a file" if place.exists() else "is absent"
    size = place.stat().st_size
    if size == 0:
        return "is empty"
    if part.size and size != part.size:
        return f"has {size:,} bytes, the published file has {part.size:,}"
    if part.sha256 and sha256_of_file(place) != part.sha256:
        return "has other content than the published file (by its SHA-256)"
    return ""


def count_images(folder: Path) -> tuple[int, int]:
    """The images in a folder and all folders below it, and how many folders below it hold some."""
    images = folders = 0
    for where, _, names in os.walk(folder):
        here = sum(map(is_image_name, names))
        images += here
        folders += here > 0 and Path(where) != folder
    return images, folders


class Survey:
    """The state of a data set's folder, part by part; each part is looked at once, until told to look again.

    Args:
        source: the data set.
        root: the data root.
    """

    def __init__(self, source: Source, root: Path) -> None:
        self.source, self.folder = source, root / source.folder
        self._lacks: dict[str, str] = {}

    def place(self, part: Part) -> Path:
        """Where a part is, or should be."""
        return self.folder / part.target

    def lack(self, part: Part) -> str:
        """What a part lacks, in a few words; "" if it is complete.

        A folder that lacks images which the published split names is not whole, whatever their number.
        """
        if part.target not in self._lacks:
            self._lacks[part.target] = shortcoming(part, self.place(part)) or self._lacks_images_of_split(part)
        return self._lacks[part.target]

    def look_again(self, target: str = "") -> None:
        """Forget what was seen, of one part or of all; images are looked for again when the split has changed."""
        changed = {part.target: part for part in self.source.parts}.get(target)
        if changed is None or changed.need is Need.SPLIT:
            self._lacks.clear()
        self._lacks.pop(target, None)

    def is_needed(self, part: Part) -> bool:
        """Whether a part is not whole and something needs it.

        Lists are needed where the published split is absent; what says the classes of validation images is, where
        these are not in class folders.
        """
        if part.need is Need.LISTS and not any(map(self.lack, self._parts(Need.SPLIT))):
            return False
        if part.need is Need.SORTING and not self.lack(self.source.part(VAL)):
            return False
        return part.need is not Need.EXTRA and bool(self.lack(part))

    def needed(self) -> list[Part]:
        """All parts that are needed and not whole."""
        return [part for part in self.source.parts if self.is_needed(part)]

    @property
    def loads(self) -> bool:
        """Whether the data set can be used: with the published split, or with one that is made here."""
        return not any(part.need is not Need.SPLIT for part in self.needed())

    def _parts(self, need: Need) -> list[Part]:
        return [part for part in self.source.parts if part.need is need]

    def _lacks_images_of_split(self, part: Part) -> str:
        splits = [self.place(split) for split in self._parts(Need.SPLIT) if self.place(split).is_file()]
        if not part.images or not splits:
            return ""
        try:
            paths = [item.path for item in read_split(splits[0]).items()]
        except DataError:
            return ""
        start = f"{part.target}/"
        if len(self.source.image_parts) > 1:  # the split's paths begin with the part's name
            paths = [path.removeprefix(start) for path in paths if path.startswith(start)]
        missing = missing_images(self.place(part), paths)
        return (
            f'lacks {len(missing):,} of the images that {splits[0].name} names, such as "{missing[0]}"'
            if missing
            else ""
        )
