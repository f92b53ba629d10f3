"""A project's state: classes and the photos in them. A change makes a new one."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lamm.datasets.splits import is_text
from lamm.errors import DataError
from lamm.prompts import spoken

LONGEST_NAME = 70
"""Bytes of UTF-8: in the worst case CLIP reads a token for each, and takes 77 with the words around."""


@dataclass(frozen=True)
class PhotoClass:
    """A class: `id` never changes, `photos` maps stored files to what they were called.

    `file` is the merged classifier that it came from, "" for one of photos alone; `file_name` is its name there.
    """

    id: str
    name: str
    photos: Mapping[str, str]
    file: str = ""
    file_name: str = ""


@dataclass(frozen=True)
class State:
    """What can be undone: `title` says what the last change did; `tried` has the photos of "Try", newest first."""

    title: str = "New project"
    classes: tuple[PhotoClass, ...] = ()
    tried: Mapping[str, str] = field(default_factory=dict)

    def named(self, class_id: str) -> PhotoClass:
        """The class of that id.

        Raises:
            DataError: it is not there (any more).
        """
        for one in self.classes:
            if one.id == class_id:
                return one
        raise DataError("this class is not there any more: it was removed, perhaps in another tab")

    def class_of(self, file: str) -> PhotoClass | None:
        """The class that has a photo."""
        return next((one for one in self.classes if file in one.photos), None)

    def labels(self) -> dict[str, str]:
        """Photo → id of its class."""
        return {file: one.id for one in self.classes for file in one.photos}

    def names(self) -> dict[str, str]:
        """Id → name of each class."""
        return {one.id: one.name for one in self.classes}

    def with_class(self, changed: PhotoClass) -> "State":
        return replace(self, classes=tuple(changed if one.id == changed.id else one for one in self.classes))

    def as_json(self) -> str:
        """The text of its file: one line, since a drop of many photos writes it after each."""
        classes = [vars(one) for one in self.classes]
        return json.dumps({"title": self.title, "classes": classes, "tried": self.tried}, ensure_ascii=False)

    def without_photos(self, files: Sequence[str]) -> "State":
        gone = set(files)
        return replace(
            self,
            classes=tuple(
                replace(one, photos={file: name for file, name in one.photos.items() if file not in gone})
                for one in self.classes
            ),
        )


def clean_name(name: str) -> str:
    """A class name as it is stored: one line, single spaces, composed letters.

    Raises:
        DataError: nothing is left, or it is too long.
    """
    text = " ".join(unicodedata.normalize("NFC", name).split()) if is_text(name) else ""
    text = "".join(character for character in text if character.isprintable() or character in "\u200c\u200d")
    if not text.strip(" .") or not spoken(text):
        raise DataError("give the class a name: a word or two that say what is on its photos")
    if len(text.encode()) > LONGEST_NAME:
        raise DataError(f'the name is longer than CLIP reads: shorten "{text[:30]}…"')
    if text.casefold() == "unknown":
        raise DataError(f'"{text}" stands for none of the classes: give it another name')
    return text
