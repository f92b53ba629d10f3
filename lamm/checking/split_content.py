"""What a split says: labels, class names, images named twice, counts."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from lamm.checking.findings import Finding, listed
from lamm.datasets.splits import PARTS, Split


def content_findings(split: Split, same_names_are_known: bool = False) -> Iterator[Finding]:
    """All that is wrong with labels, names and paths.

    Args:
        split: what could be read of it.
        same_names_are_known: two classes of the same name are a note (ImageNet's published names have two pairs).
    """
    yield from _empty_parts(split)
    yield from _labels(split)
    yield from _names(split, same_names_are_known)
    yield from _named_twice(split)


def size_findings(
    split: Split, sizes: tuple[int, int, int] | None, classes: int, what: str = "the split"
) -> Iterator[Finding]:
    """Faults where counts are not the expected ones."""
    found = sizes_of(split)
    if sizes and found != sizes:
        yield Finding(f"{what} names {in_words(found)} images, expected are {in_words(sizes)} (train / val / test)")
    count = len({item.label for item in split.items()})
    if classes and count != classes:
        yield Finding(f"{what} has {count:,} classes, expected are {classes:,}")


def sizes_of(split: Split) -> tuple[int, int, int]:
    """Images in train, val and test."""
    return len(split.train), len(split.val), len(split.test)


def in_words(sizes: tuple[int, int, int]) -> str:
    """ "4,128 / 1,649 / 2,465"."""
    return " / ".join(f"{size:,}" for size in sizes)


def _empty_parts(split: Split) -> Iterator[Finding]:
    for part in ("train", "test"):
        if not getattr(split, part):
            yield Finding(f'the list "{part}" is empty')


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


def _names(split: Split, same_names_are_known: bool) -> Iterator[Finding]:
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
    yield from listed("class names that two labels share", same, is_fault=not same_names_are_known)


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
