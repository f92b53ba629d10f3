"""Few-shot sampling, image for image as the CoOp-family benchmark draws it.

The benchmark seeds Python's global `random` with the run's seed, and nothing draws from it before the data set is
built; so a fresh `random.Random(seed)` is in the same state and gives the same picks, and the global generator
stays untouched.
"""

import functools
import io
import random
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lamm.datasets.splits import LARGEST_LABEL, Split, SplitItem, hash_of_split
from lamm.errors import DataError
from lamm.files import write_json
from lamm.log import logger
from lamm.plain_pickle import Inert, read_pickle
from lamm.reading import json_object, json_value, read_bytes

MOST_VAL_SHOTS = 4


def sample_shots(items: Sequence[SplitItem], shots: int, rng: random.Random) -> list[SplitItem]:
    """Draw `shots` images per class.

    Classes come in the order of their first image in the list, not of their labels. A class with fewer than `shots`
    images is taken whole, in list order, and draws nothing from `rng`.

    Args:
        items: a train or val list; its order decides the draw.
        shots: images per class, at least 1.
        rng: the generator to draw from; its state moves on.

    Returns:
        The picks, class by class, each class in the order drawn.
    """
    classes: dict[int, array[int]] = {}
    for place, item in enumerate(items):
        classes.setdefault(item.label, array("L")).append(place)
    picks: list[SplitItem] = []
    for group in classes.values():
        picks += [items[place] for place in (rng.sample(group, shots) if len(group) >= shots else group)]
    return picks


def few_shot_split(split: Split, shots: int, seed: int) -> Split:
    """A split with `shots` training and at most 4 validation images per class; `test` stays whole.

    Train is drawn first, and val from the generator's state after that, so one can't be drawn without the other.

    Args:
        split: the whole split.
        shots: images per class, at least 1.
        seed: 0 or more; -1 is unseeded.
    """
    rng = random.Random(seed) if seed >= 0 else random.Random()
    train = sample_shots(split.train, shots, rng)
    val = sample_shots(split.val, min(shots, MOST_VAL_SHOTS), rng)
    return Split(train=train, val=val, test=split.test)


CACHE_FOLDER = "split_fewshot"


def cache_file(folder: Path, shots: int, seed: int) -> Path:
    """The file with the picks of (`shots`, `seed`) in a data set's folder."""
    return folder / CACHE_FOLDER / f"lamm_shot_{shots}-seed_{seed}.json"


def cached_few_shot_split(folder: Path, split: Split, shots: int, seed: int) -> tuple[Split, Callable[[], None]]:
    """`few_shot_split`, from the data set's folder if the picks there are of this very split, else drawn.

    Args:
        folder: the data set's folder.
        split: the whole split.
        shots: images per class, at least 1.
        seed: 0 or more; -1 draws unseeded, and neither reads nor writes the cache.

    Returns:
        The picks, and what stores those that were drawn: to be called once nothing refuses them any more.
    """
    if seed < 0:
        return few_shot_split(split, shots, seed), lambda: None
    file = cache_file(folder, shots, seed)
    identity = {"split_hash": hash_of_split(split), "shots": shots, "seed": seed}
    cached = _read_cache(file, identity, split)
    if cached is not None:
        return cached, lambda: None
    drawn = few_shot_split(split, shots, seed)

    def store() -> None:
        try:
            write_json(file, {**identity, "train": drawn.train, "val": drawn.val})
        except OSError as error:
            _log_once(f"few-shot picks are not stored: can't write to {file.parent} ({error.strerror or error})")

    return drawn, store


def _read_cache(file: Path, identity: dict[str, Any], split: Split) -> Split | None:
    """The stored picks; None if there are none, they are of another draw, or the file is damaged."""
    try:
        content = json_object(read_bytes(file), train=list, val=list)
        train, val = ([SplitItem(*entry) for entry in content[part]] for part in ("train", "val"))
        if any(content.get(key) != value for key, value in identity.items()):
            return None
        if set(train).difference(split.train) or set(val).difference(split.val):
            return None
    except (OSError, ValueError, TypeError):
        return None
    return Split(train=train, val=val, test=split.test)


