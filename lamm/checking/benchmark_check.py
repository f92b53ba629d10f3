"""Checking one data set of the benchmark: every check runs, whatever the others find."""

import re
from pathlib import Path

from lamm.checking.class_folder_check import check_class_folders
from lamm.checking.findings import Report, State
from lamm.checking.image_findings import unreadable_findings
from lamm.checking.split_check import check_with_split
from lamm.datasets import dataset_class
from lamm.datasets.imagenet_sources import CLASS_NAMES
from lamm.datasets.published_files import Source
from lamm.preparing.survey import Survey
from lamm.preparing.what_to_get import lines_of_layout, lines_to_get

MENDING = (
    "To mend images: remove the damaged ones and lay the archive out again with tools/prepare_data.py; it adds what is "
    "missing and leaves all else alone."
)


def check_benchmark(source: Source, root: Path, quick: bool = False, workers: int = 0) -> Report:
    """Check a data set, without writing anything.

    Args:
        source: the data set.
        root: the data root.
        quick: don't decode images.
        workers: processes that decode; 0 is one for each core.
    """
    survey, dataset = Survey(source, root), dataset_class(source.name)
    report = Report(
        source.name,
        source.title,
        str(survey.folder),
        expected_sizes=dataset.expected_sizes,
        expected_classes=dataset.expected_classes,
    )
    if not any(survey.place(part).exists() for part in source.parts):
        report.to_get = [*_misnamed(source, root), *lines_to_get(source, root, survey.needed()), *_layout(source, root)]
        return report
    has_split = not any(part.target == CLASS_NAMES for part in source.parts)
    images = (check_with_split if has_split else check_class_folders)(source, dataset, root, report)
    unreadable = []
    if not quick:
        unreadable = list(unreadable_findings(images.files, survey.folder, f"decoding {source.name}", workers))
        report.add(unreadable)
        report.decoded = len(images.files)
    needed = survey.needed()
    if images.some_missing or not survey.loads:
        report.state = State.PARTIAL
        needed = [part for part in source.parts if part in needed or part.images]
    else:
        report.state = State.FAULTY if report.faults else State.WHOLE
    report.to_get = lines_to_get(source, root, needed)
    if report.state is State.PARTIAL:
        report.to_get += _layout(source, root)
    if unreadable or images.some_missing:
        report.to_get.append(MENDING)
    return report


def _layout(source: Source, root: Path) -> list[str]:
    return ["Afterwards it looks like this:", *(f"  {line}" for line in lines_of_layout(source, root))]


def _misnamed(source: Source, root: Path) -> list[str]:
    """A hint where a folder is called almost as the data set's should be."""
    wanted = {_plain(name) for name in (source.folder, source.name)}
    folders = [path.name for path in sorted(root.glob("*")) if path.is_dir() and path.name != source.folder]
    return [
        f'There is a folder "{name}" in {root}: if that is it, rename it to "{source.folder}".'
        for name in folders
        if _plain(name) in wanted
    ]


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
