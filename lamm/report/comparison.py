"""A method's predictions for test images beside those of zero-shot CLIP: gains per class, and confused pairs."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lamm.errors import LammError
from lamm.report.material import Material
from lamm.results.frame import natural
from lamm.results.run_files import ClassFeatures, read_predictions

TOLERANCE = 0.01
"""Points by which the accuracies of `predictions.csv` and `results.json` may differ."""
MOST_CLASSES = 40
MOST_CONFUSIONS = 8


@dataclass(frozen=True)
class Comparison:
    """A method at one number of shots beside zero-shot CLIP.

    Attributes:
        class_names: In label order; made up of the number where the run doesn't tell.
        after: The method's predictions by run (an index label of `Material.runs`), a run per seed, all on the same
            images; empty: none has predictions. Columns: `image`, `label`, `predicted`, `confidence`, `right`.
        before: The run of zero-shot CLIP on the same images, and its predictions; None: there is none.
        missing: Why a part is missing, one line for each.
    """

    class_names: list[str]
    after: dict[int, pd.DataFrame]
    before: tuple[int, pd.DataFrame] | None
    missing: list[str] = field(default_factory=list)

    @property
    def images(self) -> pd.Series:
        """Test images by class, also of classes that have none."""
        sizes = next(iter(self.after.values())).groupby("label").size()
        return sizes.reindex(range(len(self.class_names)), fill_value=0)

    def count(self, by: Sequence[str], right: bool) -> pd.DataFrame:
        """Images that are put right, or wrong, by class or pair of classes.

        Columns: `before`, of zero-shot CLIP, and `after`, the mean over the method's runs.
        """
        predictions = {"before": [self.before[1]] if self.before else [], "after": list(self.after.values())}
        counts = {
            name: pd.concat(some)[lambda one: one.right == right].groupby(list(by)).size() / len(some)
            for name, some in predictions.items()
            if some
        }
        return pd.DataFrame(counts).reindex(columns=list(predictions)).fillna(dict.fromkeys(counts, 0.0))


def class_gains(comparison: Comparison) -> pd.DataFrame | None:
    """How each class gained, the most gained first; None: there is nothing to compare with.

    Columns: `class_name`; `images`, its test images; `before` and `after`, percent that are put right; `gain`, points.
    A class without test images has no numbers and comes last.
    """
    if comparison.before is None:
        return None
    images = comparison.images
    right = comparison.count(["label"], right=True).reindex(images.index, fill_value=0.0)
    gains = (100 * right).div(images.where(images > 0), axis=0)
    gains = gains.assign(gain=gains.after - gains.before, images=images)
    gains.insert(0, "class_name", [comparison.class_names[label] for label in gains.index])
    return gains.sort_values("gain", ascending=False, kind="stable")


def most_changed(gains: pd.DataFrame, most: int = MOST_CLASSES) -> pd.DataFrame:
    """All classes, or, of more than `most`, those that gained and lost most."""
    if len(gains) <= most:
        return gains
    tested = gains[gains.images > 0]
    return tested if len(tested) <= most else pd.concat([tested.head(most // 2), tested.tail(most // 2)])


def confusions(comparison: Comparison) -> pd.DataFrame | None:
    """The pairs of classes that were confused, in the order of their labels; None: there are no predictions.

    Columns: `class_name`; `predicted`, the name that its images were given; `images`, the class's test images;
    `before` and `after`, how many of them were taken for the other class (`before` is missing without zero-shot CLIP).
    """
    if not comparison.after:
        return None
    pairs = comparison.count(["label", "predicted"], right=False).sort_index().reset_index()
    names = comparison.class_names
    images = [comparison.images[label] for label in pairs.label]
    predicted = [names[label] for label in pairs.predicted]
    return pairs.assign(class_name=[names[label] for label in pairs.label], predicted=predicted, images=images)


def most_frequent(pairs: pd.DataFrame, column: str, most: int = MOST_CONFUSIONS) -> pd.DataFrame:
    """The pairs with the largest counts in a column, `before` or `after`."""
    return pairs[pairs[column] > 0].sort_values(column, ascending=False, kind="stable").head(most)


def changed_images(comparison: Comparison) -> dict[str, pd.DataFrame] | None:
    """The test images that changed sides; None: there is no zero-shot run beside. The method's first run counts.

    `mended` were wrong before and are right after, `broken` the other way round. Columns: `image`, the file as
    predictions.csv names it; `class_name`; `before` and `after`, the classes that zero-shot CLIP and the method say;
    `confidence`, the method's probability for its own in percent. The surest of each class come before a second of any.
    """
    if comparison.before is None:
        return None
    after, before = next(iter(comparison.after.values())), comparison.before[1]
    names = pd.Series(comparison.class_names)
    images = pd.DataFrame(
        {
            "image": after.image,
            "class_name": after.label.map(names),
            "before": before.predicted.map(names),
            "after": after.predicted.map(names),
            "confidence": 100 * after.confidence,
        }
    )
    images = images.sort_values(["confidence", "image"], ascending=[False, True])

    def varied(members: pd.DataFrame) -> pd.DataFrame:
        turns = members.groupby(after.label).cumcount()
        return members.loc[turns.sort_values(kind="stable").index]

    now, once = after.right[images.index], before.right[images.index]
    return {"mended": varied(images[now & ~once]), "broken": varied(images[once & ~now])}


class Comparer:
    """Makes comparisons for one report; zero-shot predictions stay in memory, those of other runs do not."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._zero_shot: dict[int, pd.DataFrame | str] = {}

    def compare(self, point: Any) -> Comparison:
        """The runs of a point of the few-shot curves, with the zero-shot run that fits them."""
        missing: list[str] = []
        after: dict[int, pd.DataFrame] = {}
        for run in point.runs:
            predictions = self._predictions(run)
            if isinstance(predictions, str):
                missing.append(predictions)
            elif not after or _same_images(predictions, next(iter(after.values()))):
                after[run] = predictions
            else:
                folder = self._material.shown(self._material.runs.folder[run])
                missing.append(f"{folder} was tested on other images than the runs beside it")
        names = next((names for run in point.runs if (names := self._class_names(run))), [])
        before = self._before(point.dataset, after, names) if after else None
        if after and before is None:
            first = self._material.runs.loc[next(iter(after))]
            missing.append(
                "There is no zero-shot run with predictions on the same images and backbone: lamm train --trainer "
                f"ZeroshotCLIP {data_flags(point.dataset, first.config)} --shots {max(point.shots, 1)} --seed 1"
            )
        return Comparison(
            _continued(names, [*after.values(), *([before[1]] if before else [])]), after, before, missing
        )

    def _before(
        self, dataset: str, after: dict[int, pd.DataFrame], names: list[str]
    ) -> tuple[int, pd.DataFrame] | None:
        """The zero-shot run with the same backbone, images and classes; of several that of the shortest config."""
        curves, runs = self._material.curves, self._material.runs
        first, images = next(iter(after.items()))
        candidates = curves[(curves.dataset == dataset) & (curves.shots == 0)].runs.sum() or []
        for run in sorted(candidates, key=lambda run: (len(runs.cfg[run]), natural(str(runs.folder[run])))):
            if runs.backbone[run] != runs.backbone[first]:
                continue
            predictions = self._zero_shot[run] if run in self._zero_shot else self._predictions(run)
            self._zero_shot[run] = predictions
            if isinstance(predictions, str) or not _same_images(predictions, images):
                continue
            if self._class_names(run) == names:
                return run, predictions
        return None

    def _predictions(self, run: int) -> pd.DataFrame | str:
        """A run's predictions, or why there are none to trust."""
        folder, recorded = self._material.runs.loc[run, ["folder", "accuracy"]]
        place = self._material.shown(folder)
        try:
            predictions = read_predictions(folder)
        except LammError as error:
            return str(error)
        if not predictions:
            return f"{place} has no predictions.csv: train.py writes it at the end of a run"
        frame = pd.DataFrame(predictions).assign(right=lambda one: one.label == one.predicted)
        accuracy = 100 * frame.right.mean()
        if not abs(accuracy - recorded) <= TOLERANCE:
            shown = "no accuracy" if pd.isna(recorded) else f"{recorded:.2f}"
            return f"{place}: predictions.csv comes to {accuracy:.2f} %, its result says {shown}: left out"
        return frame

    def _class_names(self, run: int) -> list[str]:
        """The class names that a run's folder tells, none where it doesn't or its files are damaged."""
        runs = self._material.runs
        if runs.class_names[run]:
            return list(runs.class_names[run])
        try:
            features = ClassFeatures.load(Path(runs.folder[run]))
        except LammError:
            return []
        return features.class_names if features else []


def data_flags(dataset: str, config: dict[str, Any]) -> str:
    """The flags by which `lamm train` finds the data of a run with this `config.yaml`."""
    node = config.get("DATASET") or {}
    own = {"ImageFolder": ("folder", "root", "ROOT"), "Csv": ("csv", "csv", "CSV")}
    if (kind := own.get(node.get("NAME", ""))) is None:
        return f"--dataset {dataset}"
    return f"--dataset {kind[0]} --{kind[1]} {shlex.quote(str(node.get(kind[2], '')))}"


def _same_images(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one[["image", "label"]].equals(other[["image", "label"]])


def _continued(names: list[str], predictions: Iterable[pd.DataFrame]) -> list[str]:
    """The names, continued by numbers where a prediction has a class beyond them."""
    highest = max((int(one[["label", "predicted"]].max(axis=None)) for one in predictions), default=-1)
    return [*names, *(f"class {number}" for number in range(len(names), highest + 1))]
