"""Few-shot sampling, image for image as the CoOp-family benchmark draws it.

The benchmark seeds Python's global `random` with the run's seed, and nothing draws from it before the data set is
built; so a fresh `random.Random(seed)` is in the same state and gives the same picks, and the global generator
stays untouched.
"""

import functools
import json
import pickle
import random
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamm.datasets.splits import Split, SplitItem, hash_of_split
from lamm.errors import DataError
from lamm.files import write_json
from lamm.log import logger

MOST_VAL_SHOTS = 4


def sample_shots(items: Sequence[SplitItem], shots: int, rng: random.Random) -> list[SplitItem]:
    """Draw `shots` images of each class.

    Classes come in the order of their first image in the list, not of their labels. A class with fewer than `shots`
    images is taken whole, in list order, and consumes nothing of `rng`.

    Args:
        items: a train or val list; its order decides the draw.
        shots: images a class, at least 1.
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


def few_shot_split(split: Split, shots: int, rng: random.Random) -> Split:
    """A split with `shots` training and at most 4 validation images a class; `test` stays whole.

    Train is drawn first and val with what `rng` is left with, so one can't be drawn without the other.
    """
    train = sample_shots(split.train, shots, rng)
    val = sample_shots(split.val, min(shots, MOST_VAL_SHOTS), rng)
    return Split(train=train, val=val, test=split.test)


def generator_of(seed: int) -> random.Random:
    """The generator that the picks of `seed` come from; -1 is unseeded."""
    return random.Random(seed) if seed >= 0 else random.Random()


CACHE_FOLDER = "split_fewshot"
_KEPT_PARTS = ("train", "val")


def cache_file(folder: Path, shots: int, seed: int) -> Path:
    """Where the picks of (`shots`, `seed`) are kept in a data set's folder."""
    return folder / CACHE_FOLDER / f"lamm_shot_{shots}-seed_{seed}.json"


def cached_few_shot_split(folder: Path, split: Split, shots: int, seed: int) -> Split:
    """The few-shot split of `seed`: from the cache if it is of this very split, else drawn and kept.

    Args:
        folder: the data set's folder.
        split: the whole split.
        shots: images a class, at least 1.
        seed: 0 or more; -1 draws unseeded, and neither reads nor writes the cache.
    """
    if seed < 0:
        return few_shot_split(split, shots, generator_of(seed))
    file = cache_file(folder, shots, seed)
    identity = {"split_hash": hash_of_split(split), "shots": shots, "seed": seed}
    cached = _read(file, identity, split)
    if cached is not None:
        return cached
    drawn = few_shot_split(split, shots, generator_of(seed))
    try:
        write_json(file, {**identity, **{part: getattr(drawn, part) for part in _KEPT_PARTS}})
    except OSError as error:
        _say_once(f"few-shot picks are not kept: can't write to {file.parent} ({error.strerror or error})")
    return drawn


def _read(file: Path, identity: dict[str, Any], split: Split) -> Split | None:
    """The kept picks, or None when there are none, they are of another draw, or the file is damaged."""
    try:
        content = json.loads(file.read_bytes())
        if any(content[key] != value for key, value in identity.items()):
            return None
        train, val = ([SplitItem(*entry) for entry in content[part]] for part in _KEPT_PARTS)
        if not (_all_among(train, split.train) and _all_among(val, split.val)):
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Split(train=train, val=val, test=split.test)


def _all_among(picks: list[SplitItem], items: Sequence[SplitItem]) -> bool:
    wanted = set(picks)
    wanted.difference_update(items)
    return not wanted


@functools.cache
def _say_once(message: str) -> None:
    logger.info(message)


RECORD = ("dassl.data.datasets.base_dataset", "Datum")


class _Record:
    """Holds the attributes of one pickled `Datum`: `_impath`, `_label`, `_domain`, `_classname`."""


class _RecordsOnly(pickle.Unpickler):
    """Reads pickles of plain data and `RECORD`s."""

    def find_class(self, module: str, name: str) -> type[_Record]:
        if (module, name) != RECORD:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _Record


def original_picks(folder: Path, split: Split, shots: int, seed: int) -> Split:
    """The picks of the original code for (`shots`, `seed`), as images of `split`; `test` stays whole.

    Args:
        folder: the data set's folder.
        split: the whole split; a pick is found in it by the end of its path.
        shots: images a class, at least 1.
        seed: of the run that drew them; -1 of an unseeded one.

    Raises:
        DataError: the file is missing, damaged, holds anything but such records, or was drawn from another split.
    """
    file = folder / CACHE_FOLDER / f"shot_{shots}-seed_{seed}.pkl"
    content = _read_original_picks(file)
    train = _found(content["train"], split.train, file)
    val = _found(content["val"], split.val, file) if "val" in content else split.val
    without = {item.label for item in split.train} - {item.label for item in train}
    if without:
        raise DataError(
            f"{file} has no pick of label {min(without)}: it was drawn from another split; "
            "use the split file it belongs to, or remove DATASET.ORIGINAL_PICKS to draw here"
        )
    return Split(train=train, val=val, test=split.test)


def _read_original_picks(file: Path) -> dict[str, list[Any]]:
    advice = "remove DATASET.ORIGINAL_PICKS to draw them here"
    try:
        with open(file, "rb") as opened:
            content = _RecordsOnly(opened).load()
    except FileNotFoundError:
        raise DataError(f"DATASET.ORIGINAL_PICKS: no few-shot picks of the original code at {file}; {advice}") from None
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from None
    except Exception as error:  # what a broken or hostile pickle trips over is anyone's guess
        raise DataError(f"{file} is no file of few-shot picks ({_reason(error)}); {advice}") from None
    parts = content if isinstance(content, dict) else {}
    if not isinstance(parts.get("train"), list) or not isinstance(parts.get("val", []), list):
        raise DataError(f'{file} is no file of few-shot picks (no list "train"); {advice}')
    return parts


def _found(records: list[Any], items: Sequence[SplitItem], file: Path) -> list[SplitItem]:
    by_path = {item.path: item for item in items}
    return [_item_of(record, by_path, file) for record in records]


def _item_of(record: Any, by_path: Mapping[str, SplitItem], file: Path) -> SplitItem:
    said = vars(record) if isinstance(record, _Record) else {}
    path, label, classname = (said.get(name) for name in ("_impath", "_label", "_classname"))
    if not isinstance(path, str):
        raise DataError(f"{file} is damaged: a pick has no path; remove DATASET.ORIGINAL_PICKS to draw them here")
    parts = path.replace("\\", "/").split("/")
    endings = ("/".join(parts[start:]) for start in range(len(parts)))
    item = next((by_path[ending] for ending in endings if ending in by_path), None)
    if item is None or (item.label, item.classname) != (label, classname):
        raise DataError(
            f'{file} was drawn from another split: "{path}" ({label}, "{classname}") is not in this one; '
            "use the split file it belongs to, or remove DATASET.ORIGINAL_PICKS to draw here"
        )
    return item


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
