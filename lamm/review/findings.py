"""Everything a review has found, and its rows for a table and a CSV file.

Letters: n photos, N classes, E embedding size.
"""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from lamm.datasets import dataset_class
from lamm.errors import DataError
from lamm.escaping import csv_cell
from lamm.files import atomic_path
from lamm.review.labels import by_class, suspects, to_photograph
from lamm.review.photos import Duplicates, Look, Odd, duplicates, odd_photos

COLUMNS = ("finding", "photo", "class", "part", "suggestion", "value", "note")
CSV_MARK = ",".join(COLUMNS)


@dataclass(frozen=True)
class Photos:
    """The photos to look at.

    Attributes:
        paths: n files.
        labels: numbers of their classes, (n,).
        parts: train, val or test, of each.
        names: of the classes, in label order.
        folder: that paths are shown relative to.
    """

    paths: list[str]
    labels: Tensor
    parts: list[str]
    names: list[str]
    folder: str

    def shown(self, photo: int) -> str:
        """A photo's path, relative to the folder."""
        return Path(os.path.relpath(self.paths[photo], self.folder)).as_posix()

    def name(self, photo: int) -> str:
        """Name of a photo's class."""
        return self.names[int(self.labels[photo])]

    def some(self, photos: Sequence[int]) -> "Photos":
        """Some of them."""
        paths, parts = ([values[i] for i in photos] for values in (self.paths, self.parts))
        return Photos(paths, self.labels[torch.tensor(photos)], parts, self.names, self.folder)


def photos_of(dataset: str, root: str | os.PathLike[str]) -> Photos:
    """All photos of a data set, each once; nothing is written, except by data sets that make themselves.

    Args:
        dataset: its name on the command line.
        root: data root; for `folder` the folder itself, for `csv` the file.

    Raises:
        DataError: it is missing or broken.
    """
    kind: Any = dataset_class(dataset)
    data = kind.__new__(kind)
    data.locate(root)
    data.prepare()
    data.check_folders()
    split = data.whole_split()
    items = {item.path: (item, part) for part in ("train", "val", "test") for item in getattr(split, part)}
    names = {item.label: item.classname for item, _ in items.values()}
    if sorted(names) != list(range(len(names))):
        raise DataError(f"{data.split_source()}: labels must be 0 to {len(names) - 1}")
    return Photos(
        [str(data.path_of(path)) for path in items],
        torch.tensor([item.label for item, _ in items.values()]),
        [part for _, part in items.values()],
        [names[label] for label in range(len(names))],
        str(data.image_folder),
    )


class Finding(NamedTuple):
    """A row of the CSV file; `COLUMNS` says what is in it."""

    finding: str
    photo: str
    class_name: str
    part: str
    suggestion: str
    value: str
    note: str


@dataclass(frozen=True)
class Review:
    """What was found.

    Attributes:
        photos: that were looked at.
        labels: all photos, that of the most suspicious label first; see `lamm.review.labels.suspects`.
        classes: see `lamm.review.labels.by_class`.
        duplicates: groups of photos that show the same.
        odd: photos that something is the matter with.
        class_names: those that labels are judged by, in the order of the numbers in `labels`.
        judge: what judged them, for a reader.
    """

    photos: Photos
    labels: pd.DataFrame
    classes: pd.DataFrame
    duplicates: list[Duplicates]
    odd: list[Odd]
    class_names: list[str]
    judge: str

    @property
    def wrong(self) -> pd.DataFrame:
        """The labels that another class is more probable than, in the same order."""
        return self.labels[self.labels.label != self.labels.suggested]

    @property
    def unknown_names(self) -> pd.DataFrame:
        """Classes most of whose photos CLIP doesn't recognise by the name alone, the worst first."""
        return self.classes[self.classes.by_name < 50].sort_values("by_name", kind="stable")

    @property
    def to_photograph(self) -> pd.DataFrame:
        """See `lamm.review.labels.to_photograph`."""
        return to_photograph(self.classes)

    def where(self, group: Duplicates) -> str:
        """What duplicates are the matter of: in several parts, in several classes."""
        parts = sorted({self.photos.parts[photo] for photo in group.photos})
        names = sorted({self.photos.name(photo) for photo in group.photos})
        notes = ["same bytes" if group.identical else "look the same"]
        notes += [f"in {' and '.join(parts)}"] if len(parts) > 1 else []
        notes += [f"as {' and '.join(names)}"] if len(names) > 1 else []
        return ", ".join(notes)

    def findings(self) -> list[Finding]:
        """All of it, a row for each photo or class; labels with the most suspicious first."""
        shown, names, photos = self.photos.shown, self.class_names, self.photos
        rows = [
            Finding(
                "label",
                *(shown(one.photo), photos.name(one.photo), photos.parts[one.photo]),
                names[one.suggested] if one.suggested != one.label else "",
                f"{one.probability:.4g}",
                f"{one.alike} alike" if one.suggested != one.label else "",
            )
            for one in self.labels.itertuples()
        ]
        for number, group in enumerate(self.duplicates, start=1):
            rows += [
                Finding("duplicate", shown(i), photos.name(i), photos.parts[i], "", str(number), self.where(group))
                for i in group.photos
            ]
        rows += [
            Finding(one.kind, shown(one.photo), photos.name(one.photo), photos.parts[one.photo], "", "", one.note)
            for one in self.odd
        ]
        for row in self.unknown_names.itertuples():
            rows.append(Finding("unknown name", "", row.name, "", row.taken_for, f"{row.by_name:.1f}", ""))
        for row in self.to_photograph.itertuples():
            rows.append(Finding("photograph", "", row.name, "", row.confused, f"{row.right:.1f}", row.why))
        return rows

    def write_csv(self, file: str | os.PathLike[str]) -> None:
        """Write `findings` as a CSV file, in one step."""
        with (
            atomic_path(file) as temporary,
            open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as opened,
        ):
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(map(csv_cell, row) for row in self.findings())


def review(
    photos: Photos,
    seen: Sequence[Look],
    features: Tensor,
    log_probabilities: Tensor,
    zero_shot: Tensor,
    class_names: Sequence[str],
    smallest: int,
    judge: str,
) -> Review:
    """Put a review together.

    Args:
        photos: n photos.
        seen: their looks.
        features: unit features, (n, E).
        log_probabilities: of the classes, (n, N).
        zero_shot: the class that CLIP takes each photo for by the names alone, (n,).
        class_names: N names.
        smallest: side of the images that the model takes, in pixels.
        judge: what `log_probabilities` come from.
    """
    labels = photos.labels
    if list(class_names) != photos.names:
        number = {name: label for label, name in enumerate(class_names)}
        labels = torch.tensor([number.get(photos.names[label], -1) for label in photos.labels.tolist()])
    return Review(
        photos,
        suspects(log_probabilities, labels),
        by_class(class_names, labels, log_probabilities, zero_shot),
        duplicates(photos.paths, seen, features),
        odd_photos(seen, features, smallest),
        list(class_names),
        judge,
    )
