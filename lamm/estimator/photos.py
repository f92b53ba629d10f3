"""What a user gives as photos: files, opened images, arrays, or a folder; and a data set of such files.

Letters: n photos.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lamm.datasets.before_use import require_readable
from lamm.datasets.listing import folder_names, images_below
from lamm.datasets.own_images import OwnDataset, pretty_names
from lamm.datasets.splits import Split, SplitItem
from lamm.errors import DataError
from lamm.estimator.names import require_name
from lamm.files import write_json
from lamm.reading import json_value, read_bytes


def is_path(value: Any) -> bool:
    """Whether a value names a file or folder."""
    return isinstance(value, str | os.PathLike)


@contextmanager
def as_files(photos: Any) -> Iterator[list[str]]:
    """Absolute paths of photos; what is not a file is one, without loss, until the block ends.

    Args:
        photos: a folder, whose photos are meant, or a sequence of paths, PIL images and arrays: (H, W), (H, W, 3) or
            (H, W, 4), of uint8, or of floats from 0 to 1.

    Raises:
        DataError: something else, or no photo at all.
    """
    if hasattr(photos, "to_numpy"):  # of pandas
        photos = photos.to_numpy()
    if isinstance(photos, np.ndarray):
        if photos.ndim == 2 and photos.shape[1] == 1:
            photos = photos[:, 0]  # a column of paths
        elif photos.dtype.kind in "buif" and (photos.ndim == 2 or (photos.ndim == 3 and photos.shape[2] in (3, 4))):
            raise DataError(f"an array of shape {photos.shape} is one photo, not several: give [photo]")
    if is_path(photos):
        photos = files_of(photos)
    elif isinstance(photos, Image.Image) or not isinstance(photos, Iterable):
        raise DataError("photos must be a folder, or a list of paths, PIL images or arrays; for one photo: [photo]")
    else:
        photos = list(photos)
    if not photos:
        raise DataError("there is no photo: the list is empty")
    with tempfile.TemporaryDirectory(prefix="lamm-photos-") as folder:
        yield [
            os.path.abspath(os.path.expanduser(photo)) if is_path(photo) else _written(photo, folder, number)
            for number, photo in enumerate(photos)
        ]


@contextmanager
def as_files_each(photos: Mapping[str, Any]) -> Iterator[dict[str, list[str]]]:
    """The photos of several classes as files; see `as_files`."""
    with ExitStack() as stack:
        yield {str(name): stack.enter_context(as_files(of_class)) for name, of_class in photos.items()}


def files_of(folder: str | os.PathLike[str]) -> list[str]:
    """The photos in a folder and below it, sorted.

    Raises:
        DataError: it is not a folder, or has none.
    """
    place = Path(os.path.expanduser(folder))
    if not place.is_dir():
        raise DataError(f"{place} is not a folder of photos; in Python, a list of single ones is accepted too")
    found = [str(place / name) for name in images_below(place)]
    if not found:
        raise DataError(f"{place} holds no photos")
    return found


def class_folders(folder: str | os.PathLike[str]) -> dict[str, list[str]]:
    """Class → its photos, of a folder with a folder for each; names as `classnames.txt` has them.

    Raises:
        DataError: there are none, or no class can have such a name.
    """
    place = Path(os.path.expanduser(folder))
    if not place.is_dir():
        raise DataError(f"{place} is not a folder; it must hold a folder of photos for each class")
    of_folder = {name: [str(place / name / one) for one in images_below(place / name)] for name in folder_names(place)}
    of_folder = {name: files for name, files in of_folder.items() if files}
    if not of_folder:
        raise DataError(f"{place} holds no folder with photos; give the folder that holds one for each class")
    names = pretty_names(place, list(of_folder))
    for name in names.values():
        require_name(name)
    return {names[name]: files for name, files in of_folder.items()}


def _written(photo: Any, folder: str, number: int) -> str:
    image = photo if isinstance(photo, Image.Image) else _from_array(photo)
    path = os.path.join(folder, f"{number}.png")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16"):
        image = image.convert("RGB")
    image.save(path, compress_level=1, exif=image.getexif())
    return path


def _from_array(value: Any) -> Image.Image:
    array = np.asarray(value)
    colours = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype.kind == "f" and colours and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        array = np.round(array * 255).astype(np.uint8)
    if not colours or array.dtype != np.uint8 or 0 in array.shape:
        raise DataError(
            f"an array of shape {array.shape} and type {array.dtype} is not a photo: "
            "(H, W), (H, W, 3) or (H, W, 4), of uint8, or floats from 0 to 1"
        )
    return Image.fromarray(array)


class PhotoList(OwnDataset):
    """Photos that are all trained on; none are tested on. `DATASET.CSV` is a file that `write` made."""

    own_split_file = "split_lamm_photos.json"
    file: Path

    @staticmethod
    def write(file: Path, paths: Sequence[str], labels: Iterable[int], names: Sequence[str]) -> None:
        """Write the list.

        Args:
            file: the place.
            paths: absolute, (n,).
            labels: (n,).
            names: one per class.
        """
        write_json(file, [[path, int(label), names[label]] for path, label in zip(paths, labels, strict=True)])

    def locate(self, root: str | os.PathLike[str], cfg: Any = None) -> None:
        """The file and its folder."""
        self.file = Path(cfg.DATASET.CSV)
        self.folder = self.image_folder = self.file.parent

    def check_folders(self) -> None:
        """The list was made for this; nothing is checked."""

    def whole_split(self) -> Split:
        """All photos are trained on; the engine wants some to test on, which nothing reads."""
        items = [SplitItem(*entry) for entry in json_value(read_bytes(self.file))]
        return Split(items, [], items)

    def check_parts(self, split: Split) -> None:
        """Nothing is tested on."""

    def check_photos(self) -> None:
        """Refuse photos that can't be read."""
        require_readable({item.impath for item in self.train_x}, "leave it out")

    def store_split_made_here(self, split: Split) -> None:
        """Nothing is stored."""

    def remedy(self) -> str:
        """What to do about missing files."""
        return "leave them out"

    def path_of(self, path: str) -> str:
        """Paths are absolute."""
        return path
