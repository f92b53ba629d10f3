"""Where each data set of the benchmark comes from, and what belongs in its folder: the catalogue in `sources.yaml`.

`lamm prepare-data` lays data out by it; `lamm check-data` says by it what is missing.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

# Targets of ImageNet's parts that need a treatment of their own.
TRAIN, VAL, CLASS_NAMES = "images/train", "images/val", "classnames.txt"
DEVKIT, KAGGLE_SOLUTION = "ILSVRC2012_devkit_t12", "LOC_val_solution.csv"
DRIVE_URL = "https://drive.google.com/file/d/{}/view"


class Need(Enum):
    """What a part of a data set's folder is for."""

    REQUIRED = "required"
    SPLIT = "published split"
    LISTS = "for a split of our own where the published one is absent"
    SORTING = "says which class each image is of, where a published archive has no class folders"
    EXTRA = "comes along, nothing here reads it"


@dataclass(frozen=True)
class Part:
    """One file or folder of a data set's folder.

    Attributes:
        target: where it goes, a POSIX path relative to the data set's folder.
        need: what it is for.
        inner: what it is called in archives: the end of a folder's or file's path there. Default: `target`.
        holds: what a folder must hold to be this part, relative to it; tells data sets with equal folder names apart.
        images: the least number of images in it and all folders below it; 0 for files and lists.
        folders: the least number of folders below it that hold images; 0 where images lie in it directly.
        size: of a file, in bytes; 0 is unknown.
        sha256: of a file; "" is unknown.
    """

    target: str
    need: Need = Need.REQUIRED
    inner: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    images: int = 0
    folders: int = 0
    size: int = 0
    sha256: str = ""

    @property
    def names_in_archives(self) -> tuple[str, ...]:
        """`inner`, or the default."""
        return self.inner or (self.target,)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, with images or lists in it."""
        return bool(self.images or self.holds)


@dataclass(frozen=True)
class PublishedFile:
    """A file that someone publishes, with some of a data set's parts in it.

    Attributes:
        name: its file name.
        gives: targets of the parts that it holds.
        urls: direct links, the most reliable first; none where it takes a browser or an account.
        md5: of the file; "" is unknown.
        bytes_about: its size, to be shown and to plan with, never checked; 0 is unknown.
        drive_id: its id on Google Drive.
        trouble: what stands in the way of getting it, in one sentence.
    """

    name: str
    gives: tuple[str, ...]
    urls: tuple[str, ...] = ()
    md5: str = ""
    bytes_about: int = 0
    drive_id: str = ""
    trouble: str = ""

    @property
    def where(self) -> str:
        """The link to open in a browser; "" where the data set's page is all there is."""
        return self.urls[0] if self.urls else DRIVE_URL.format(self.drive_id) if self.drive_id else ""


@dataclass(frozen=True)
class Source:
    """A data set: its page, the parts of its folder, and the published files.

    Attributes:
        name: on the command line.
        title: as people call it.
        folder: under the data root.
        page: where it is described.
        parts: what belongs in the folder, the images first.
        files: what to get.
        notes: what else one should know, a sentence each.
        unused: patterns (as in `fnmatch`) of files in the image folders that come along and that no split names.
    """

    name: str
    title: str
    folder: str
    page: str
    parts: tuple[Part, ...]
    files: tuple[PublishedFile, ...]
    notes: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def part(self, target: str) -> Part:
        """The part with this target.

        Raises:
            KeyError: there is none.
        """
        return {part.target: part for part in self.parts}[target]

    @property
    def image_parts(self) -> list[Part]:
        """The folders that hold images."""
        return [part for part in self.parts if part.images]


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}


def _source(name: str, fields: dict[str, Any]) -> Source:
    """One entry of the catalogue."""
    parts = [
        Part(**_tuples({**part, "need": Need[part.get("need", "required").upper()]})) for part in fields.pop("parts")
    ]
    files = [PublishedFile(**_tuples({"gives": [file["name"]], **file})) for file in fields.pop("files")]
    return Source(name=name, parts=tuple(parts), files=tuple(files), **_tuples(fields))


SOURCES: dict[str, Source] = {
    name: _source(name, fields)
    for name, fields in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")).items()
}
"""Name on the command line → source, in the benchmark's order."""
