"""Checking a split: its file, labels, class names, images named twice, and counts."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from lamm.checking.findings import Finding, listed, note
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.sources import Need, Source
from lamm.datasets.splits import PARTS, Split, SplitItem, checked_item
from lamm.errors import DataError
from lamm.files import sha256_of_file
from lamm.reading import json_object, read_bytes


def split_of(source: Source, dataset: type[BenchmarkDataset], root: Path) -> tuple[Split | None, list[Finding]]:
    """The split of a data set that is more than a listing of folders, and what is wrong with its file.

    Returns:
        The split, None where there is none and none can be made; and the findings.
    """
    folder = root / source.folder
    published = next((part for part in source.parts if part.need is Need.SPLIT), None)
    if published is not None and (folder / published.target).exists():
        file = folder / published.target
        split, findings = read_as_far_as_possible(file)
        size = file.stat().st_size
        known = file.is_file() and published.sha256
        if known and not (size == published.size and sha256_of_file(file) == published.sha256):
            other = Finding(
                f"{file.name} is not the published file ({size:,} bytes instead of {published.size:,}, or other "
                "content): results with it can't be compared with papers; fetch it again"
            )
            return split, [other, *findings]
        return split, findings
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


def read_as_far_as_possible(file: Path) -> tuple[Split | None, list[Finding]]:
    """The readable entries of a split file, and what is wrong with the others.

    Returns:
        The split, None where nothing can be read; and the findings.
    """
    try:
        content = json_object(read_bytes(file))
    except OSError as error:
        return None, [Finding(f"{file.name} can't be read: {error.strerror}")]
    except ValueError as error:
        return None, [Finding(f"{file.name} is not a JSON object with the keys {', '.join(PARTS)} ({error})")]
    parts: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
    findings: list[Finding] = []
    broken: list[str] = []
    for part in PARTS:
        entries = content.get(part)
        if not isinstance(entries, list):
            findings.append(Finding(f'{file.name} has no list "{part}"'))
            continue
        for position, entry in enumerate(entries):
            try:
                parts[part].append(checked_item(entry, f"{part}[{position}]"))
            except DataError as error:
                broken.append(str(error))
    return Split(**parts), findings + list(listed(f"{file.name}: broken entries", broken))


def content_findings(split: Split) -> Iterator[Finding]:
    """All that is wrong with the labels, names and paths of a split, or of what could be read of it."""
    for part in ("train", "test"):
        if not getattr(split, part):
            yield Finding(f'the list "{part}" is empty')
    yield from _labels(split)
    yield from _names(split)
    yield from _named_twice(split)


def _labels(split: Split) -> Iterator[Finding]:
    trained = {item.label for item in split.train}
    everywhere = {item.label for item in split.items()}
    # A label can be any number that someone wrote: no list up to the largest one is made.
    highest = max(everywhere, default=-1)
    gaps = [str(label) for label in range(min(highest, 2 * len(everywhere))) if label not in everywhere]
    if highest >= len(everywhere) and highest > 2 * len(everywhere):
        yield Finding(
            f"labels go up to {highest:,}, and there are {len(everywhere):,} of them: they must be 0, 1, 2, …"
        )
    yield from listed("labels that no image has, though labels must be 0, 1, 2, … with no gap", gaps)
    untrained = [str(label) for label in sorted(everywhere - trained)]
    yield from listed("labels without a training image", untrained)
    untested = [str(label) for label in sorted(trained - {item.label for item in split.test})] if split.test else []
    yield from listed("labels without a test image", untested, is_fault=False)


def _names(split: Split) -> Iterator[Finding]:
    names_of: dict[int, dict[str, None]] = defaultdict(dict)
    labels_of: dict[str, dict[int, None]] = defaultdict(dict)
    for item in split.items():
        names_of[item.label][item.classname] = None
        labels_of[item.classname][item.label] = None
    several = [
        f"{label} ({', '.join(map(repr, names))})" for label, names in sorted(names_of.items()) if len(names) > 1
    ]
    yield from listed("labels with more than one class name", several)
    same = [
        f'"{name}" (labels {", ".join(map(str, sorted(labels)))})'
        for name, labels in labels_of.items()
        if len(labels) > 1
    ]
    yield from listed("class names that two labels share", same)


def _named_twice(split: Split) -> Iterator[Finding]:
    parts_of: dict[str, list[str]] = defaultdict(list)
    for part in PARTS:
        for item in getattr(split, part):
            parts_of[item.path].append(part)
    counted = {path: Counter(parts) for path, parts in parts_of.items() if len(parts) > 1}
    twice = [f"{path} ({part})" for path, parts in counted.items() for part, count in parts.items() if count > 1]
    yield from listed("images listed more than once in the same part", twice)
    leaks = [f"{path} ({' and '.join(parts)})" for path, parts in counted.items() if len(parts) > 1]
    yield from listed("images in more than one part, so that what is tested was trained on", leaks)
