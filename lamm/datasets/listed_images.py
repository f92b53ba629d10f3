"""A million images without a million objects: class folders and the names in them, as sequences of items and of data.

An item is made when it is asked for; what stays in memory is one text a folder. Loader processes share it, since
reading an image changes nothing in it.
"""

import bisect
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from lamm.datasets.splits import SplitItem
from lamm.engine import Datum


@dataclass(frozen=True)
class ListedFolder:
    """A class's folder, relative to the image folder, and the names of its images, a line each."""

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


class ListedData(Sequence[Datum]):
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
