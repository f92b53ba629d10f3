"""ImageNet and its variants: the split is what the class folders hold, so the folders are what is checked."""

from collections.abc import Iterator
from pathlib import Path

from lamm.checking.findings import Finding, listed
from lamm.clip.imagenet_names import imagenet_class_names
from lamm.datasets.imagenet_classes import FILE_NAME, read_classnames
from lamm.datasets.listing import folder_names, image_names
from lamm.datasets.published_files import Part
from lamm.errors import DataError


def images_by_class(place: Path) -> dict[str, list[str]]:
    """Class folder → names of its images; empty where the place can't be listed."""
    try:
        return {name: image_names(place / name) for name in folder_names(place)}
    except DataError:
        return {}


def folder_findings(place: Path, part: Part, images: dict[str, list[str]], classes: list[str]) -> Iterator[Finding]:
    """What is wrong with the class folders of one image folder.

    Args:
        place: the image folder.
        part: what it should be.
        images: as `images_by_class` gives them.
        classes: what class folders may be called.
    """
    loose = image_names(place)
    hint = ": python tools/prepare_data.py imagenet sorts them" if part.target.endswith("val") else ""
    yield from listed(f"{part.target}: images outside of class folders{hint}", loose)
    strangers = sorted(set(images) - set(classes))
    yield from listed(f"{part.target}: folders that are no class of {FILE_NAME}", strangers, is_fault=False)
    empty = [name for name in classes if name in images and not images[name]]
    yield from listed(f"{part.target}: class folders without an image", empty)
    found = [name for name in classes if name in images]
    if len(found) != part.folders:
        missing = [name for name in classes if name not in images] if part.folders == len(classes) else []
        such = f", such as {', '.join(missing[:3])}" if missing else ""
        yield Finding(
            f"{part.target} has {len(found):,} class folders, expected are {part.folders:,}{such}: a missing or "
            "extra one shifts the labels of all later classes"
        )


def class_names(folder: Path) -> tuple[dict[str, str], list[Finding]]:
    """WordNet id → name from `classnames.txt` (OpenAI's where it can't be read), and what is wrong with the file."""
    published = imagenet_class_names()
    try:
        names = read_classnames(folder)
    except DataError as error:
        return published, [Finding(str(error))]
    findings = [
        *listed(f"{FILE_NAME}: classes that it lacks", sorted(set(published) - set(names))),
        *listed(f"{FILE_NAME}: lines that are no class of ImageNet", sorted(set(names) - set(published))),
    ]
    other = [
        f"{wnid} ({names[wnid]}; OpenAI: {published[wnid]})" for wnid in names if names[wnid] != published.get(wnid)
    ]
    known = [text for text in other if text.split(" ")[0] in published]
    findings += listed(f"{FILE_NAME}: names other than OpenAI's", known, is_fault=False)
    return names, findings
