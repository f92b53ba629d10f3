"""A project on disk: classes, the photos in them, every change, and what undoes it.

    <project>/project.json      name, settings, the number of the current state, those before and after it
    <project>/states/<k>.json   the classes and their photos after one change; written once
    <project>/photos/           every photo under a name made of its content; it never moves
    <project>/thumbnails/       what the page shows
    <project>/files/            classifiers that were merged in
    <project>/model/            what was learned last

A state is written before `project.json` names it, each in one step, so a process that is killed leaves the project as
it was before or after a change. Photos stay where they are when they change class: names of classes and files are data,
never paths.
"""

import os
import re
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from lamm.app.photos import PHOTOS, thumbnail_of
from lamm.app.state import PhotoClass, State, clean_name
from lamm.errors import DataError
from lamm.escaping import printable
from lamm.files import remove_leftovers, write_json, write_text
from lamm.reading import json_object, read_bytes

PROJECT_FILE = "project.json"
SCHEMA = 1
MOST_STEPS = 100
"""Changes that can be undone."""
MOST_TRIED = 1000
STATE_FILE = re.compile(r"[0-9]{1,9}")
STORED_FILE = re.compile(r"[0-9a-f]{24}\.[a-z0-9]{2,5}")
IDENTIFIER = re.compile(r"[a-z0-9-]{1,60}")


