"""A user's own folder of images; and what a user's images need in general: a split and better class names.

Of a class's n images, max(1, round(0.2 n)) are for testing, round(0.1 n) for validation and the rest for training; a
class of one image is only trained on. Which image is in which part is stored in a file, so that photos which are added
later don't move the others: an image that was tested on is never trained on.
"""

import itertools
import random
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.before_use import require_apart, require_readable
from lamm.datasets.few_shot import CACHE_FOLDER
from lamm.datasets.listing import folder_names, image_names, images_below
from lamm.datasets.splits import PARTS, SPLIT_SEED, Split, SplitItem, is_text
from lamm.datasets.splitters import numbered_lines
from lamm.engine.embedded.log import say
from lamm.errors import DataError
from lamm.files import write_json
from lamm.images import is_readable_here, unreadable_line
from lamm.log import logger
from lamm.reading import json_object, read_bytes

SHOWN = 5
"""Names in a line."""


class OwnDataset(BenchmarkDataset):
    """A user's own images; where nothing says which ones are for testing, their split is made here and stored.

    Every image that a run uses is looked at before anything is stored.

    Attributes:
        images_per_class: class name → images in all three parts, before sampling.
    """

    images_per_class: dict[str, int]
    _made_here: bool

    def check_photos(self) -> None:
        """Refuse images that can't be read; say which classes are trained on and not tested."""
        images = dict.fromkeys(item.impath for part in (self.train_x, self.val or (), self.test or ()) for item in part)
        require_readable(images, f"lamm check-data {self.check_arguments()} names all that is wrong")
        tested = {item.label for item in self.test or ()}
        untested = list(dict.fromkeys(item.classname for item in self.train_x if item.label not in tested))
        if untested:
            more = f" and {len(untested) - SHOWN} more classes" if len(untested) > SHOWN else ""
            say(f"No test image of: {', '.join(untested[:SHOWN])}{more}; the accuracy does not count them")

    def check_arguments(self) -> str:
        """What `lamm check-data` needs to check these images."""
        return f"folder --root {shlex.quote(str(self.folder))}"

    def check_parts(self, split: Split) -> None:
        """Raise DataError if one file, under whatever name, is in two parts."""
        self.images_per_class = dict(Counter(item.classname for item in split.items()))
        require_apart((part, item.path, self.path_of(item.path)) for part in PARTS for item in getattr(split, part))

    def complete_split(self, split: Split) -> Split:
        """A split with training and test images, from a user's, in which each path comes once; nothing is written.

        Without test images the validation images are the test images. Without both, each class of the training images
        is split by itself: images that `own_split_file` knows stay in their part; without the file the parts are the
        same each time, as long as no image is added.

        Raises:
            DataError: the file is damaged, every class has one image only, or the images to train on of a class are all
                of formats that can't be read here.
        """
        split = _readable(split)
        digits = sorted({item.classname for item in split.train if item.classname.isdecimal()})
        if digits:
            shown = ", ".join(f'"{name}"' for name in digits[:3]) + (", …" if len(digits) > 3 else "")
            say(
                f"{len(digits)} class names are digits only ({shown}), which say little to CLIP: "
                f"{FILE_NAME} can give words"
            )
        self._made_here = not (split.val or split.test)
        if split.test:
            return split
        if split.val:
            logger.info("There are no test images: the validation images are the test images")
            return Split(split.train, [], split.val)
        stored = stored_parts(self.folder / self.own_split_file)
        parts: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
        by_label = sorted(split.train, key=lambda item: (item.label, item.path))
        for _, group in itertools.groupby(by_label, key=lambda item: item.label):
            items = list(group)
            part_of = _parts_of_class([item.path for item in items], stored)
            for item in items:
                parts[part_of[item.path]].append(item)
        if not parts["test"]:
            raise DataError(f"{self.folder} has one image per class: nothing is left to test on; add images")
        return Split(**parts)

    def store_split_made_here(self, split: Split) -> None:
        """Store which image is in which part, if nothing else says so, and if the file can be written."""
        if not self._made_here:
            return
        file = self.folder / self.own_split_file
        stored, now = stored_parts(file).keys(), {item.path for item in split.items()}
        if now == stored:
            return
        if stored:
            logger.info(f"Images since the last run: {len(now - stored)} new, {len(stored - now)} gone")
        try:
            write_json(file, {part: [item.path for item in getattr(split, part)] for part in PARTS})
            logger.info(f"Which images are for training and which for testing is stored in {file}")
        except OSError as error:
            logger.info(f"the split is not stored: can't write to {file.parent} ({error.strerror or error})")


def _readable(split: Split) -> Split:
    """The split without the images that there is no decoder for here; a line says how many, and what they need."""
    line = unreadable_line(item.path for item in split.items())
    if not line:
        return split
    parts = {part: [item for item in getattr(split, part) if is_readable_here(item.path)] for part in PARTS}
    lost = {item.label: item.classname for item in split.train}.items() - {
        (item.label, item.classname) for item in parts["train"]
    }
    if lost:
        raise DataError(f'{line}; class "{min(lost)[1]}" has no other training image')
    say(line)
    return Split(**parts)


def _parts_of_class(paths: Sequence[str], stored: Mapping[str, str]) -> dict[str, str]:
    """Path → part, for the sorted paths of one class."""
    parts = {path: stored[path] for path in paths if path in stored}
    if "train" not in parts.values():
        parts = {}
    new = [path for path in paths if path not in parts]
    random.Random(f"{SPLIT_SEED}/{paths[0]}").shuffle(new)
    in_test = max(1, round(0.2 * len(paths))) if len(paths) > 1 else 0
    for part, target in (("test", in_test), ("val", round(0.1 * len(paths)))):
        lacking = max(0, target - list(parts.values()).count(part))
        parts.update(dict.fromkeys(new[:lacking], part))
        new = new[lacking:]
    return {**parts, **dict.fromkeys(new, "train")}


