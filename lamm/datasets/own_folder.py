"""Anyone's own folder of images: a sub-folder a class."""

from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.few_shot_cache import CACHE_FOLDER
from lamm.datasets.listing import folder_names, image_names, images_below
from lamm.datasets.own_split import complete_split, keep_own_split
from lamm.datasets.pretty_names import pretty_names
from lamm.datasets.splits import Split, SplitItem
from lamm.errors import DataError
from lamm.log import logger

# What folders for training, validation and test images may be called, in lower case.
PART_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


class ImageFolder(BenchmarkDataset):
    """`<root>/<class>/…/image.jpg`, any number of images; the data root is the folder itself.

    Images may lie in folders below that of their class. With `<root>/train/<class>/`, and `val` and `test` beside it
    if there are any, the split is what the folders say; else it is made here (`own_split`) and kept in
    `split_lamm_folder.json`. Class names are those of the folders, or what `classnames.txt` says.
    """

    own_split_file = "split_lamm_folder.json"

    def check_folders(self) -> None:
        """Raise DataError unless the folder is there."""
        if not self.folder.is_dir():
            raise DataError(f"{self.folder} is not a folder; --root (or DATA) must be the one that holds the classes")

    def whole_split(self) -> Split:
        """See the class."""
        given = self._given()
        self._made_here = not (given.val or given.test)
        return complete_split(given, self.folder / self.own_split_file)

    def keep_split_made_here(self, split: Split) -> None:
        """Keep which image is in which part, where the folders don't say it."""
        if self._made_here:
            keep_own_split(self.folder / self.own_split_file, split)

    def check_images(self, split: Split) -> None:
        """Nothing to do: the split is what the folder holds."""

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return "--root (or DATA) must be the folder that holds a folder of images for each class"

    def _given(self) -> Split:
        """The images by part, as the folders say; all are for training where they don't say."""
        places = self.part_folders()
        classes = self._classes(places.get("train", ""))
        names = pretty_names(self.folder, classes)
        parts = {part: self._images(place, classes, names) for part, place in places.items()}
        return Split(*(parts.get(part, []) for part in PART_NAMES))

    def part_folders(self) -> dict[str, str]:
        """Part → its folder, ending in a slash; the whole folder is for training where there is no such thing."""
        top = self.folders_in("")
        found = {part: f"{name}/" for part, names in PART_NAMES.items() for name in top if name.lower() in names}
        train = found.get("train")
        if train is None or image_names(self.folder / train) or not folder_names(self.folder / train):
            return {"train": ""}
        others = sorted(set(top) - {place[:-1] for place in found.values()})
        if others:
            raise DataError(
                f'{self.folder} holds "{train}" with folders in it, and "{others[0]}" beside it: give train, val and '
                "test a folder of their own, or rename the class"
            )
        return found

    def _classes(self, place: str) -> list[str]:
        """The class folders that have images; labels are their ranks."""
        all_folders = self.folders_in(place)
        classes = [name for name in all_folders if images_below(self.folder / place / name)]
        if len(classes) < len(all_folders):
            empty = sorted(set(all_folders) - set(classes))
            logger.info(f"{len(empty)} folders hold no images and are no classes: {', '.join(empty[:5])}")
        if len(classes) < 2:
            raise DataError(
                f"{self.folder / place} has {len(classes)} folders with images; a classifier needs two or more, "
                "a folder for each"
            )
        return classes

    def _images(self, place: str, classes: list[str], names: dict[str, str]) -> list[SplitItem]:
        unknown = sorted(set(self.folders_in(place)) - set(classes)) if place else []
        if unknown and images_below(self.folder / place / unknown[0]):
            raise DataError(f'{self.folder / place} has a class "{unknown[0]}" that has no training images')
        return [
            SplitItem(f"{place}{name}/{image}", label, names[name])
            for label, name in enumerate(classes)
            if (self.folder / place / name).is_dir()
            for image in images_below(self.folder / place / name)
        ]

    def folders_in(self, place: str) -> list[str]:
        """The visible folders in a folder of the data set ("": itself), but for our own."""
        return folder_names(Path(self.folder, place), ignored=(CACHE_FOLDER,))
