"""Checking a benchmark data set: its split file, or the class folders of ImageNet and its variants, and its images."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from lamm.checking.findings import Finding, Report, State, in_words, listed
from lamm.checking.images import extra_findings, files_below, missing_findings, unreadable_findings
from lamm.checking.leaks import leak_findings
from lamm.checking.splits import content_findings, split_of
from lamm.datasets import dataset_class
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.imagenet import read_classnames
from lamm.datasets.listing import folder_names, image_names
from lamm.datasets.sources import CLASS_NAMES, Part, Source
from lamm.datasets.splits import PARTS
from lamm.errors import DataError
from lamm.images import is_image_name
from lamm.preparing.survey import Survey, lines_of_layout, lines_to_get, shortcoming

LONG_NAME = 100
BLANK = r"\s*"
# What a class name may look like → what is odd about that.
NAME_PATTERNS = {
    BLANK: "that are blank",
    r"n\d{8}": "that are WordNet ids, which CLIP can't read (classnames.txt can give words)",
    r"\d+": "of digits only, which say little to CLIP (classnames.txt can give words)",
    r".*_.*": "with underscores, which become spaces in prompts",
    r"\S*[a-z][A-Z]\S*": "of words run together (CamelCase)",
    r"(?s)\s+\S.*|.*\S\s+": "that begin or end with a space",
}

MENDING = (
    "To mend images: remove the damaged ones and lay the archive out again with lamm prepare-data; it adds what is "
    "missing and leaves all else alone."
)


def check_benchmark(source: Source, root: Path, quick: bool = False, workers: int = 0) -> Report:
    """Check a data set, without writing anything.

    Args:
        source: the data set.
        root: the data root.
        quick: don't decode images.
        workers: processes that decode; 0 is one per core.
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
    files, some_missing = (check_with_split if has_split else check_class_folders)(source, dataset, root, report, quick)
    unreadable = []
    if not quick:
        unreadable = list(unreadable_findings(files, survey.folder, f"decoding {source.name}", workers))
        report.add(unreadable)
        report.decoded = len(files)
    needed = survey.needed()
    if some_missing or not survey.loads:
        report.state = State.PARTIAL
        needed = [part for part in source.parts if part in needed or part.images]
    else:
        report.state = State.FAULTY if report.faults else State.WHOLE
    report.to_get = lines_to_get(source, root, needed)
    if report.state is State.PARTIAL:
        report.to_get += _layout(source, root)
    if any(finding.is_fault for finding in unreadable) or some_missing:
        report.to_get.append(MENDING)
    return report


def check_with_split(
    source: Source, dataset: type[BenchmarkDataset], root: Path, report: Report, quick: bool = False
) -> tuple[list[str], bool]:
    """Add all findings that need no decoding to the report.

    Returns:
        The image files to decode, and whether some that should be there are missing.
    """
    folder = root / source.folder
    split, findings = split_of(source, dataset, root)
    report.add(findings)
    tops = [part.target for part in source.image_parts]
    if split is None:
        report.add(_short_parts(source, folder))
        return [str(folder / path) for path in files_below(folder, tops) if is_image_name(path)], False
    report.sizes = sizes = len(split.train), len(split.val), len(split.test)
    report.classes = classes = len({item.label for item in split.items()})
    report.add(content_findings(split))
    if report.expected_sizes not in (None, sizes):
        expected = in_words(report.expected_sizes)
        report.add([Finding(f"the split names {in_words(sizes)} images, expected are {expected} (train / val / test)")])
    if report.expected_classes not in (0, classes):
        report.add([Finding(f"the split has {classes:,} classes, expected are {report.expected_classes:,}")])
    report.add(name_oddities(item.classname for item in split.items()))
    paths = dict.fromkeys(item.path for item in split.items())
    image_folder = folder / dataset.image_prefix
    absent, missing = missing_findings(image_folder, paths)
    report.add(absent or _short_parts(source, folder))
    start = f"{dataset.image_prefix}/" if dataset.image_prefix else ""
    report.add(extra_findings(folder, tops, [f"{start}{path}" for path in paths], source.unused))
    if not quick and not (dataset.test_only or dataset.val_is_test):
        parts = {str(image_folder / item.path): part for part in PARTS for item in getattr(split, part)}
        report.add(leak_findings(parts, image_folder, is_fault=False))
    return [str(image_folder / path) for path in paths if path not in missing], bool(missing)


