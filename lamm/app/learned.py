"""What a project has learned: the classifier, the photos and names it knows, and what its last training found out.

It is stored in `<project>/model/`: `<k>.lamm`, and `learned.json`, which names it and is written last. Whatever a
classifier can do is done by `lamm.Classifier`; here its names and paths meet the project's classes and photos.
"""

import copy
import csv
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import lamm
from lamm.app.project import Project
from lamm.app.review import Review, places_on_map
from lamm.app.state import State
from lamm.errors import DataError
from lamm.escaping import csv_cell
from lamm.files import atomic_path, write_json
from lamm.reading import json_object, read_bytes

Progress = Callable[[float, str], None]
"""As `lamm.Classifier.fit` takes it."""
LEARNED_FILE, PHOTO_LIST = "learned.json", "photos.csv"
DIGITS = 4


@dataclass
class Learned:
    """A classifier that was fitted, and what of the project it knows.

    Attributes:
        classifier: a `lamm.Classifier`.
        labels: photo → class id, as it was learned.
        names: class id → the classifier's name for it.
        review: of the last full training.
    """

    classifier: "lamm.Classifier"
    labels: dict[str, str]
    names: dict[str, str]
    review: Review

    @classmethod
    def train(cls, project: Project, progress: Progress) -> "Learned":
        """Learn all photos of a project, with folds.

        Raises:
            LammError: what `lamm.Classifier.fit` raises; or fewer than two classes have photos.
        """
        state = project.state
        labels, names = state.labels(), state.names()
        if len(set(labels.values())) < 2:
            raise DataError("a classifier needs two classes with photos, or more: add some")
        paths = [str(project.photo(file)) for file in labels]
        classifier = new_classifier(project.settings)
        classifier.fit(paths, [names[class_id] for class_id in labels.values()], progress=progress)
        learned = cls(classifier, labels, {one: names[one] for one in labels.values()}, Review())
        learned.review = learned._reviewed(project, paths)
        learned._merge_missing(project, state)
        learned.save(project)
        return learned

    def _reviewed(self, project: Project, paths: Sequence[str]) -> Review:
        """The findings of a classifier that was just fitted on these paths."""
        id_of = {name: class_id for class_id, name in self.names.items()}
        classes = [id_of[str(name)] for name in self.classifier.classes_]
        file_of = {path: Path(path).name for path in paths}
        rows = self.classifier.left_out_probabilities_
        left_out: dict[str, list[float]] = {}
        if rows is not None:
            for path, row in zip(self.classifier.photos_, rows, strict=True):
                if np.isfinite(row).all() and str(path) in file_of:
                    left_out[file_of[str(path)]] = [round(float(value), DIGITS) for value in row]
        places = places_on_map(self.classifier.features(paths), self.classifier.text_features_)
        keys = [*(Path(path).name for path in paths), *classes]
        return Review(
            {str(method): float(value) for method, value in self.classifier.comparison_.items()},
            str(self.classifier.comparison_by_),
            str(self.classifier.method),
            classes,
            left_out,
            {key: [round(float(value), DIGITS) for value in place] for key, place in zip(keys, places, strict=True)},
        )

    def is_behind(self, state: State) -> bool:
        """Whether the project's photos or names have changed since; never by a project without classes."""
        names = taught_names(state)
        return bool(names) and (self.labels != state.labels() or self.names != names)

    def follow(self, project: Project, progress: Progress) -> None:
        """Learn what has changed in the project since: all of it or, if it fails or is stopped, nothing.

        Raises:
            LammError: what `lamm.Classifier` raises.
        """
        state = project.state
        if not self.is_behind(state):
            return
        after = Learned(copy.copy(self.classifier), dict(self.labels), dict(self.names), self.review)
        after._take_over(project, state, progress)
        after.save(project)
        self.classifier, self.labels, self.names = after.classifier, after.labels, after.names

    def _take_over(self, project: Project, state: State, progress: Progress) -> None:
        wanted, names = state.labels(), taught_names(state)
        # Classes that are not there any more, and those from files that have lost the last photo they got here.
        gone = [one for one in self.names if one not in names]
        gone += [one for one in {*self.labels.values()} - {*wanted.values()} if one in names]
        for class_id in gone:  # removed at last: their names may be others' by then, and one class must always be left
            self.classifier.rename(self.names.pop(class_id), f"removed {class_id}")
        self.labels = {file: label for file, label in self.labels.items() if label not in gone}
        self._rename(names)
        steps = self._steps(project, wanted, names)
        for number, (title, step) in enumerate(steps):
            progress(number / len(steps), title)
            step()
        self._merge_missing(project, state)
        for class_id in gone:
            self.classifier.remove(f"removed {class_id}")

    def _steps(
        self, project: Project, wanted: Mapping[str, str], names: Mapping[str, str]
    ) -> list[tuple[str, Callable[[], None]]]:
        """What is to be learned, photo by photo or class by class: title and work."""
        steps: list[tuple[str, Callable[[], None]]] = []
        lost = {class_id for file, class_id in self.labels.items() if file not in wanted}
        lost |= {*self.labels.values()} - {one for file, one in self.labels.items() if wanted.get(file) == one}
        new: dict[str, list[str]] = {}
        for file, class_id in wanted.items():
            if class_id in lost or file not in self.labels or self.labels[file] in lost:
                new.setdefault(class_id, []).append(file)
            elif class_id != (source := self.labels[file]):
                steps.append((f'learning "{names[class_id]}"', partial(self._move, project, file, source, class_id)))
        return [
            *((f'learning "{names[class_id]}"', partial(self._teach, project, class_id, names[class_id], files, lost))
              for class_id, files in new.items()),
            *steps,
        ]  # fmt: skip

    def _move(self, project: Project, file: str, source: str, target: str) -> None:
        self.classifier.move(str(project.photo(file)), self.names[source], self.names[target])
        self.labels[file] = target

    def _teach(self, project: Project, class_id: str, name: str, files: list[str], lost: Collection[str]) -> None:
        """Learn new photos of a class; one that has lost photos is learned anew from those it has."""
        paths, anew = [str(project.photo(file)) for file in files], class_id in lost
        if anew:
            self.classifier.rename(name, passing := f"earlier {class_id}")
        if anew or class_id not in self.names:
            self.classifier.add_class(name, paths)
        else:
            self.classifier.add_photos(name, paths)
        if anew:
            self.classifier.remove(passing)
            self.labels = {file: label for file, label in self.labels.items() if label != class_id}
        self.names[class_id] = name
        self.labels.update(dict.fromkeys(files, class_id))

    def _rename(self, names: Mapping[str, str]) -> None:
        """Give the classifier's classes their present names; two may have swapped theirs."""
        changed = {one: name for one, name in self.names.items() if names[one] != name}
        taken = set(self.names.values())
        for class_id in changed:
            if names[class_id] in taken:
                self.classifier.rename(self.names[class_id], passing := f"class {class_id}")
                self.names[class_id] = passing
        for class_id in changed:
            self.classifier.rename(self.names[class_id], names[class_id])
            self.names[class_id] = names[class_id]

    def _merge_missing(self, project: Project, state: State) -> None:
        """Take the classes that came from files, and are not in the classifier, from there."""
        missing = [one for one in state.classes if one.file and not one.photos and one.id not in self.names]
        for file in dict.fromkeys(one.file for one in missing):
            other = lamm.load(str(project.folder / "files" / file))
            wanted = {one.file_name: one for one in missing if one.file == file}
            for name in [str(name) for name in other.classes_]:
                if name not in wanted:
                    other.remove(name)
                elif name != wanted[name].name:
                    other.rename(name, wanted[name].name)
            self.classifier.merge(other, same="apart")
            self.names.update({one.id: one.name for one in wanted.values()})

    def check_mergeable(self, other: Any) -> None:
        """Refuse a classifier that can't be merged into this one; this one stays as it is.

        Raises:
            LammError: see `lamm.Classifier.merge`.
        """
        copy.deepcopy(self.classifier).merge(other, same="apart")

    def predict(self, project: Project, files: Sequence[str]) -> list["Answer"]:
        """What the classifier says of photos.

        Args:
            project: that has them.
            files: stored ones, (n,).
        """
        paths = [str(project.photo(file)) for file in files]
        rows = np.asarray(self.classifier.predict_proba(paths))
        said = self.classifier.predict(paths, unknown=bool(self.review.left_out))
        id_of = {name: class_id for class_id, name in self.names.items()}
        classes = [id_of[str(name)] for name in self.classifier.classes_]
        known = {str(name) for name in self.classifier.classes_}
        return [
            Answer(
                [(classes[place], float(row[place])) for place in np.argsort(-row, kind="stable")],
                str(name) not in known,
            )
            for row, name in zip(rows, said, strict=True)
        ]

    def save(self, project: Project) -> None:
        """Store it; the file from before is there until the new one is complete."""
        folder = project.folder / "model"
        numbers = [int(path.stem) for path in folder.glob("*.lamm") if path.stem.isdecimal()] if folder.is_dir() else []
        folder.mkdir(exist_ok=True)
        file = folder / f"{max(numbers, default=0) + 1}.lamm"
        self.classifier.save(str(file))
        content = {"file": file.name, "labels": self.labels, "names": self.names, "review": asdict(self.review)}
        write_json(folder / LEARNED_FILE, content)
        write_photo_list(project)
        for number in numbers:
            with suppress(OSError):
                (folder / f"{number}.lamm").unlink()

    @classmethod
    def load(cls, project: Project) -> "Learned | None":
        """What a project has learned; None: nothing yet.

        Raises:
            LammError: its files can't be read.
        """
        folder = project.folder / "model"
        if not (folder / LEARNED_FILE).is_file():
            return None
        try:
            content = json_object(read_bytes(folder / LEARNED_FILE), file=str, labels=dict, names=dict, review=dict)
            review = Review(**content["review"])
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"what was learned can't be read ({str(error)[:100]}): train again") from error
        classifier = lamm.load(str(folder / Path(content["file"]).name))
        return cls(classifier, content["labels"], content["names"], review)


class Answer(NamedTuple):
    """What a classifier says of a photo: (class id, probability), the best first; `unknown`: that none fits."""

    ranked: list[tuple[str, float]]
    unknown: bool


def taught_names(state: State) -> dict[str, str]:
    """The names of the classes that a classifier can know: those with photos, or from a file."""
    return {one.id: one.name for one in state.classes if one.photos or one.file}


def new_classifier(settings: Mapping[str, Any]) -> "lamm.Classifier":
    """A classifier with a project's settings."""
    return lamm.Classifier(**settings)


def write_photo_list(project: Project) -> Path:
    """A table of the project's photos, `path,label`, as the data set `csv` takes it."""
    state = project.state
    names = state.names()
    file = project.folder / PHOTO_LIST
    with atomic_path(file) as temporary, temporary.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["path", "label"])
        writer.writerows([f"photos/{photo}", csv_cell(names[label])] for photo, label in state.labels().items())
    return file
