"""Checking ImageNet or a variant: the split is what the class folders hold."""

from pathlib import Path

from lamm.checking.class_folders import class_names, folder_findings, images_by_class
from lamm.checking.class_name_oddities import name_oddities
from lamm.checking.findings import Finding, Report, listed
from lamm.checking.image_tree import extra_findings
from lamm.checking.split_check import CheckedImages
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.published_files import Source


def check_class_folders(source: Source, dataset: type[BenchmarkDataset], root: Path, report: Report) -> CheckedImages:
    """Add to the report all that can be said without decoding images."""
    folder = root / source.folder
    names, findings = class_names(folder)
    report.add(findings)
    # V2's folders are called by label.
    known = [str(label) for label in range(len(names))] if source.name == "imagenetv2" else list(names)
    found: dict[str, dict[str, list[str]]] = {}
    for part in source.image_parts:
        place = folder / part.target
        if not place.is_dir():
            report.add([Finding(f"{part.target} is missing")])
            continue
        images = images_by_class(place)
        report.add(folder_findings(place, part, images, known))
        found[part.target] = {name: images[name] for name in known if name in images}
        count = sum(map(len, found[part.target].values()))
        if count != part.images:
            report.add([Finding(f"{part.target} has {count:,} images, expected are {part.images:,}")])
    report.add(_only_in_one(found))
    classes = next(iter(found.values()), {})
    counts = [sum(map(len, images.values())) for images in found.values()]
    if len(counts) == len(source.image_parts):
        report.sizes = (counts[0], 0, counts[-1])
    report.classes = sum(bool(images) for images in classes.values())
    used = (
        [list(names.values())[known.index(name)] for name in classes] if len(classes) < len(known) else names.values()
    )
    report.add(name_oddities(used))
    report.add(_same_names(names))
    paths = [
        f"{target}/{name}/{image}"
        for target, images in found.items()
        for name, listed_images in images.items()
        for image in listed_images
    ]
    report.add(extra_findings(folder, list(found), paths, [f"{target}/README.txt" for target in found]))
    return CheckedImages([str(folder / path) for path in paths], False)


def _only_in_one(found: dict[str, dict[str, list[str]]]) -> list[Finding]:
    if len(found) < 2:
        return []
    (first, one), (second, other) = found.items()
    alone = sorted(one.keys() ^ other.keys())
    return list(listed(f"class folders in only one of {first} and {second}", alone))


def _same_names(names: dict[str, str]) -> list[Finding]:
    """OpenAI's list has two such pairs, so it is no fault."""
    ids: dict[str, list[str]] = {}
    for wnid, name in names.items():
        ids.setdefault(name, []).append(wnid)
    same = [f'"{name}" ({" and ".join(wnids)})' for name, wnids in ids.items() if len(wnids) > 1]
    return list(listed("class names that two classes share", same, is_fault=False))
