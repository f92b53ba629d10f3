"""Four test sets with ImageNet's classes: V2, Sketch, Adversarial and Rendition."""

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.imagenet_classes import known_folders, read_classnames
from lamm.datasets.listing import folder_names, image_names
from lamm.datasets.splits import Split, SplitItem
from lamm.datasets.templates import TEMPLATES
from lamm.errors import DataError
from lamm.log import logger


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
        """Folder, label and name of each class: here a folder a WordNet id, labels their ranks among those present.

        Raises:
            DataError: no folder is called by an id of `classnames.txt`.
        """
        names = read_classnames(self.folder)
        found = known_folders(self.image_folder, names, self.folder)
        absent = sorted(names.keys() - set(found))
        if absent:
            logger.info(
                f"{len(absent):,} of the {len(names):,} classes in classnames.txt have no folder here "
                f"({absent[0]}{', …' if len(absent) > 1 else ''}): labels count those that have"
            )
        if not found:
            raise DataError(f"{type(self).__name__}: no folder in {self.image_folder} is a class of classnames.txt")
        return [(wnid, label, names[wnid]) for label, wnid in enumerate(found)]


class ImageNetV2(_ImageNetVariant):
    """10,000 new photos (matched frequency); folders are called by label, `0` to `999`."""

    dataset_dir = "imagenetv2"
    image_prefix = "imagenetv2-matched-frequency-format-val"
    template = TEMPLATES["ImageNetV2"]
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
    template = TEMPLATES["ImageNetSketch"]
    expected_sizes = (50889, 0, 50889)
    expected_classes = 1000


class ImageNetA(_ImageNetVariant):
    """7,500 photos that classifiers get wrong, of 200 of the classes; labels are 0 to 199."""

    dataset_dir = "imagenet-adversarial"
    image_prefix = "imagenet-a"
    template = TEMPLATES["ImageNetA"]
    expected_sizes = (7500, 0, 7500)
    expected_classes = 200


class ImageNetR(_ImageNetVariant):
    """30,000 paintings, toys and other renditions of 200 of the classes; labels are 0 to 199."""

    dataset_dir = "imagenet-rendition"
    image_prefix = "imagenet-r"
    template = TEMPLATES["ImageNetR"]
    expected_sizes = (30000, 0, 30000)
    expected_classes = 200
