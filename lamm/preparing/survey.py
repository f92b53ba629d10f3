"""What a data set's folder has, what it lacks, and where to get that, for programs and as lines of plain text."""

import os
from collections.abc import Collection
from pathlib import Path

from lamm.datasets.listing import missing_images
from lamm.datasets.sources import VAL, Need, Part, PublishedFile, Source
from lamm.datasets.splits import read_split
from lamm.errors import DataError
from lamm.files import sha256_of_file
from lamm.images import is_image_name

# Why a part is needed, where that isn't obvious.
PURPOSES = {
    Need.SPLIT: "the published split: without it a split is made here, and results can't be compared with papers",
    Need.LISTS: "only needed where the published split can't be had: a split is made from it",
    Need.SORTING: "says which class each validation image is of",
}
LAYOUT_REMARKS = {Need.SPLIT: "the published split", Need.LISTS: "only where the published split is absent"}


class Survey:
    """The state of a data set's folder, part by part; each part is examined once, until `look_again`.

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

        A folder that lacks images of the published split is incomplete, however many images it has.
        """
        if part.target not in self._lacks:
            self._lacks[part.target] = shortcoming(part, self.place(part)) or self._lacks_images_of_split(part)
        return self._lacks[part.target]

    def look_again(self, target: str = "") -> None:
        """Forget the state of one part or ("") of all; after a change of the split, that of the images too."""
        if not target or self.source.part(target).need is Need.SPLIT:
            self._lacks.clear()
        self._lacks.pop(target, None)

    def is_needed(self, part: Part) -> bool:
        """Whether a part is incomplete and something needs it.

        Lists are needed where the published split is absent; the list of classes of the validation images is needed
        where these are not in class folders.
        """
        if part.need is Need.LISTS and not any(map(self.lack, self._splits())):
            return False
        if part.need is Need.SORTING and not self.lack(self.source.part(VAL)):
            return False
        return part.need is not Need.EXTRA and bool(self.lack(part))

    def needed(self) -> list[Part]:
        """All parts that are needed and incomplete."""
        return [part for part in self.source.parts if self.is_needed(part)]

    @property
    def loads(self) -> bool:
        """Whether the data set can be used: with the published split, or with one that is made here."""
        return all(part.need is Need.SPLIT for part in self.needed())

    def _splits(self) -> list[Part]:
        return [part for part in self.source.parts if part.need is Need.SPLIT]

    def _lacks_images_of_split(self, part: Part) -> str:
        file = next((self.place(split) for split in self._splits() if self.place(split).is_file()), None)
        if not part.images or file is None:
            return ""
        try:
            paths = [item.path for item in read_split(file).items()]
        except DataError:
            return ""
        start = f"{part.target}/"
        if len(self.source.image_parts) > 1:  # the split's paths begin with the part's name
            paths = [path.removeprefix(start) for path in paths if path.startswith(start)]
        missing = missing_images(self.place(part), paths)
        if not missing:
            return ""
        return f'lacks {len(missing):,} of the images that {file.name} names, such as "{missing[0]}"'


def shortcoming(part: Part, place: Path) -> str:
    """What a part lacks, in a few words; "" if it is complete.

    Args:
        part: what it should be.
        place: the file or folder, whatever its name.
    """
    if not (place.is_dir() if part.is_folder else place.is_file()):
        return f"is not a {'folder' if part.is_folder else 'file'}" if place.exists() else "is absent"
    if part.is_folder:
        images, folders = count_images(place)
        if images < part.images:
            return f"has {images:,} of at least {part.images:,} images"
        if folders < part.folders:
            return f"has images in {folders:,} folders, at least {part.folders:,} are expected"
        lacking = next((name for name in part.holds if not (place / name).exists()), None)
        return f'has no "{lacking}"' if lacking else ""
    size = place.stat().st_size
    if size == 0:
        return "is empty"
    if part.size and size != part.size:
        return f"has {size:,} bytes, the published file has {part.size:,}"
    if part.sha256 and sha256_of_file(place) != part.sha256:
        return "has other content than the published file (by its SHA-256)"
    return ""


def count_images(folder: Path) -> tuple[int, int]:
    """The number of images in a folder and all folders below it, and of the folders below it that hold images."""
    images = folders = 0
    for where, _, names in os.walk(folder):
        here = sum(map(is_image_name, names))
        images += here
        folders += here > 0 and Path(where) != folder
    return images, folders


def state_lines(survey: Survey) -> list[str]:
    """One line for each part that is there or needed: what it lacks, or that it is complete."""
    parts = [part for part in survey.source.parts if survey.is_needed(part) or not survey.lack(part)]
    shown = [part for part in parts if part.need is not Need.EXTRA]
    width = max((len(part.target) for part in shown), default=0)
    return [f"  {part.target:{width}}  {survey.lack(part) or 'whole'}" for part in shown]


def lines_to_get(source: Source, root: Path, needed: Collection[Part]) -> list[str]:
    """Which files to get for the needed parts, from which page, and the command that lays them out."""
    targets = {part.target for part in needed}
    files = [file for file in source.files if targets & set(file.gives)]
    if not files:
        return []
    lines = [f"To get, from {source.page}:"]
    for file in files:
        lines += _lines_of_file(file, source)
    if any(part.need is Need.REQUIRED for part in needed):
        lines += [f"  Note: {note}" for note in source.notes]
    command = f"  lamm prepare-data {source.name} --root {root}"
    lines += ["Then, with the folder that the files are in:", f"{command} --from ~/Downloads"]
    if any(file.urls or file.drive_id for file in files):
        lines += ["or let it fetch what can be fetched:", f"{command} --download"]
    return lines


def _lines_of_file(file: PublishedFile, source: Source) -> list[str]:
    about = f" (about {size_in_words(file.bytes_about)})" if file.bytes_about else ""
    where = ", or ".join(file.urls) or file.where
    lines = [f"  {file.name}{about}{'  ' + where if where else ''}"]
    if purpose := PURPOSES.get(source.part(file.gives[0]).need):
        lines.append(f"    {purpose}")
    if file.drive_id:
        lines.append("    on Google Drive: open the link in a browser, or pip install gdown and use --download")
    if file.trouble:
        lines.append(f"    {file.trouble}")
    return lines


def size_in_words(size: int) -> str:
    """ "137 MB"; with two or three digits."""
    units = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
    unit, factor = next(((unit, factor) for unit, factor in units if size >= factor), ("bytes", 1))
    number = size / factor
    return f"{number:.1f} {unit}" if number < 10 and factor > 1 else f"{number:,.0f} {unit}"


def lines_of_layout(source: Source, root: Path) -> list[str]:
    """What the data set's folder looks like when it is complete."""
    rows = []
    for part in source.parts:
        if part.need in (Need.EXTRA, Need.SORTING):
            continue
        remark = LAYOUT_REMARKS.get(part.need, "")
        if part.images:
            remark = f"{part.images:,} images" + (f" in {part.folders:,} folders" if part.folders else "")
        example = f"/{part.holds[0]} …" if part.holds else "/" if part.is_folder else ""
        rows.append((f"{part.target}{example}", remark))
    width = max(len(example) for example, _ in rows)
    return [f"{root / source.folder}/", *(f"  {example:{width}}  {remark}".rstrip() for example, remark in rows)]
