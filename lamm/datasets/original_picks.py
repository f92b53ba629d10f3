"""Few-shot picks that the original CoOp-family code has left beside the data: `split_fewshot/shot_<n>-seed_<s>.pkl`.

They are pickles of that code's `Datum` objects with the absolute paths of another machine. A pickle can run any code
when it is read; this reader accepts that one record class, as inert data, and nothing else.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lamm.datasets.few_shot_cache import CACHE_FOLDER
from lamm.datasets.splits import Split, SplitItem
from lamm.errors import DataError

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
    content = _read(file)
    train = _found(content["train"], split.train, file)
    val = _found(content["val"], split.val, file) if "val" in content else split.val
    without = {item.label for item in split.train} - {item.label for item in train}
    if without:
        raise DataError(
            f"{file} has no pick of label {min(without)}: it was drawn from another split; "
            "use the split file it belongs to, or remove DATASET.ORIGINAL_PICKS to draw here"
        )
    return Split(train=train, val=val, test=split.test)


def _read(file: Path) -> dict[str, list[Any]]:
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
