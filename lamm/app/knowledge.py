"""What CLIP knows of the names of classes, before any training."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lamm.app.learned import Progress, new_classifier
from lamm.app.project import Project

PART = 100
"""Photos that are encoded between two looks at whether the user has had enough."""


@dataclass(frozen=True)
class Knowledge:
    """What CLIP knows of the names alone.

    Attributes:
        names: class id → the name it was asked by.
        labels: photo → class id.
        taken_for: photo → the class id whose name fits best.
    """

    names: Mapping[str, str]
    labels: Mapping[str, str]
    taken_for: Mapping[str, str]

    @classmethod
    def ask(cls, project: Project, progress: Progress, names: Mapping[str, str] | None = None) -> "Knowledge":
        """Classify the photos of a project by the names of their classes.

        Args:
            project: with photos in two classes or more.
            progress: of the photos that are encoded.
            names: class id → a name to use instead.
        """
        labels = project.state.labels()
        names = {one: {**project.state.names(), **(names or {})}[one] for one in dict.fromkeys(labels.values())}
        paths = [str(project.photo(file)) for file in labels]
        classifier, ids, said = new_classifier(project.settings), list(names), list[int]()
        for start in range(0, len(paths), PART):
            progress(start / len(paths), f"{start} of {len(paths)} photos")
            rows = classifier.zero_shot(paths[start : start + PART], list(names.values()))
            said += [int(place) for place in rows.argmax(axis=1)]
        return cls(names, labels, {file: ids[place] for file, place in zip(labels, said, strict=True)})

    def of_class(self, class_id: str) -> tuple[int, int, list[tuple[str, int]]]:
        """Photos that the name alone gets right, all photos, and the names it takes the others for, with counts."""
        said = Counter(self.taken_for[file] for file, label in self.labels.items() if label == class_id)
        others = [(self.names[other], count) for other, count in said.most_common() if other != class_id]
        return said[class_id], said.total(), others

    @property
    def accuracy(self) -> float:
        """Percent of all photos."""
        right = sum(self.taken_for[file] == label for file, label in self.labels.items())
        return 100 * right / max(1, len(self.labels))
