"""Checking someone's own images: a folder with a folder for each class, or a table of paths and labels."""

from collections import Counter
from pathlib import Path

from lamm.checking.class_name_oddities import name_oddities
from lamm.checking.findings import Finding, Report, State, listed, note
from lamm.checking.image_findings import unreadable_findings
from lamm.checking.own_images import OwnImages, images_of_folder, images_of_table

FEWEST = 3
"""With fewer images a class has none for training, validation and testing each."""


def check_own_data(kind: str, place: Path, quick: bool = False, workers: int = 0) -> Report:
    """Check own images, without writing anything.

    Args:
        kind: `folder` or `csv`.
        place: the folder, or the table.
        quick: don't decode images.
        workers: processes that decode; 0 is one for each core.
    """
    report = Report(kind, "images of your own", str(place))
    if not (place.is_dir() if kind == "folder" else place.is_file()):
        report.to_get = [f"There is no {'folder' if kind == 'folder' else 'file'} at {place}."]
        return report
    images = images_of_folder(place) if kind == "folder" else images_of_table(place)
    report.add(images.findings)
    report.add(_counts(images))
    report.classes = len(images.classes)
    report.add(name_oddities(images.names.get(name, name) for name in images.classes))
    if not quick:
        files = list(dict.fromkeys(image.file for image in images.images if Path(image.file).exists()))
        base = place if kind == "folder" else place.parent
        report.add(unreadable_findings(files, base, f"decoding {place.name}", workers))
        report.decoded = len(files)
    report.sizes = images.sizes
    report.state = State.FAULTY if report.faults else State.WHOLE
    return report


def _counts(images: OwnImages) -> list[Finding]:
    sizes = Counter(image.label for image in images.images)
    findings = [note(f"{len(images.images):,} images in {len(images.classes):,} classes")]
    if len(images.classes) < 2:
        findings.append(Finding("a classifier needs two classes or more"))
    tiny = [f'"{name}" ({sizes[name]})' for name in images.classes if sizes[name] < FEWEST]
    findings += listed(f"classes with fewer than {FEWEST} images", tiny, is_fault=False)
    return findings
