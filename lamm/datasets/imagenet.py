"""ImageNet (ILSVRC 2012): 1,000 classes; the official validation images are the test set."""

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.imagenet_classes import known_folders, read_classnames
from lamm.datasets.kept_listing import image_names_kept
from lamm.datasets.listed_images import ListedFolder, ListedImages
from lamm.datasets.listing import image_names
from lamm.datasets.splits import Split
from lamm.datasets.templates import TEMPLATES
from lamm.errors import DataError


class ImageNet(BenchmarkDataset):
    """1,281,167 training and 50,000 test photos in `images/{train,val}/<WordNet id>/`.

    There is no split file: labels are the ranks of the WordNet ids. Files are taken in the order of their names, so
    few-shot picks are the same on every machine (the original code takes them in the order of the file system).
    Validation images are the test images, so selecting a model by them would be selecting on the test set.
    """

    dataset_dir = "imagenet"
    image_prefix = "images"
    template = TEMPLATES["ImageNet"]
    val_is_test = True
    expected_sizes = (1281167, 0, 50000)
    expected_classes = 1000

    def whole_split(self) -> Split:
        """Both folders, listed; the listing is kept, see `kept_listing`."""
        names = read_classnames(self.folder)
        classes = self._classes("train", names)
        in_val = self._classes("val", names)
        if classes != in_val:
            alone = sorted(set(classes) ^ set(in_val))
            raise DataError(
                f"ImageNet: images/train has {len(classes)} class folders and images/val {len(in_val)}; {alone[0]} is "
                "in one of them only, which would shift all later labels: complete or remove it"
            )
        file = self.folder / "listing_lamm_ImageNet.jsonl"
        folders = [f"{part}/{wnid}" for part in ("train", "val") for wnid in classes]
        listed = image_names_kept(file, self.image_folder, folders)
        train, test = (_images(part, classes, names, listed) for part in ("train", "val"))
        return Split(train=train, val=[], test=list(test))

    def check_images(self, split: Split) -> None:
        """Nothing to do: the split is what the folders hold."""

    def _classes(self, part: str, names: dict[str, str]) -> list[str]:
        """The class folders of a part that `classnames.txt` knows."""
        folder = self.image_folder / part
        found = known_folders(folder, names, self.folder)
        if not found:
            loose = (
                f"its {len(image_names(folder)):,} images lie there loose" if image_names(folder) else "there is none"
            )
            raise DataError(
                f"ImageNet: {folder} must hold a folder for each class of classnames.txt (n01440764, …), and {loose}; "
                "python tools/prepare_data.py imagenet sorts them"
            )
        return found


def _images(part: str, classes: list[str], names: dict[str, str], listed: dict[str, str]) -> ListedImages:
    folders = ((f"{part}/{wnid}", label, names[wnid]) for label, wnid in enumerate(classes))
    return ListedImages([ListedFolder(folder, label, name, listed[folder]) for folder, label, name in folders])
