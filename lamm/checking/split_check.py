"""Checking a data set with a split: what the split says, and whether the images that it names are there."""

from pathlib import Path
from typing import NamedTuple

from lamm.checking.class_name_oddities import name_oddities
from lamm.checking.findings import Finding, Report
from lamm.checking.image_tree import extra_findings, files_below, missing_findings
from lamm.checking.split_content import content_findings, size_findings, sizes_of
from lamm.checking.split_of_dataset import split_of
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.listing import is_image_name
from lamm.datasets.published_files import Source
from lamm.preparing.completeness import shortcoming


class CheckedImages(NamedTuple):
    """Image files to decode, and whether some that should be there are missing."""

    files: list[str]
    some_missing: bool


def check_with_split(source: Source, dataset: type[BenchmarkDataset], root: Path, report: Report) -> CheckedImages:
    """Add to the report all that can be said without decoding images."""
    folder = root / source.folder
    split, findings = split_of(source, dataset, root)
    report.add(findings)
    tops = [part.target for part in source.image_parts]
    if split is None:
        report.add(_short_parts(source, folder))
        return CheckedImages([str(folder / path) for path in files_below(folder, tops) if is_image_name(path)], False)
    report.sizes, report.classes = sizes_of(split), len({item.label for item in split.items()})
    report.add(content_findings(split))
    report.add(size_findings(split, dataset.expected_sizes, dataset.expected_classes))
    report.add(name_oddities(item.classname for item in split.items()))
    paths = dict.fromkeys(item.path for item in split.items())
    image_folder = folder / dataset.image_prefix
    absent, missing = missing_findings(image_folder, paths)
    report.add(absent or _short_parts(source, folder))
    start = f"{dataset.image_prefix}/" if dataset.image_prefix else ""
    report.add(extra_findings(folder, tops, [f"{start}{path}" for path in paths], source.unused))
    return CheckedImages([str(image_folder / path) for path in paths if path not in missing], bool(missing))


def _short_parts(source: Source, folder: Path) -> list[Finding]:
    lacks = {part.target: shortcoming(part, folder / part.target) for part in source.image_parts}
    return [Finding(f"{target} {lack}") for target, lack in lacks.items() if lack]
