"""What a method says of a data set's test images beside what zero-shot CLIP says of the same ones."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lamm.errors import LammError
from lamm.report.material import Material
from lamm.results.collect import Run, natural
from lamm.results.curves import ZERO_SHOT_TRAINER, Curve
from lamm.results.run_files import ClassFeatures, Prediction, read_predictions
from lamm.run.record import RunClasses

TOLERANCE = 0.01
"""Points by which the accuracies of `predictions.csv` and `results.json` may differ."""


@dataclass(frozen=True)
class Said:
    """The predictions of one finished run, checked against its results.json."""

    run: Run
    predictions: list[Prediction]


@dataclass(frozen=True)
class Comparison:
    """A method at one number of shots beside zero-shot CLIP.

    Attributes:
        class_names: In label order; made up of the number where the run doesn't tell.
        after: Of the method, a run a seed; empty: none has predictions.
        before: Of zero-shot CLIP on the same images; None: there is none.
        missing: Why a part is missing, a line each.
    """

    class_names: list[str]
    after: list[Said]
    before: Said | None
    missing: list[str] = field(default_factory=list)

    @cached_property
    def images(self) -> Counter[int]:
        """Test images by class."""
        return Counter(one.label for one in self.after[0].predictions) if self.after else Counter()

    @cached_property
    def right_before(self) -> Counter[int]:
        """Images by class that zero-shot CLIP puts right."""
        return Counter(one.label for one in self.before.predictions if one.right) if self.before else Counter()

    @cached_property
    def right_after(self) -> dict[int, float]:
        """Images by class that the method puts right, mean over the runs."""
        counts = Counter(one.label for said in self.after for one in said.predictions if one.right)
        return {label: count / len(self.after) for label, count in counts.items()}

    @cached_property
    def confused_before(self) -> dict[tuple[int, int], float]:
        """(class, predicted class) → images, of zero-shot CLIP's mistakes."""
        return _mistakes([self.before] if self.before else [])

    @cached_property
    def confused_after(self) -> dict[tuple[int, int], float]:
        """(class, predicted class) → images, of the method's mistakes, mean over the runs."""
        return _mistakes(self.after)


class Comparer:
    """Makes comparisons for one report; zero-shot predictions are kept, those of other runs are not."""

    def __init__(self, material: Material) -> None:
        self._material = material
        self._zero_shot_said: dict[Path, Said | str] = {}

    def compare(self, dataset: str, curve: Curve, shots: int) -> Comparison:
        """A method's runs at a number of shots, with the zero-shot run that fits them."""
        runs = curve.runs[shots]
        missing: list[str] = []
        after: list[Said] = []
        for run in runs:
            said = self._said(run)
            if isinstance(said, str):
                missing.append(said)
            elif not after or _images(said) == _images(after[0]):
                after.append(said)
            else:
                missing.append(f"{self._material.shown(run.folder)} was tested on other images than the runs beside it")
        names = next((names for run in runs if (names := class_names(run.folder))), [])
        before = self._zero_shot(dataset, after[0], names) if after else None
        if after and before is None:
            missing.append(
                "There is no zero-shot run with predictions on the same images and backbone: "
                f"python train.py --trainer ZeroshotCLIP --dataset {dataset} --shots {max(shots, 1)} --seed 1"
            )
        return Comparison(_enough(names, [*after, *([before] if before else [])]), after, before, missing)

    def _zero_shot(self, dataset: str, after: Said, names: Sequence[str]) -> Said | None:
        backbone = self._material.facts[after.run.folder].backbone
        candidates = [
            run
            for curve in self._material.curves[dataset]
            if curve.zero_shot
            for runs in curve.runs.values()
            for run in runs
            if self._material.facts[run.folder].backbone == backbone
        ]
        for run in sorted(candidates, key=lambda run: (len(run.key.cfg), natural(str(run.folder)))):
            said = self._said(run)
            if not isinstance(said, str) and _images(said) == _images(after) and class_names(run.folder) == names:
                return said
        return None

    def _said(self, run: Run) -> Said | str:
        """A run's predictions, or why there are none to trust."""
        if run.key.trainer != ZERO_SHOT_TRAINER:
            return self._read(run)
        if run.folder not in self._zero_shot_said:
            self._zero_shot_said[run.folder] = self._read(run)
        return self._zero_shot_said[run.folder]

    def _read(self, run: Run) -> Said | str:
        place = self._material.shown(run.folder)
        try:
            predictions = read_predictions(run.folder)
        except LammError as error:
            return str(error)
        if not predictions:
            return f"{place} has no predictions.csv: train.py writes it at the end of a run"
        accuracy = 100 * sum(one.right for one in predictions) / len(predictions)
        recorded = run.metrics.get("accuracy")
        if recorded is None or abs(accuracy - recorded) > TOLERANCE:
            shown = "no accuracy" if recorded is None else f"{recorded:.2f}"
            return f"{place}: predictions.csv comes to {accuracy:.2f} %, its result says {shown}: left out"
        return Said(run, predictions)


def class_names(folder: str | os.PathLike[str]) -> list[str]:
    """The class names that a run's folder tells, none where it doesn't or its files are damaged."""
    try:
        if classes := RunClasses.read(Path(folder)):
            return classes.class_names
        features = ClassFeatures.load(folder)
    except LammError:
        return []
    return features.class_names if features else []


def _enough(names: Sequence[str], everyone: Sequence[Said]) -> list[str]:
    """The names, continued by numbers where a prediction has a class beyond them."""
    highest = max((max(one.label, one.predicted) for said in everyone for one in said.predictions), default=-1)
    return [*names, *(f"class {number}" for number in range(len(names), highest + 1))]


def _images(said: Said) -> list[tuple[str, int]]:
    return [(one.image, one.label) for one in said.predictions]


def _mistakes(all_said: Sequence[Said]) -> dict[tuple[int, int], float]:
    counts = Counter((one.label, one.predicted) for said in all_said for one in said.predictions if not one.right)
    return {pair: count / len(all_said) for pair, count in counts.items()}