@functools.cache
def _log_once(message: str) -> None:
    logger.info(message)


ADVICE = "remove DATASET.ORIGINAL_PICKS to draw them here"
OTHER_SPLIT = (
    "it was drawn from another split; use the split file it belongs to, or remove DATASET.ORIGINAL_PICKS to draw here"
)
# Holds the attributes of one pickled `Datum`: `_impath`, `_label`, `_domain`, `_classname`.
RECORD = "dassl.data.datasets.base_dataset.Datum"


def original_few_shot_split(folder: Path, split: Split, shots: int, seed: int) -> Split:
    """The picks of the original code for (`shots`, `seed`), as images of `split`; `test` stays whole.

    They are in `shot_<shots>-seed_<seed>.pkl`, or in a `.json` of that name: the lists train and val (or a list, of
    training images) of `{"impath": …, "label": …, "classname": …}`.

    Args:
        folder: the data set's folder.
        split: the whole split; a pick is found in it by the end of its path.
        shots: images per class, at least 1.
        seed: of the run that drew them; -1 of an unseeded one.

    Raises:
        DataError: the file is missing, damaged, holds anything but such records, or was drawn from another split.
    """
    file = folder / CACHE_FOLDER / f"shot_{shots}-seed_{seed}.pkl"
    if not file.exists() and file.with_suffix(".json").exists():
        file = file.with_suffix(".json")
    content = _read_original_picks(file)
    train = _items_of(content["train"], split.train, file)
    val = _items_of(content["val"], split.val, file) if "val" in content else split.val
    missing = {item.label for item in split.train} - {item.label for item in train}
    if missing:
        raise DataError(f"{file} has no pick of label {min(missing)}: {OTHER_SPLIT}")
    return Split(train=train, val=val, test=split.test)


def _read_original_picks(file: Path) -> dict[str, list[Any]]:
    try:
        data = read_bytes(file)
        if file.suffix == ".json":
            content = json_value(data)
        else:
            content = read_pickle(io.BytesIO(data), {}, is_inert=lambda name: name == RECORD)
    except FileNotFoundError:
        raise DataError(f"DATASET.ORIGINAL_PICKS: no few-shot picks of the original code at {file}; {ADVICE}") from None
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{file} is not a file of few-shot picks ({error}); {ADVICE}") from None
    parts = {"train": content} if isinstance(content, list) and file.suffix == ".json" else content
    parts = parts if isinstance(parts, dict) else {}
    if not isinstance(parts.get("train"), list) or not isinstance(parts.get("val", []), list):
        raise DataError(f'{file} is not a file of few-shot picks (no list "train"); {ADVICE}')
    return parts


def _items_of(records: list[Any], items: Sequence[SplitItem], file: Path) -> list[SplitItem]:
    """The items that the records are of: each by the longest end of its path that is an item's path."""
    by_path = {item.path: item for item in items}
    picks = []
    for record in records:
        if isinstance(record, Inert):
            record = {str(name).removeprefix("_"): value for name, value in record.state.items()}
        fields = record if isinstance(record, dict) else {}
        path, label, classname = (fields.get(name) for name in ("impath", "label", "classname"))
        # Other types are not even compared or printed: small files can hold values of exponential size.
        if type(path) is not str or len(path) > 4096 or type(label) is not int or type(classname) is not str:
            raise DataError(f"{file} is damaged: a pick has no path, label or class name; {ADVICE}")
        names = path.replace("\\", "/").split("/")
        ends = ("/".join(names[start:]) for start in range(len(names)))
        item = next((by_path[end] for end in ends if end in by_path), None)
        if item is None or (item.label, item.classname) != (label, classname):
            told = f'"{path[-80:]}" ({label if 0 <= label <= LARGEST_LABEL else "no label"}, "{classname[:80]}")'
            raise DataError(f"{file}: {told} is not in this split: {OTHER_SPLIT}")
        picks.append(item)
    return picks