def stored_parts(file: Path) -> dict[str, str]:
    """Path → part; empty if there is no file."""
    try:
        content = json_object(read_bytes(file), **dict.fromkeys(PARTS, list))
        if not all(is_text(path) for part in PARTS for path in content[part]):
            raise ValueError("it must hold lists of paths")
        return {path: part for part in PARTS for path in content[part]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{file}, which stores the split, is damaged ({error}); remove it to split anew") from None


FILE_NAME = "classnames.txt"
SEPARATORS = ("\t", ":", "=", " ")


def pretty_names(folder: Path, classes: Sequence[str]) -> dict[str, str]:
    """Class → its name; the class itself where `classnames.txt` has no line for it, or does not exist.

    Names are in Unicode's composed form, whatever the file system makes of a folder's name: CLIP reads the other form
    as other words.

    A line is the class (folder or label), a tab, colon, equals sign or space, and the name. The longest class that a
    line begins with counts, so both may hold spaces.

    Args:
        folder: where the file is looked for.
        classes: all classes.

    Raises:
        DataError: a line begins with no class, has no name, or a class has two lines.
    """
    file = folder / FILE_NAME
    if not file.is_file():
        return {name: _composed(name) for name in classes}
    names: dict[str, str] = {}
    longest_first = sorted(classes, key=len, reverse=True)
    for number, raw_line in numbered_lines(file):
        line = _composed(raw_line)
        named = next(
            (name for name in longest_first if line.startswith(tuple(_composed(name) + end for end in SEPARATORS))),
            None,
        )
        if named is None:
            raise DataError(
                f'{file}, line {number}: expected a class, a tab and its name, found "{line[:80]}"; '
                f"classes are {', '.join(classes[:5])}{', …' if len(classes) > 5 else ''}"
            )
        pretty = line[len(_composed(named)) :].lstrip("".join(SEPARATORS))
        if not pretty or named in names:
            raise DataError(f'{file}, line {number}: "{named}" has {"two lines" if pretty else "no name"}')
        names[named] = pretty
    if len(names) < len(classes):
        logger.info(f"{FILE_NAME} names {len(names)} of {len(classes)} classes; the others keep their own names")
    names = {name: names.get(name, _composed(name)) for name in classes}
    for pretty, count in Counter(names.values()).items():
        if count > 1:
            same = ", ".join(f'"{name}"' for name in classes if names[name] == pretty)
            logger.info(f'{FILE_NAME} calls {count} classes "{pretty}" ({same}): CLIP can\'t tell them apart by name')
    return names


def _composed(text: str) -> str:
    """Umlauts as one character: some systems write file names with two."""
    return unicodedata.normalize("NFC", text)


# What folders for training, validation and test images may be called, in lower case.
PART_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}


class ImageFolder(OwnDataset):
    """`<root>/<class>/…/image.jpg`, any number of images; the data root is the folder itself.

    Images may lie in folders below that of their class. With `<root>/train/<class>/`, and `val` and `test` beside it
    if there are any, the split is what the folders say; else it is made here (`complete_split`) and stored in
    `split_lamm_folder.json`. Class names are those of the folders, or what `classnames.txt` says.
    """

    own_split_file = "split_lamm_folder.json"

    def check_folders(self) -> None:
        """Raise DataError unless the folder is there."""
        if not self.folder.is_dir():
            raise DataError(f"{self.folder} is not a folder; --root (or DATA) must be the one that holds the classes")

    def whole_split(self) -> Split:
        """See the class."""
        places = self.part_folders()
        classes = self._classes(places["train"])
        names = pretty_names(self.folder, classes)
        parts = {part: self._images(place, classes, names) for part, place in places.items()}
        return self.complete_split(Split(*(parts.get(part, []) for part in PARTS)))

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return "--root (or DATA) must be the folder that holds a folder of images for each class"

    def part_folders(self) -> dict[str, str]:
        """Part → its folder, ending in a slash; the whole folder is for training where there is no such thing."""
        top = self.folders_in("")
        places = {part: f"{name}/" for part, names in PART_NAMES.items() for name in top if name.lower() in names}
        train = places.get("train")
        if train is None or image_names(self.folder / train) or not folder_names(self.folder / train):
            return {"train": ""}
        others = sorted(set(top) - {place[:-1] for place in places.values()})
        if others:
            raise DataError(
                f'{self.folder} holds "{train}" with folders in it, and "{others[0]}" beside it: give train, val and '
                "test a folder of their own, or rename the class"
            )
        return places

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
        links: list[Path] = []
        items = [
            SplitItem(f"{place}{name}/{image}", label, names[name])
            for label, name in enumerate(classes)
            if (self.folder / place / name).is_dir()
            for image in images_below(self.folder / place / name, links)
        ]
        if links:
            shown = ", ".join(link.relative_to(self.folder).as_posix() for link in links[:SHOWN])
            say(f"Links to folders are not followed below a class, {len(links)} here: {shown}")
        return items

    def folders_in(self, place: str) -> list[str]:
        """The visible folders in a folder of the data set ("": itself), but for our own."""
        return folder_names(Path(self.folder, place), ignored=(CACHE_FOLDER,))
