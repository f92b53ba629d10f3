"""Train, val and test for images that someone brings without a split.

Of a class's n images, max(1, round(0.2 n)) are for testing, round(0.1 n) for validation and the rest for training; a
class of one image is trained on only. Which image is in which part is kept in a file, so that photos which join later
don't move the others: an image that was tested on is never trained on.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamm.datasets.kept_split import SPLIT_SEED
from lamm.datasets.splits import PARTS, Split, SplitItem
from lamm.errors import DataError
from lamm.files import write_json
from lamm.log import logger


def complete_split(given: Split, file: Path) -> Split:
    """A split with training and test images, from what someone brought; nothing is written.

    Test images that are there stay; without them validation images are the test images; without both the training
    images are split, and the file keeps how.

    Raises:
        DataError: the file is damaged, or there are too few images to test on any.
    """
    if given.test:
        return given
    if given.val:
        logger.info("There are no test images: the validation images are the test images")
        return Split(given.train, [], given.val)
    return own_split(given.train, file)


def own_split(images: Sequence[SplitItem], file: Path) -> Split:
    """Split images, each class by itself; those that the file knows stay in their part. Nothing is written.

    Args:
        images: all of them; each path once.
        file: keeps the parts (`keep_own_split`); without it they are the same each time, as long as no image joins.

    Raises:
        DataError: the file is damaged, or every class has one image only.
    """
    kept = _read(file)
    parted: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
    classes: dict[int, list[SplitItem]] = {}
    for item in images:
        classes.setdefault(item.label, []).append(item)
    for _, group in sorted(classes.items()):
        parts = _parts_of(group, kept)
        for item in sorted(group):
            parted[parts[item.path]].append(item)
    split = Split(**parted)
    if not split.test:
        raise DataError(f"{file.parent} has one image a class: nothing is left to test on; add images")
    return split


def keep_own_split(file: Path, split: Split) -> None:
    """Write which image is in which part, if the file does not say so already and can be written."""
    kept = _read(file)
    now = {item.path for item in split.items()}
    if now == kept.keys():
        return
    if kept:
        logger.info(f"Images since the last run: {len(now - kept.keys())} new, {len(kept.keys() - now)} gone")
    try:
        write_json(file, {part: [item.path for item in getattr(split, part)] for part in PARTS})
        logger.info(f"Which images are for training and which for testing is kept in {file}")
    except OSError as error:
        logger.info(f"the split is not kept: can't write to {file.parent} ({error.strerror or error})")


def _parts_of(group: Sequence[SplitItem], kept: Mapping[str, str]) -> dict[str, str]:
    """Path → part, for one class."""
    parts = {item.path: kept[item.path] for item in group if item.path in kept}
    if "train" not in parts.values():
        parts = {}
    new = sorted(item.path for item in group if item.path not in parts)
    random.Random(f"{SPLIT_SEED}/{min(group).path}").shuffle(new)
    in_test = max(1, round(0.2 * len(group))) if len(group) > 1 else 0
    for part, target in (("test", in_test), ("val", round(0.1 * len(group)))):
        lacking = max(0, target - list(parts.values()).count(part))
        parts.update(dict.fromkeys(new[:lacking], part))
        new = new[lacking:]
    return {**parts, **dict.fromkeys(new, "train")}


def _read(file: Path) -> dict[str, str]:
    """Path → part, as the file has it."""
    try:
        content = json.loads(file.read_bytes())
        return {path: part for part in PARTS for path in content[part]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}, which keeps the split, is damaged ({type(error).__name__}); remove it to split anew"
        ) from None
