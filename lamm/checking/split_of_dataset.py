"""The split that a run would use, read as far as it can be, or made; nothing is written."""

from pathlib import Path

from lamm.checking.findings import Finding, note
from lamm.checking.split_file import differs_from_published, read_as_far_as_possible
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.published_files import Need, Source
from lamm.datasets.splits import Split
from lamm.errors import DataError


def split_of(source: Source, dataset: type[BenchmarkDataset], root: Path) -> tuple[Split | None, list[Finding]]:
    """The split of a data set that is not a mere listing of folders, and what is wrong with its file.

    Returns:
        The split, None where there is none and none can be made; and the findings.
    """
    folder = root / source.folder
    published = next((part for part in source.parts if part.need is Need.SPLIT), None)
    if published is not None and (folder / published.target).exists():
        file = folder / published.target
        split, findings = read_as_far_as_possible(file)
        return split, [*(differs_from_published(file, published) if file.is_file() else ()), *findings]
    made_by_us = folder / f"split_lamm_{dataset.__name__}.json"
    absent = f"{published.target}, the published split, is absent: " if published is not None else ""
    incomparable = "; results with it can't be compared with papers" if published is not None else ""
    if made_by_us.exists():
        split, findings = read_as_far_as_possible(made_by_us)
        return split, [note(f"{absent}runs use {made_by_us.name}, which was made here{incomparable}"), *findings]
    try:
        split = dataset.split_on_disk(root)  # keeps nothing
    except DataError as error:
        return None, [Finding(f"{absent}none can be made: {error}" if absent else str(error))]
    return split, [note(f"{absent}the first run makes one of its own{incomparable}")] if absent else []
