"""What only ImageNet needs: validation images sorted into class folders, and the file of class names.

The validation images are published without class folders; the devkit, or Kaggle's list, says the class of each.
"""

import csv
import os
import re
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from lamm.datasets.listing import image_names
from lamm.datasets.sources import CLASS_NAMES, DEVKIT, KAGGLE_SOLUTION
from lamm.datasets.splitters import read_entries, read_matlab
from lamm.errors import DataError
from lamm.files import write_text
from lamm.log import logger

VAL_IMAGE = re.compile(r"ILSVRC2012_val_(\d{8})\.JPEG", re.IGNORECASE)
CLASS_ARCHIVE = re.compile(r"(n\d{8})\.tar")


def is_flat(folder: Path) -> bool:
    """Whether validation images lie in the folder itself."""
    return folder.is_dir() and any(VAL_IMAGE.fullmatch(name) for name in image_names(folder))


def read_classes_of_val(*folders: Path) -> dict[int, str]:
    """Number of a validation image, from 1 → WordNet id of its class.

    Args:
        folders: where `ILSVRC2012_devkit_t12` or `LOC_val_solution.csv` may be; the first that has one counts.

    Raises:
        DataError: none has, or it is broken.
    """
    for folder in folders:
        if (folder / DEVKIT).is_dir():
            return _from_devkit(folder / DEVKIT / "data")
        if (folder / KAGGLE_SOLUTION).is_file():
            return _from_kaggle(folder / KAGGLE_SOLUTION)
    raise DataError(
        "images/val: the validation images have no class folders; give ILSVRC2012_devkit_t12.tar.gz (or Kaggle's "
        f"{KAGGLE_SOLUTION}) with --from too, it says which class each is of"
    )


def _from_devkit(data: Path) -> dict[int, str]:
    meta = data / "meta.mat"
    try:
        synsets = read_matlab(meta, "synsets").ravel()
        wnid_of = {int(row["ILSVRC2012_ID"].item()): str(row["WNID"].item()) for row in synsets}
    except (ValueError, TypeError, IndexError, AttributeError):
        raise DataError(f"{meta} has no list of classes; fetch ILSVRC2012_devkit_t12.tar.gz again") from None
    truth = data / "ILSVRC2012_validation_ground_truth.txt"
    numbers = read_entries(truth, lambda line: int(line) if int(line) in wnid_of else None, "490")
    return {image: _as_wnid(wnid_of[number], meta) for image, number in enumerate(numbers, start=1)}


def _from_kaggle(file: Path) -> dict[int, str]:
    """`ILSVRC2012_val_00048981,n03995372 85 1 499 272 …` a line, below a header."""
    classes = {}
    try:
        with open(file, encoding="utf-8", newline="") as opened:
            for row in csv.reader(opened):
                image = VAL_IMAGE.fullmatch(f"{row[0]}.JPEG") if len(row) == 2 else None
                if image:
                    classes[int(image[1])] = _as_wnid((row[1].split() or [""])[0], file)
    except (csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{file} is not a list of images ({error}); fetch it again") from None
    if not classes:
        raise DataError(f"{file} has no line such as ILSVRC2012_val_00048981,n03995372 …; fetch it again")
    return classes


def _as_wnid(text: str, file: Path) -> str:
    """Raises DataError unless it is a WordNet id: it becomes the name of a folder."""
    if not re.fullmatch(r"n\d{8}", text):
        raise DataError(f"{file} names the class {text[:40]!r}, which is not a WordNet id (n01440764); fetch it again")
    return text


def sort_into_classes(folder: Path, class_of: Mapping[int, str]) -> int:
    """Move every validation image in `folder` itself into the folder of its class there.

    Each move is a rename that replaces nothing; the next run continues one that was stopped.

    Returns:
        How many were moved.

    Raises:
        DataError: an image without a class, or one that is in its class's folder too; nothing was moved.
    """
    moves = {}
    for name in image_names(folder):
        image = VAL_IMAGE.fullmatch(name)
        if not image:
            continue
        if int(image[1]) not in class_of:
            raise DataError(f"{folder / name}: the list of classes ends before it; fetch the devkit again")
        target = folder / class_of[int(image[1])] / name
        if target.exists():
            raise DataError(f"{folder / name} is in {target.parent} too; remove one of them, and run this again")
        moves[folder / name] = target
    for wnid in sorted(set(class_of.values())) if moves else ():
        (folder / wnid).mkdir(exist_ok=True)
    for source, target in tqdm(moves.items(), desc="sorting images/val", unit="img", disable=None):
        os.rename(source, target)
    return len(moves)


def write_class_names(folder: Path) -> bool:
    """Write `classnames.txt` into a data set's folder, unless it is there.

    It is a copy of the file in `imagenet/` beside the folder, or else OpenAI's list: lines of `<WordNet id> <name>`.

    Returns:
        Whether it was written.

    Raises:
        DataError: the file in `imagenet/` is broken.
    """
    file, original = folder / CLASS_NAMES, folder.parent / "imagenet" / CLASS_NAMES
    if file.exists() or not folder.is_dir():
        return False
    from lamm.clip.open_clip_models import imagenet_class_names  # both are slow to import
    from lamm.datasets.imagenet import read_classnames

    names = read_classnames(original.parent) if original.is_file() else imagenet_class_names()
    write_text(file, "".join(f"{wnid} {name}\n" for wnid, name in names.items()))
    where = f"copied from {original}" if original.is_file() else "OpenAI's class names"
    logger.info(f"{file}: written ({where})")
    return True
