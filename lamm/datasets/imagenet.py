"""ImageNet (ILSVRC 2012) and four variants of it that are for testing only.

Classes are folders, and their names come from `classnames.txt`.
"""

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.listing import ListedFolder, ListedImages, cached_image_names, folder_names, image_names
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.splitters import read_entries
from lamm.errors import DataError
from lamm.log import logger

FILE_NAME = "classnames.txt"
WNID = re.compile("n[0-9]{8}")


def read_classnames(folder: Path) -> dict[str, str]:
    """WordNet id → class name, by ascending id, from the data set's folder or else from `imagenet/` beside it.

    Two ids may have the same name: OpenAI's list calls two classes "missile" and two "sunglasses".

    Raises:
        DataError: there is no such file, a line has another form, or an id comes twice.
    """
    files = [folder / FILE_NAME, folder.parent / "imagenet" / FILE_NAME]
    file = next((file for file in files if file.is_file()), files[0])
    pairs = read_entries(file, _wnid_and_name, "n01440764 tench")
    wnid, lines = Counter(wnid for wnid, _ in pairs).most_common(1)[0]
    if lines > 1:
        raise DataError(f"{file} has {lines} lines for {wnid}; each class has one")
    return dict(sorted(pairs))


def _wnid_and_name(line: str) -> tuple[str, str]:
    wnid, name = line.split(maxsplit=1)
    return wnid, name


def known_folders(folder: Path, names: Mapping[str, str], source: Path) -> list[str]:
    """The class folders in `folder`, sorted; what is not called like a WordNet id is not a class folder.

    Args:
        folder: holds the class folders.
        names: of `read_classnames`.
        source: the data set's folder, for the message.

    Raises:
        DataError: a class folder that `classnames.txt` does not know: all later labels would be off.
    """
    classes = [name for name in folder_names(folder) if WNID.fullmatch(name) or name in names]
    unknown = next((name for name in classes if name not in names), None)
    if unknown is not None:
        raise DataError(
            f"{folder} has a class folder {unknown}, and {source / FILE_NAME} no name for it: add a line, or remove it"
        )
    return classes


class ImageNet(BenchmarkDataset):
    """1,281,167 training and 50,000 test photos in `images/{train,val}/<WordNet id>/`.

    There is no split file: labels are the ranks of the WordNet ids. Files are taken in the order of their names, so
    few-shot picks are the same on every machine (the original code takes them in the order of the file system).
    Validation images are the test images, so selecting a model by them would be selecting on the test set.
    """

    dataset_dir = "imagenet"
    image_prefix = "images"
    val_is_test = True
    expected_sizes = (1281167, 0, 50000)
    expected_classes = 1000

    def whole_split(self) -> Split:
        """The images of both folders; the listing is stored, see `cached_image_names`."""
        names = read_classnames(self.folder)
        classes = self._classes("train", names)
        in_val = self._classes("val", names)
        if classes != in_val:
            alone = sorted({*classes} ^ {*in_val})
            raise DataError(
                f"ImageNet: images/train has {len(classes)} class folders and images/val {len(in_val)}; {alone[0]} is "
                "in one of them only, which would shift all later labels: complete or remove it"
            )
        file = self.folder / "listing_lamm_ImageNet.jsonl"
        folders = [f"{part}/{wnid}" for part in ("train", "val") for wnid in classes]
        images = cached_image_names(file, self.image_folder, folders)
        train, test = (
            ListedImages(
                [
                    ListedFolder(f"{part}/{wnid}", label, names[wnid], images[f"{part}/{wnid}"])
                    for label, wnid in enumerate(classes)
                ]
            )
            for part in ("train", "val")
        )
        return Split(train=train, val=[], test=list(test))

    def check_images(self, split: Split) -> None:
        """Nothing to do: the split is what the folders hold."""

    def _classes(self, part: str, names: dict[str, str]) -> list[str]:
        """The class folders of a part that `classnames.txt` knows."""
        folder = self.image_folder / part
        classes = known_folders(folder, names, self.folder)
        if not classes:
            images = len(image_names(folder))
            loose = f"its {images:,} images are not in folders" if images else "there is none"
            raise DataError(
                f"ImageNet: {folder} must hold a folder for each class of classnames.txt (n01440764, …), and {loose}; "
                "lamm prepare-data imagenet sorts them"
            )
        return classes


class _ImageNetVariant(BenchmarkDataset):
    """A folder of images for each class, all for testing."""

    test_only = True

    def whole_split(self) -> Split:
        """The images of every class folder."""
        items = [
            SplitItem(f"{folder}/{image}", label, name)
            for folder, label, name in self.classes()
            for image in image_names(self.image_folder / folder)
        ]
        return Split(train=items, val=[], test=items)

    def check_images(self, split: Split) -> None:
        """Nothing to do: the split is what the folders hold."""

    def classes(self) -> list[tuple[str, int, str]]:
        """Folder, label and name of each class: here a folder per WordNet id, labels are ranks among those present.

        Raises:
            DataError: no folder is called by an id of `classnames.txt`.
        """
        names = read_classnames(self.folder)
        classes = known_folders(self.image_folder, names, self.folder)
        absent = sorted(names.keys() - set(classes))
        if absent:
            logger.info(
                f"{len(absent):,} of the {len(names):,} classes in classnames.txt have no folder here "
                f"({absent[0]}{', …' if len(absent) > 1 else ''}): labels count those that have"
            )
        if not classes:
            raise DataError(f"{type(self).__name__}: no folder in {self.image_folder} is a class of classnames.txt")
        return [(wnid, label, names[wnid]) for label, wnid in enumerate(classes)]


class ImageNetV2(_ImageNetVariant):
    """10,000 new photos (matched frequency); folders are called by label, `0` to `999`."""

    dataset_dir = "imagenetv2"
    image_prefix = "imagenetv2-matched-frequency-format-val"
    expected_sizes = (10000, 0, 10000)
    expected_classes = 1000

    def classes(self) -> list[tuple[str, int, str]]:
        """Folder, label and name of each class, by label.

        Raises:
            DataError: a number that `classnames.txt` has no line for, or no numbered folder at all.
        """
        names = list(read_classnames(self.folder).values())
        numbers = sorted(int(name) for name in folder_names(self.image_folder) if name.isdecimal())
        if not numbers:
            raise DataError(f"ImageNetV2: {self.image_folder} has no folders 0, 1, 2, …; unpack the archive there")
        if numbers[-1] >= len(names):
            raise DataError(f"ImageNetV2: folder {numbers[-1]} has no name, classnames.txt has {len(names)} classes")
        return [(str(number), number, names[number]) for number in numbers]


class ImageNetSketch(_ImageNetVariant):
    """50,889 sketches."""

    dataset_dir = "imagenet-sketch"
    image_prefix = "images"
    expected_sizes = (50889, 0, 50889)
    expected_classes = 1000


class ImageNetA(_ImageNetVariant):
    """7,500 photos that classifiers get wrong, of 200 of the classes; labels are 0 to 199."""

    dataset_dir = "imagenet-adversarial"
    image_prefix = "imagenet-a"
    expected_sizes = (7500, 0, 7500)
    expected_classes = 200


class ImageNetR(_ImageNetVariant):
    """30,000 paintings, toys and other renditions of 200 of the classes; labels are 0 to 199."""

    dataset_dir = "imagenet-rendition"
    image_prefix = "imagenet-r"
    expected_sizes = (30000, 0, 30000)
    expected_classes = 200
