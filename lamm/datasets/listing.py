"""What a folder holds: class folders and image files, sorted, whatever the order of the file system.

Hidden entries, and what operating systems and archive programs leave behind, are never classes or images.
"""

from __future__ import annotations

import bisect
import itertools
import json
import os
import posixpath
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, overload

from tqdm import tqdm

from lamm.datasets.splits import SplitItem, is_text
from lamm.errors import DataError
from lamm.files import atomic_path
from lamm.images import is_image_name
from lamm.log import logger
from lamm.reading import json_object

if TYPE_CHECKING:
    from lamm.engine import Datum  # slow to import, and processes that decode images import this file

LEFT_BEHIND = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "lost+found"})


def folder_names(folder: Path, ignored: Collection[str] = ()) -> list[str]:
    """The names of the visible folders in `folder`, by code point (capitals before lower case).

    Args:
        folder: where to look.
        ignored: further names to leave out.

    Raises:
        DataError: the folder can't be listed, or holds a name that is not UTF-8.
    """
    with _entries(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    ignored = LEFT_BEHIND | set(ignored)
    return _checked_names(folder, (name for name in names if not name.startswith(".") and name not in ignored))


def image_names(folder: Path) -> list[str]:
    """The names of the image files in `folder`, by code point.

    Raises:
        DataError: the folder can't be listed, or holds a name that is not UTF-8.
    """
    with _entries(folder) as entries:
        return _checked_names(folder, (e.name for e in entries if is_image_name(e.name) and e.is_file()))


def images_below(folder: Path, links: list[Path] | None = None) -> list[str]:
    """The image files in `folder` and all folders below it, as sorted POSIX paths relative to it.

    Links to files are followed, links to folders are not: they may lead back. They are added to `links`.

    Raises:
        DataError: a folder can't be listed.
    """
    paths = image_names(folder)
    for name in folder_names(folder):
        if not (folder / name).is_symlink():
            paths += [f"{name}/{path}" for path in images_below(folder / name, links)]
        elif links is not None:
            links.append(folder / name)
    return sorted(paths)


def _checked_names(folder: Path, names: Iterable[str]) -> list[str]:
    """The names by code point; DataError for one that no file that lists it could hold."""
    in_order = sorted(names)
    for name in in_order:
        if not is_text(name):
            shown = os.fsencode(name).decode("utf-8", "backslashreplace")
            raise DataError(f'{folder} holds "{shown}", a name that is not UTF-8 text: rename it')
    return in_order


def _entries(folder: Path) -> os._ScandirIterator[str]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise _not_listed(folder, error) from None


def _not_listed(folder: Path, error: OSError) -> DataError:
    return DataError(f"can't list {folder}: {error.strerror}; check the path and its permissions")


# A folder that was modified less than this before it was listed may change again with the same time stamp.
TICK_NS = 2_000_000_000


def cached_image_names(file: Path, base: Path, folders: Iterable[str]) -> dict[str, str]:
    """The sorted image names of each folder, one per line; a folder is only listed if it has changed since last time.

    Args:
        file: where the lists are stored (`.jsonl`); if it can't be written, they are only returned.
        base: what the folders are relative to.
        folders: relative POSIX paths.

    Raises:
        DataError: a folder is missing or can't be listed.
    """
    cached, listing = _read_cache(file), {}
    for folder in tqdm(list(folders), desc="listing images", unit="folder", leave=False, disable=None):
        try:
            modified = os.stat(base / folder).st_mtime_ns
        except OSError as error:
            raise _not_listed(base / folder, error) from None
        if folder in cached and cached[folder][0] == modified:
            listing[folder] = cached[folder]
        else:
            settled = time.time_ns() - modified > TICK_NS
            listing[folder] = (modified if settled else 0, "\n".join(image_names(base / folder)))
    if listing != cached:
        try:
            with atomic_path(file) as temporary, open(temporary, "w", encoding="utf-8") as opened:
                for folder, (modified, names) in listing.items():
                    opened.write(json.dumps({"folder": folder, "modified": modified, "names": names}) + "\n")
        except OSError as error:
            logger.info(f"the list of images is not stored: can't write to {file.parent} ({error.strerror or error})")
    return {folder: names for folder, (_, names) in listing.items()}


def _read_cache(file: Path) -> dict[str, tuple[int, str]]:
    """Folder → its modification time in ns (0: not to be trusted) and its image names; empty if missing or damaged."""
    cached: dict[str, tuple[int, str]] = {}
    try:
        with open(file, encoding="utf-8") as opened:
            for line in opened:
                fields = json_object(line, folder=str, modified=int, names=str)
                if "/" in fields["names"]:
                    return {}
                cached[fields["folder"]] = (fields["modified"], fields["names"])
    except (OSError, ValueError):
        return {}
    return cached


@dataclass(frozen=True)
class ListedFolder:
    """A class's folder, relative to the image folder, and the names of its images, one per line."""

    folder: str
    label: int
    classname: str
    names: str

    def __iter__(self) -> Iterator[SplitItem]:
        return map(self._item, self.names.split("\n") if self.names else [])

    def __getitem__(self, place: int) -> SplitItem:
        return self._item(self.names.split("\n")[place])

    def _item(self, name: str) -> SplitItem:
        return SplitItem(f"{self.folder}/{name}", self.label, self.classname)


class ListedImages(Sequence[SplitItem]):
    """The images of several folders, one folder after the other."""

    def __init__(self, folders: Sequence[ListedFolder]) -> None:
        self._folders = folders
        counts = (folder.names.count("\n") + 1 if folder.names else 0 for folder in folders)
        self._ends = list(itertools.accumulate(counts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[SplitItem]:
        for folder in self._folders:
            yield from folder

    @overload
    def __getitem__(self, index: int) -> SplitItem: ...
    @overload
    def __getitem__(self, index: slice) -> list[SplitItem]: ...
    def __getitem__(self, index: int | slice) -> SplitItem | list[SplitItem]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        if index < 0:
            index += len(self)
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        place = bisect.bisect_right(self._ends, index)
        return self._folders[place][index - (self._ends[place - 1] if place else 0)]


class ListedData(Sequence["Datum"]):
    """Items as data: `Datum`s that are made, and their files looked for, when they are asked for."""

    def __init__(self, items: Sequence[SplitItem], as_datum: Callable[[SplitItem], Datum]) -> None:
        self._items, self._as_datum = items, as_datum

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Datum: ...
    @overload
    def __getitem__(self, index: slice) -> list[Datum]: ...
    def __getitem__(self, index: int | slice) -> Datum | list[Datum]:
        if isinstance(index, slice):
            return [self._as_datum(item) for item in self._items[index]]
        return self._as_datum(self._items[index])

    def __iter__(self) -> Iterator[Datum]:
        return map(self._as_datum, self._items)


def missing_images(folder: Path, paths: Iterable[str]) -> list[str]:
    """The paths (relative to `folder`, POSIX, each once) at which there is no file, in the order given.

    Every folder is listed once. A file that a listing lacks is looked up by name before it counts as missing, since
    file systems that ignore case or normalise names find it all the same.
    """
    listings: dict[str, frozenset[str]] = {}
    missing = []
    for path in dict.fromkeys(paths):
        parent, name = posixpath.split(path)
        if parent not in listings:
            listings[parent] = frozenset()
            with suppress(OSError), os.scandir(folder / parent) as entries:
                listings[parent] = frozenset(entry.name for entry in entries if entry.is_file())
        if name not in listings[parent] and not os.path.isfile(folder / path):
            missing.append(path)
    return missing