def check_class_folders(
    source: Source, dataset: type[BenchmarkDataset], root: Path, report: Report, quick: bool = False
) -> tuple[list[str], bool]:
    """See `check_with_split`; what is missing shows in the counts."""
    folder = root / source.folder
    names, findings = class_names(folder)
    report.add(findings)
    # V2's folders are called by label.
    known = [str(label) for label in range(len(names))] if source.name == "imagenetv2" else list(names)
    images_of: dict[str, dict[str, list[str]]] = {}
    for part in source.image_parts:
        place = folder / part.target
        if not place.is_dir():
            report.add([Finding(f"{part.target} is missing")])
            continue
        images: dict[str, list[str]] = {}
        with suppress(DataError):  # a folder that can't be listed
            images = {name: image_names(place / name) for name in folder_names(place)}
        report.add(folder_findings(place, part, images, known))
        images_of[part.target] = {name: images[name] for name in known if name in images}
        count = sum(map(len, images_of[part.target].values()))
        if count != part.images:
            report.add([Finding(f"{part.target} has {count:,} images, expected are {part.images:,}")])
    if len(images_of) == 2:
        (first, one), (second, other) = images_of.items()
        report.add(listed(f"class folders in only one of {first} and {second}", sorted(one.keys() ^ other.keys())))
    classes = next(iter(images_of.values()), {})
    counts = [sum(map(len, images.values())) for images in images_of.values()]
    if len(counts) == len(source.image_parts):
        report.sizes = (counts[0], 0, counts[-1])
    report.classes = sum(bool(images) for images in classes.values())
    name_of = dict(zip(known, names.values(), strict=True))
    report.add(name_oddities(name_of[name] for name in (classes if len(classes) < len(known) else known)))
    ids: dict[str, list[str]] = defaultdict(list)
    for wnid, name in names.items():
        ids[name].append(wnid)
    same = [f'"{name}" ({" and ".join(wnids)})' for name, wnids in ids.items() if len(wnids) > 1]
    report.add(listed("class names that two classes share", same, is_fault=False))  # OpenAI's list has two such pairs
    paths = [
        f"{target}/{name}/{image}"
        for target, images in images_of.items()
        for name, names_of_images in images.items()
        for image in names_of_images
    ]
    report.add(extra_findings(folder, list(images_of), paths, [f"{target}/README.txt" for target in images_of]))
    return [str(folder / path) for path in paths], False


def class_names(folder: Path) -> tuple[dict[str, str], list[Finding]]:
    """WordNet id → name from `classnames.txt` (OpenAI's where it can't be read), and what is wrong with the file."""
    from lamm.clip.open_clip_models import imagenet_class_names  # takes torch, and only ImageNet needs it

    published = imagenet_class_names()
    try:
        names = read_classnames(folder)
    except DataError as error:
        return published, [Finding(str(error))]
    findings = [
        *listed(f"{CLASS_NAMES}: classes that it lacks", sorted(set(published) - set(names))),
        *listed(f"{CLASS_NAMES}: lines that are not a class of ImageNet", sorted(set(names) - set(published))),
    ]
    other = [
        f"{wnid} ({name}; OpenAI: {published[wnid]})"
        for wnid, name in names.items()
        if wnid in published and name != published[wnid]
    ]
    findings += listed(f"{CLASS_NAMES}: names other than OpenAI's", other, is_fault=False)
    return names, findings


def folder_findings(place: Path, part: Part, images: dict[str, list[str]], classes: list[str]) -> Iterator[Finding]:
    """What is wrong with the class folders of one image folder.

    Args:
        place: the image folder.
        part: what it should be.
        images: class folder → names of its images.
        classes: what class folders may be called.
    """
    loose = image_names(place)
    hint = ": lamm prepare-data imagenet sorts them" if part.target.endswith("val") else ""
    yield from listed(f"{part.target}: images outside of class folders{hint}", loose)
    strangers = sorted(set(images) - set(classes))
    yield from listed(f"{part.target}: folders that are not a class of {CLASS_NAMES}", strangers, is_fault=False)
    empty = [name for name in classes if name in images and not images[name]]
    yield from listed(f"{part.target}: class folders without an image", empty)
    present = [name for name in classes if name in images]
    if len(present) != part.folders:
        missing = [name for name in classes if name not in images] if part.folders == len(classes) else []
        such = f", such as {', '.join(missing[:3])}" if missing else ""
        yield Finding(
            f"{part.target} has {len(present):,} class folders, expected are {part.folders:,}{such}: a missing or "
            "extra one shifts the labels of all later classes"
        )


def name_oddities(names: Iterable[str]) -> Iterator[Finding]:
    """Findings about class names, each kind once.

    Args:
        names: of all classes; each counts once.
    """
    quoted = {name: f'"{name}"' for name in names}
    for pattern, what in NAME_PATTERNS.items():
        matches = [shown for name, shown in quoted.items() if re.fullmatch(pattern, name)]
        yield from listed(f"class names {what}", matches, is_fault=pattern == BLANK)
    long = [f'"{name[:40]}…"' for name in quoted if len(name) > LONG_NAME]
    yield from listed(f"class names of more than {LONG_NAME} letters", long, is_fault=False)
    first: dict[str, str] = {}
    pairs = []  # of names that differ in case, spaces or underscores only
    for name, shown in quoted.items():
        plain = re.sub(r"[\s_-]+", " ", name).strip().lower()
        other = first.setdefault(plain, shown)
        if other != shown:
            pairs.append(f"{other} and {shown}")
    yield from listed("pairs of class names that are the same to CLIP", pairs, is_fault=False)


def _short_parts(source: Source, folder: Path) -> list[Finding]:
    lacks = {part.target: shortcoming(part, folder / part.target) for part in source.image_parts}
    return [Finding(f"{target} {lack}") for target, lack in lacks.items() if lack]


def _layout(source: Source, root: Path) -> list[str]:
    return ["Afterwards it looks like this:", *(f"  {line}" for line in lines_of_layout(source, root))]


def _misnamed(source: Source, root: Path) -> list[str]:
    """A hint where a folder is called almost as the data set's should be."""

    def plain(name: str) -> str:
        return re.sub("[^a-z0-9]", "", name.lower())

    wanted = {plain(name) for name in (source.folder, source.name)}
    folders = [path.name for path in sorted(root.glob("*")) if path.is_dir() and path.name != source.folder]
    return [
        f'There is a folder "{name}" in {root}: if that is it, rename it to "{source.folder}".'
        for name in folders
        if plain(name) in wanted
    ]
