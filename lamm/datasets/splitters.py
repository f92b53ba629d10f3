"""The benchmark's two rules for making a split where the published one is absent.

Listings are sorted and the generator is the caller's, so a rule gives the same split on every machine. It has the
sizes of the published split and other images: the order and seed of that one are not known.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from lamm.datasets.listing import folder_names, image_names
from lamm.datasets.splits import Split, SplitItem
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
    """A folder a class, 50 / 20 / 30 % of each: the rule of Caltech-101, DTD, Food-101 and EuroSAT.

    Labels are the ranks of the folder names, by code point.

    Args:
        image_folder: holds the class folders.
        rng: shuffles each class in turn.
        ignored: folders that are no class.
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
