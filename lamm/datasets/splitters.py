"""The benchmark's two rules for making a split where the published one is absent, and readers of official lists.

Listings are sorted and the generator is the caller's, so a rule gives the same split on every machine. It has the
sizes of the published split and other images: the order and seed of that one are not known.
"""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lamm.datasets.listing import folder_names, image_names
from lamm.datasets.splits import Split, SplitItem, checked_item
from lamm.errors import DataError

Image = TypeVar("Image")
# Train, val and test while they are filled.
Parts = tuple[list[SplitItem], list[SplitItem], list[SplitItem]]


def split_class_folders(
    image_folder: Path,
    rng: random.Random,
    ignored: Collection[str] = (),
    renamed: Mapping[str, str] | None = None,
) -> Split:
    """A folder per class, 50 / 20 / 30 % of each: the rule of Caltech-101, DTD, Food-101 and EuroSAT.

    Labels are the ranks of the folder names, by code point.

    Args:
        image_folder: holds the class folders.
        rng: shuffles each class in turn.
        ignored: folders that are not classes.
        renamed: folder → class name; others are called like their folder.

    Raises:
        DataError: there is no class folder, or one has too few images.
    """
    parts: Parts = ([], [], [])
    classes = folder_names(image_folder, ignored)
    if not classes:
        raise DataError(f"{image_folder} holds no class folders; unpack the data set's images there")
    for label, folder in enumerate(classes):
        name = (renamed or {}).get(folder, folder)
        images = [SplitItem(f"{folder}/{image}", label, name) for image in image_names(image_folder / folder)]
        add_50_20_30(parts, images, rng, f'the folder "{folder}" in {image_folder}')
    return Split(*parts)


def add_50_20_30(parts: Parts, images: Sequence[SplitItem], rng: random.Random, of: str) -> None:
    """Cut one class by `split_50_20_30` and append what it gives; `of` says what it is, for the message."""
    try:
        cut = split_50_20_30(images, rng)
    except DataError as error:
        raise DataError(f"{of}: {error}") from None
    for part, images_of_part in zip(parts, cut, strict=True):
        part += images_of_part


def split_50_20_30(images: Sequence[Image], rng: random.Random) -> tuple[list[Image], list[Image], list[Image]]:
    """Shuffle the images of one class and cut them 50 / 20 / 30 %, as the benchmark's folder splitter does.

    Both counts are rounded to the nearest whole number, ties to even; test is the rest.

    Raises:
        DataError: a part would be empty.
    """
    shuffled = list(images)
    rng.shuffle(shuffled)
    in_train, in_val = round(0.5 * len(shuffled)), round(0.2 * len(shuffled))
    cut = in_train + in_val
    if not (in_train > 0 and in_val > 0 and cut < len(shuffled)):
        raise DataError(f"{len(shuffled)} images of a class are too few for a 50/20/30 % split; it needs at least 4")
    return shuffled[:in_train], shuffled[in_train:cut], shuffled[cut:]


def split_80_20(trainval: Sequence[SplitItem], rng: random.Random) -> tuple[list[SplitItem], list[SplitItem]]:
    """Take 20 % of each class of an official training list for validation: the rule of Pets, Cars, SUN397 and UCF101.

    Classes come in the order of their first image. The share is rounded to the nearest whole number, ties to even.

    Returns:
        The training and the validation list.

    Raises:
        DataError: a class would have no validation image.
    """
    groups: dict[int, list[SplitItem]] = {}
    for item in trainval:
        groups.setdefault(item.label, []).append(item)
    train: list[SplitItem] = []
    val: list[SplitItem] = []
    for group in groups.values():
        in_val = round(0.2 * len(group))
        if in_val == 0:
            raise DataError(
                f'{len(group)} training images of class "{group[0].classname}" are too few for an 80/20 % split; '
                "it needs at least 3"
            )
        rng.shuffle(group)
        val += group[:in_val]
        train += group[in_val:]
    return train, val


Entry = TypeVar("Entry")


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, without white space at their ends, each with its number from 1.

    Files are UTF-8, with or without a byte order mark, on every system.

    Raises:
        DataError: the file is missing or can't be read as UTF-8 text.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def read_entries(file: Path, parse: Callable[[str], Entry | None], form: str) -> list[Entry]:
    """Every line as an entry.

    Args:
        file: the text file.
        parse: makes an entry of a line; None (or a ValueError) where the line is not one.
        form: what a line looks like, for the message.

    Raises:
        DataError: the file is missing, not text, empty, or a line has another form.
    """
    return [entry for _, entry in _numbered_entries(file, parse, form)]


def read_items(file: Path, parse: Callable[[str], SplitItem | None], form: str) -> list[SplitItem]:
    """`read_entries` of lines that name an image.

    Raises:
        DataError: as there, or a path could leave the image folder.
    """
    return [checked_item(item, f"{file}, line {number}") for number, item in _numbered_entries(file, parse, form)]


def _numbered_entries(file: Path, parse: Callable[[str], Entry | None], form: str) -> list[tuple[int, Entry]]:
    entries = []
    for number, line in numbered_lines(file):
        try:
            entry = parse(line)
        except ValueError:
            entry = None
        if entry is None:
            raise DataError(f'{file}, line {number}: expected "{form}", found "{line[:80]}"')
        entries.append((number, entry))
    if not entries:
        raise DataError(f'{file} is empty; expected lines "{form}"')
    return entries


def read_matlab(file: Path, variable: str) -> Any:
    """One variable of a `.mat` file, as `scipy.io.loadmat` gives it: an array with two dimensions or more.

    Raises:
        DataError: the file is missing or damaged, or has no such variable.
    """
    from scipy.io import loadmat  # slow to import, and needed only where the split file is absent

    try:
        content = loadmat(str(file), variable_names=[variable])
    except FileNotFoundError:
        raise DataError(f"no file at {file}; it belongs to the data set, put it there") from None
    except Exception as error:  # scipy's reader lets through whatever a broken file makes it trip over
        raise DataError(f"{file} can't be read as a MATLAB file ({error}); fetch it again") from None
    if variable not in content or getattr(content[variable], "ndim", 0) < 2 or not len(content[variable]):
        raise DataError(f'{file} has no variable "{variable}"; fetch the file again')
    return content[variable]
