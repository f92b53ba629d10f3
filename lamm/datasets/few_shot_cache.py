"""Few-shot picks kept beside the data as JSON, so that a run's images can be looked up.

`<data set folder>/split_fewshot/lamm_shot_<shots>-seed_<seed>.json` holds relative paths and the hash of the split
that was drawn from. Picks of another split are never served, unseeded draws are never kept, and a folder that can't
be written to only means that nothing is kept.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamm.datasets.few_shot import few_shot_split, generator_of
from lamm.datasets.splits import Split, SplitItem, hash_of_split
from lamm.files import write_json
from lamm.log import logger

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