class Project:
    """One project: its current state and every change of it. Safe to use from several threads.

    Args:
        folder: of a project that `Project.create` made.

    Raises:
        DataError: there is no project in it that can be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.RLock()
        try:
            stored = json_object(read_bytes(folder / PROJECT_FILE), name=str, settings=dict, state=int, undo=list)
            if stored.get("schema") != SCHEMA:
                raise ValueError(f"it is of version {stored.get('schema')}, this program reads {SCHEMA}")
            self.name: str = stored["name"]
            self.settings: dict[str, Any] = stored["settings"]
            self._number: int = stored["state"]
            self._undo: list[int] = [number for number in stored["undo"] if isinstance(number, int)]
            self._redo: list[int] = [number for number in stored.get("redo", []) if isinstance(number, int)]
            self.state = self._read(self._number)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"the project in {folder} can't be read: {str(error)[:200]}") from error
        self._batch = ""

    @classmethod
    def create(cls, projects: Path, name: str, settings: Mapping[str, Any]) -> "Project":
        """A new, empty project in a folder of its own.

        Args:
            projects: the folder of all projects.
            name: to show; any text.
            settings: what the classifier is made with.
        """
        name = clean_name(name)
        letters = re.sub(r"[^a-z0-9]+", "-", unicodedata.normalize("NFKD", name).lower()).strip("-")[:40]
        folder = projects / f"{letters or 'project'}-{uuid.uuid4().hex[:6]}"
        write_text(folder / "states" / "1.json", State().as_json())
        write_json(
            folder / PROJECT_FILE,
            {"schema": SCHEMA, "name": name, "settings": dict(settings), "state": 1, "undo": [], "redo": []},
        )
        return cls(folder)

    def _read(self, number: int) -> State:
        content = json_object(read_bytes(self._state_file(number)), title=str, classes=list, tried=dict)
        classes = []
        for one in content["classes"]:
            entry = PhotoClass(**one)
            classes.append(replace(entry, photos=_stored_photos(entry.photos)))
        return State(content["title"], tuple(classes), _stored_photos(content["tried"]))

    def _state_file(self, number: int) -> Path:
        return self.folder / "states" / f"{number}.json"

    def _write(self) -> None:
        write_json(
            self.folder / PROJECT_FILE,
            {
                "schema": SCHEMA,
                "name": self.name,
                "settings": self.settings,
                "state": self._number,
                "undo": self._undo,
                "redo": self._redo,
            },
        )

    def change(self, title: str, step: Callable[[State], State], batch: str = "") -> None:
        """Make one change and store it.

        Args:
            title: what it does, for the undo button.
            step: from the state to the new one; it may raise, and then nothing has changed.
            batch: changes one after the other with the same text here are undone together.
        """
        with self._lock:
            state = replace(step(self.state), title=title)
            before = (self._number, self._undo, self._redo, self.state, self._batch)
            number = max([self._number, *self._redo]) + 1
            write_text(self._state_file(number), state.as_json())
            joined = batch != "" and batch == self._batch
            dropped = [*self._redo, *([self._number] if joined else self._undo[: 1 - MOST_STEPS])]
            undo = self._undo if joined else [*self._undo[1 - MOST_STEPS :], self._number]
            self._number, self._undo, self._redo, self.state, self._batch = number, undo, [], state, batch
            try:
                self._write()
            except BaseException:
                self._number, self._undo, self._redo, self.state, self._batch = before
                raise
            for old in dropped:
                with suppress(OSError):
                    self._state_file(old).unlink()

    @property
    def undo_title(self) -> str:
        """What `undo` would take back; "" if there is nothing."""
        return self.state.title if self._undo else ""

    @property
    def redo_title(self) -> str:
        """What `redo` would do again; "" if there is nothing."""
        with self._lock:
            return self._read(self._redo[-1]).title if self._redo else ""

    def undo(self) -> None:
        """Go back to the state before the last change."""
        self._go("_undo", "_redo")

    def redo(self) -> None:
        """Do again what was undone last."""
        self._go("_redo", "_undo")

    def _go(self, source: str, target: str) -> None:
        with self._lock:
            taken, other = list(getattr(self, source)), list(getattr(self, target))
            if not taken:
                return
            number = taken.pop()
            state = self._read(number)
            other.append(self._number)
            setattr(self, source, taken)
            setattr(self, target, other)
            self._number, self.state, self._batch = number, state, ""
            self._write()

    def rename_project(self, name: str) -> None:
        """Give the project another name; its folder keeps its own."""
        with self._lock:
            self.name = clean_name(name)
            self._write()

    def change_settings(self, **settings: Any) -> None:
        """Store settings of the classifier."""
        with self._lock:
            self.settings = {**self.settings, **settings}
            self._write()

    # The changes that the page offers.

    def add_class(self, name: str, file: str = "", batch: str = "") -> str:
        """Add a class, or find the one of that name; its id.

        Args:
            name: of the class.
            file: the merged classifier that it comes from, "" for none.
            batch: of `change`.
        """
        file_name, name = (name if file else ""), clean_name(name)
        with self._lock:
            if (existing := self.find(name)) is not None:
                return existing.id
            one = PhotoClass(f"c-{uuid.uuid4().hex[:8]}", name, {}, file, file_name)
            self.change(f'Add class "{name}"', lambda state: replace(state, classes=(*state.classes, one)), batch)
            return one.id

    def find(self, name: str) -> PhotoClass | None:
        """The class of that name, letters of another case counted as the same."""
        folded = clean_name(name).casefold()
        return next((one for one in self.state.classes if one.name.casefold() == folded), None)

    def rename(self, class_id: str, name: str) -> None:
        """Give a class another name.

        Raises:
            DataError: the class is gone, or another one has the name.
        """
        name = clean_name(name)
        with self._lock:
            one = self.state.named(class_id)
            if one.name == name:
                return
            other = self.find(name)
            if other is not None and other.id != class_id:
                raise DataError(f'there is a class "{other.name}" already: move the photos there, or take another name')
            changed = replace(one, name=name)
            self.change(f'Rename "{one.name}" to "{name}"', lambda state: state.with_class(changed))

    def remove(self, class_id: str) -> None:
        """Remove a class with its photos; they stay on disk as long as that can be undone."""
        with self._lock:
            one = self.state.named(class_id)
            self.change(
                f'Remove class "{one.name}"',
                lambda state: replace(state, classes=tuple(other for other in state.classes if other.id != class_id)),
            )

    def add_photos(self, class_id: str, photos: Mapping[str, str], batch: str = "") -> int:
        """Put stored photos into a class. One that another class has stays there.

        Args:
            class_id: of the class.
            photos: file → what it was called.
            batch: of `change`.

        Returns:
            How many were not in a class before.
        """
        with self._lock:
            one = self.state.named(class_id)
            known = self.state.labels()
            new = {file: name for file, name in photos.items() if file not in known}
            if new:
                changed = replace(one, photos={**one.photos, **new})
                self.change(f'Add photos to "{one.name}"', lambda state: state.with_class(changed), batch)
            return len(new)

    def move(self, files: Sequence[str], class_id: str) -> None:
        """Move photos to a class, from whatever class they are in, or from the tried ones."""
        with self._lock:
            one = self.state.named(class_id)
            names = {file: name for other in self.state.classes for file, name in other.photos.items()}
            names = {**self.state.tried, **names}
            if missing := [file for file in files if file not in names]:
                raise DataError(f"{len(missing)} of these photos are not there any more")
            what = "1 photo" if len(files) == 1 else f"{len(files)} photos"

            def step(state: State) -> State:
                state = state.without_photos(files)
                there = state.named(class_id)
                return state.with_class(
                    replace(there, photos={**there.photos, **{file: names[file] for file in files}})
                )

            self.change(f'Move {what} to "{one.name}"', step)

    def remove_photos(self, files: Sequence[str]) -> None:
        """Take photos out of their classes."""
        what = "1 photo" if len(files) == 1 else f"{len(files)} photos"
        self.change(f"Remove {what}", lambda state: state.without_photos(files))

    def add_tried(self, photos: Mapping[str, str], batch: str = "") -> None:
        """Put photos on the page "Try", the newest first."""
        with self._lock:
            tried = {**photos, **{file: name for file, name in self.state.tried.items() if file not in photos}}
            tried = dict(list(tried.items())[:MOST_TRIED])
            self.change("Try photos", lambda state: replace(state, tried=tried), batch)

    def clear_tried(self) -> None:
        """Empty the page "Try"."""
        self.change("Clear the tried photos", lambda state: replace(state, tried={}))

    # Files.

    def photo(self, file: str) -> Path:
        """The path of a stored photo.

        Raises:
            DataError: that is not a name of one.
        """
        if not STORED_FILE.fullmatch(file):
            raise DataError("this is not the name of a photo of this project")
        return self.folder / PHOTOS / file

    def thumbnail(self, file: str) -> Path:
        """The path of its thumbnail."""
        return thumbnail_of(self.folder, self.photo(file).name)

    def remove_unused(self) -> int:
        """Remove photos that no state has, and what killed processes have left; how many photos.

        Only while nothing is added: a photo is stored before a state has it.
        """
        used: set[str] = set()
        numbers = {self._number, *self._undo, *self._redo}
        for number in numbers:
            with suppress(OSError, ValueError, TypeError):
                state = self._read(number)
                used |= {*state.labels(), *state.tried}
        for place in (self.folder, *(folder for folder in self.folder.iterdir() if folder.is_dir())):
            remove_leftovers(place)
        for file in (self.folder / "states").iterdir():
            if STATE_FILE.fullmatch(file.stem) and int(file.stem) not in numbers:
                file.unlink(missing_ok=True)
        unused = [name for name in _files(self.folder / PHOTOS) if name not in used]
        for name in unused:
            self.photo(name).unlink(missing_ok=True)
            self.thumbnail(name).unlink(missing_ok=True)
        return len(unused)


def _files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if STORED_FILE.fullmatch(path.name)] if folder.is_dir() else []


def _stored_photos(photos: Any) -> dict[str, str]:
    """File → name, from a state's file."""
    if not isinstance(photos, Mapping) or not all(STORED_FILE.fullmatch(str(file)) for file in photos):
        raise ValueError("a state has photos that are not files of this project")
    return {str(file): printable(str(name)) for file, name in photos.items()}


def projects_below(folder: Path) -> Iterator[tuple[str, str, float]]:
    """Each project in a folder of projects, the latest first.

    Yields:
        Its folder's name, its own name or why it can't be read, and when it was changed (seconds since 1970).
    """
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        file = path / PROJECT_FILE
        if IDENTIFIER.fullmatch(path.name) and file.is_file():
            try:
                name = json_object(read_bytes(file), name=str)["name"]
            except (OSError, ValueError) as error:
                name = f"can't be read: {str(error)[:100]}"
            found.append((path.name, name, file.stat().st_mtime))
    yield from sorted(found, key=lambda one: -one[2])


def data_folder() -> Path:
    """Where projects are stored unless a folder is named: `$XDG_DATA_HOME/lamm`, else `~/.local/share/lamm`."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "lamm"


def ago(moment: float) -> str:
    """How long ago that was, in words."""
    minutes = max(0.0, time.time() - moment) / 60
    for amount, unit in ((minutes / 60 / 24, "day"), (minutes / 60, "hour"), (minutes, "minute")):
        if amount >= 1:
            return f"{int(amount)} {unit}{'s' if int(amount) > 1 else ''} ago"
    return "just now"
