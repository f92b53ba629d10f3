"""Checking a user's own images: a folder or a table, read as far as possible."""

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lamm.checking.benchmark import name_oddities
from lamm.checking.findings import Finding, Report, State, listed, note
from lamm.checking.images import files_below, unreadable_findings
from lamm.checking.leaks import leak_findings
from lamm.datasets.listing import image_names, images_below
from lamm.datasets.own_images import ImageFolder, pretty_names, stored_parts
from lamm.datasets.splits import PARTS
from lamm.datasets.tables import list_in, read_table
from lamm.errors import DataError
from lamm.images import is_image_name

FEWEST = 3
"""With fewer images, a class can't have one each for training, validation and testing."""


class OwnImage(NamedTuple):
    """An image file, its class (folder or label), its part ("" where nothing says), and that of an earlier run."""

    file: str
    label: str
    part: str
    stored_part: str = ""


@dataclass
class OwnImages:
    """A user's images, their classes in label order, the classes' names, and what is wrong."""

    images: list[OwnImage] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def sizes(self) -> tuple[int, int, int] | None:
        """Images in train, val and test; None where the first run will split them."""
        if not any(image.part for image in self.images):
            return None
        train, val, test = (sum(image.part == part for image in self.images) for part in PARTS)
        return train, val, test


def check_own_data(kind: str, place: Path, quick: bool = False, workers: int = 0) -> Report:
    """Check own images, without writing anything.

    Args:
        kind: `folder` or `csv`.
        place: the folder, or the table.
        quick: don't decode images.
        workers: processes that decode; 0 is one per core.
    """
    place = list_in(place) if kind == "csv" else place
    report = Report(kind, "images of your own", str(place))
    if not (place.is_dir() if kind == "folder" else place.is_file()):
        report.to_get = [f"There is no {'folder' if kind == 'folder' else 'file'} at {place}."]
        return report
    images = images_of_folder(place) if kind == "folder" else images_of_table(place)
    report.add(images.findings)
    report.add([note(f"{len(images.images):,} images in {len(images.classes):,} classes")])
    if len(images.classes) < 2:
        report.add([Finding("a classifier needs two classes or more")])
    sizes = Counter(image.label for image in images.images)
    tiny = [f'"{name}" ({sizes[name]})' for name in images.classes if sizes[name] < FEWEST]
    report.add(listed(f"classes with fewer than {FEWEST} images", tiny, is_fault=False))
    report.classes = len(images.classes)
    report.add(name_oddities(images.names.get(name, name) for name in images.classes))
    if not quick:
        files = list(dict.fromkeys(image.file for image in images.images if os.path.exists(image.file)))
        base = place if kind == "folder" else place.parent
        report.add(unreadable_findings(files, base, f"decoding {place.name}", workers))
        report.decoded = len(files)
        report.add(leak_findings({image.file: image.part or image.stored_part for image in images.images}, base))
    report.sizes = images.sizes
    report.state = State.FAULTY if report.faults else State.WHOLE
    return report


def images_of_folder(folder: Path) -> OwnImages:
    """The images of a folder with a folder for each class, perhaps within train, val and test."""
    own = OwnImages()
    dataset = ImageFolder.__new__(ImageFolder)
    dataset.locate(folder)
    try:
        places = dataset.part_folders()
    except DataError as error:
        own.findings.append(Finding(str(error)))
        places = {"train": ""}
    empty, loose, tops = [], [], []
    links: list[Path] = []
    stored = _stored_parts(folder / dataset.own_split_file)
    for part, place in places.items():
        loose += [f"{place}{name}" for name in image_names(folder / place)]
        for name in dataset.folders_in(place):
            top = f"{place}{name}"
            tops.append(top)
            paths = images_below(folder / top, links)
            empty += [] if paths else [top]
            own.images += [
                OwnImage(str(folder / top / path), name, part if place else "", stored.get(f"{top}/{path}", ""))
                for path in paths
            ]
    own.classes = sorted({image.label for image in own.images})
    own.names = _names(folder, own)
    own.findings += listed("folders without an image, which are not classes", empty, is_fault=False)
    own.findings += listed("images outside of class folders, so nothing uses them", loose, is_fault=False)
    shown = [link.relative_to(folder).as_posix() for link in links]
    own.findings += listed("links to folders in class folders, which are not followed", shown, is_fault=False)
    others = [path for path in files_below(folder, tops) if not is_image_name(path)]
    own.findings += listed("files in class folders that are not images", others, is_fault=False)
    own.findings += _split_findings(own, folder / dataset.own_split_file)
    return own


def images_of_table(file: Path) -> OwnImages:
    """The images of a CSV or JSON file; rows that can't be read are findings."""
    table = read_table(file)
    rows = table.rows
    own = OwnImages(findings=[Finding(table.error)] if table.error else [])
    own.findings += listed(f"{file.name}: broken rows", table.broken)
    if not rows:
        own.findings.append(Finding(f"{file.name} lists no image"))
    own.findings += map(note, table.notes)
    split_file = file.parent / f"split_lamm_{file.stem}.json"
    stored = _stored_parts(split_file)
    own.images = [
        OwnImage(os.path.normpath(file.parent / row.path), row.label, row.split, stored.get(row.path, ""))
        for row in rows
    ]
    own.classes = table.classes
    own.names = _names(file.parent, own)
    twice = [f"{path} ({', '.join(places)})" for path, places in table.twice.items()]
    own.findings += listed(f"{file.name}: images listed more than once", twice)
    missing = [f"{row.path} ({row.place})" for row in rows if not os.path.isfile(file.parent / row.path)]
    own.findings += listed(f"{file.name}: images missing", missing)
    without = [row.place for row in rows if not row.split]
    if len(without) < len(rows):
        own.findings += listed(f"{file.name}: rows without a split, while others have one", without)
    own.findings += _split_findings(own, split_file)
    return own


def _names(folder: Path, own: OwnImages) -> dict[str, str]:
    try:
        names = pretty_names(folder, own.classes)
    except DataError as error:
        own.findings.append(Finding(str(error)))
        return {}
    same = [f'"{name}"' for name, count in Counter(names.values()).items() if count > 1]
    own.findings += listed("class names that two classes share", same)
    return names


def _split_findings(own: OwnImages, stored: Path) -> list[Finding]:
    """Findings about train, val and test."""
    if own.sizes is None:
        return [_stored_split_finding(stored)]
    labels = {part: {image.label for image in own.images if image.part == part} for part in PARTS}
    strangers = sorted((labels["val"] | labels["test"]) - labels["train"])
    findings = list(listed("classes without an image to train on", strangers))
    if not labels["test"]:
        other = "the validation images are the test images" if labels["val"] else "the first run splits them"
        findings.append(note(f"there are no test images: {other}"))
    return findings


def _stored_parts(file: Path) -> dict[str, str]:
    """Path → part in an earlier run; a damaged file is a finding of its own."""
    with suppress(DataError):
        return stored_parts(file)
    return {}


def _stored_split_finding(file: Path) -> Finding:
    try:
        stored = Counter(stored_parts(file).values())
    except DataError as error:
        return Finding(str(error).replace(str(file), file.name))
    if not os.path.lexists(file):
        return note("no split is given: the first run tests on a fifth of each class and trains on the rest")
    sizes = " / ".join(f"{stored[part]:,}" for part in PARTS)
    return note(f"{file.name} stores the split of an earlier run: {sizes} images in train / val / test")
