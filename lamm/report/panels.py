"""Panels: each looks into one method on one data set at one number of shots; there is room for so many."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lamm.errors import LammError
from lamm.report.comparison import Comparer, Comparison
from lamm.report.drawings import LabelMovement, label_movement
from lamm.report.material import Material
from lamm.report.tables import shots_text
from lamm.report.thumbnails import Pictures, Thumbnails, thumbnails
from lamm.results.collect import Run
from lamm.results.curves import ALL_SHOTS, Curve
from lamm.results.run_files import CLASS_FEATURES_FILE, ClassFeatures

MOST = 40


@dataclass(frozen=True)
class ClassGain:
    """One class.

    Attributes:
        name: Of the class.
        images: Its test images.
        before: Percent that zero-shot CLIP puts right.
        after: Percent that the method puts right, mean over its runs.
    """

    name: str
    images: int
    before: float
    after: float

    @property
    def gain(self) -> float:
        """Points gained; negative: lost."""
        return self.after - self.before


@dataclass(frozen=True)
class ClassGains:
    """The classes to show.

    Attributes:
        shown: The most gained first.
        classes: Number of classes with test images.
        better: Number of those that gained.
        worse: Number of those that lost.
    """

    shown: list[ClassGain]
    classes: int
    better: int
    worse: int

    @property
    def largest(self) -> float:
        """The points that the longest bar stands for."""
        return max((abs(one.gain) for one in self.shown), default=0.0) or 1.0


def class_gains(comparison: Comparison, most: int = MOST) -> ClassGains | None:
    """The gain of each class; of more than `most` those that gained and lost most. None: nothing to compare with."""
    if comparison.before is None:
        return None
    gains = [
        ClassGain(
            comparison.class_names[label],
            images,
            100 * comparison.right_before[label] / images,
            100 * comparison.right_after.get(label, 0.0) / images,
        )
        for label, images in sorted(comparison.images.items())
    ]
    ordered = sorted(gains, key=lambda one: -one.gain)
    half = most // 2
    shown = ordered if len(ordered) <= most else [*ordered[:half], *ordered[-half:]]
    better, worse = sum(one.gain > 0 for one in gains), sum(one.gain < 0 for one in gains)
    return ClassGains(shown, len(gains), better, worse)


MOST_CONFUSIONS = 8


@dataclass(frozen=True)
class Confusion:
    """Images of one class that are taken for another.

    Attributes:
        name: Their class.
        said: What they are taken for.
        images: Test images of the class.
        before: How many of them, by zero-shot CLIP; None: not known.
        after: How many by the method, mean over its runs.
    """

    name: str
    said: str
    images: int
    before: float | None
    after: float


@dataclass(frozen=True)
class Confusions:
    """The most confused pairs.

    Attributes:
        before: Of zero-shot CLIP.
        after: Of the method.
        mistakes_before: All mistakes of zero-shot CLIP; None: not known.
        mistakes_after: All mistakes of the method, mean over its runs.
    """

    before: list[Confusion]
    after: list[Confusion]
    mistakes_before: float | None
    mistakes_after: float


def confusions(comparison: Comparison, most: int = MOST_CONFUSIONS) -> Confusions | None:
    """At most `most` pairs each; None: there are no predictions."""
    if not comparison.after:
        return None

    def pairs(counts: Mapping[tuple[int, int], float]) -> list[Confusion]:
        ordered = sorted(counts, key=lambda pair: (-counts[pair], pair))
        return [
            Confusion(
                comparison.class_names[pair[0]],
                comparison.class_names[pair[1]],
                comparison.images[pair[0]],
                comparison.confused_before.get(pair, 0.0) if comparison.before else None,
                comparison.confused_after.get(pair, 0.0),
            )
            for pair in ordered[:most]
        ]

    return Confusions(
        pairs(comparison.confused_before),
        pairs(comparison.confused_after),
        sum(comparison.confused_before.values()) if comparison.before else None,
        sum(comparison.confused_after.values()),
    )


BUDGET = 7_000_000
"""Bytes of all panels together; those of fewer shots are left out first."""
PREFERRED = "LAMM"


class Watch(Protocol):
    """Shows progress over a sequence while it is gone through."""

    def __call__(self, places: Sequence["Place"], /) -> Iterable["Place"]: ...


@dataclass(frozen=True)
class Place:
    """Where a panel looks.

    Attributes:
        dataset: Name of the data set.
        curve: The method.
        shots: Training images a class.
    """

    dataset: str
    curve: Curve
    shots: int


@dataclass(frozen=True)
class Panel:
    """What a panel shows.

    Attributes:
        anchor: Its id in the page.
        place: Where it looks.
        shots: The number of shots in words.
        comparison: The predictions that it stands on.
        accuracy_before: Of the zero-shot run, as its result says; None: there is none.
        accuracy_after: Of the method, mean over its runs.
        gains: By class.
        confused: Most confused pairs.
        movement: Of the labels.
        movement_run: The run that it is of.
        movement_missing: Why there is none.
        images: Thumbnails.
    """

    anchor: str
    place: Place
    shots: str
    comparison: Comparison
    accuracy_before: float | None
    accuracy_after: float
    gains: ClassGains | None
    confused: Confusions | None
    movement: LabelMovement | None
    movement_run: Run | None
    movement_missing: str
    images: Thumbnails | None


@dataclass
class DatasetPanels:
    """The panels of a data set.

    Attributes:
        dataset: Its name.
        anchor: Its id in the page.
        rendered: The panels, those shown by default first: anchor, method, shots, HTML.
        left_out: How many there was no room for.
    """

    dataset: str
    anchor: str
    rendered: list[tuple[str, str, str, str]] = field(default_factory=list)
    left_out: int = 0

    @property
    def methods(self) -> list[str]:
        """The methods that have a panel."""
        return list(dict.fromkeys(method for _, method, _, _ in self.rendered))

    @property
    def shots(self) -> list[str]:
        """The numbers of shots that have a panel, most first."""
        return list(dict.fromkeys(shots for _, _, shots, _ in self.rendered))


def dataset_panels(
    material: Material,
    root: str,
    render: Callable[[Panel], str],
    watch: Watch = iter,
    budget: int = BUDGET,
) -> list[DatasetPanels]:
    """The panels of each data set that has a trained method.

    Args:
        material: The runs.
        root: Where the data are now; empty: where each run says.
        render: A panel's HTML.
        watch: Shows the progress.
        budget: Bytes that all panels may have together.
    """
    places = panel_places(material)
    found = {
        name: DatasetPanels(name, f"data-{number}")
        for number, name in enumerate(material.curves)
        if any(place.dataset == name for place in places)
    }
    comparer, pictures, size = Comparer(material), Pictures(), 0
    for number, place in enumerate(watch(places)):
        section = found[place.dataset]
        if size >= budget and section.rendered:
            section.left_out += 1
            continue
        panel = _panel(material, comparer, pictures, root, place, f"panel-{number}")
        html = render(panel)
        size += len(html.encode())
        section.rendered.append((panel.anchor, place.curve.label, panel.shots, html))
    return list(found.values())


def panel_places(material: Material) -> list[Place]:
    """All methods at all shots, in the order in which they are worth their room: most shots first, LAMM first."""
    places = [
        (rank, curve.trainer != PREFERRED, curve.label != curve.trainer, Place(dataset, curve, shots))
        for dataset, members in material.curves.items()
        for curve in members
        if not curve.zero_shot
        for rank, shots in enumerate(_most_first(material.curves[dataset], curve))
        if shots is not None
    ]
    return [place for *_, place in sorted(places, key=lambda entry: entry[:3])]


def _most_first(members: Iterable[Curve], curve: Curve) -> list[int | None]:
    """The shots of a data set, most first; None where this curve has no point."""
    every = {shots for member in members if not member.zero_shot for shots in member.points}
    ordered = sorted(every, key=lambda shots: float("-inf") if shots == ALL_SHOTS else -shots)
    return [shots if shots in curve.points else None for shots in ordered]


def _panel(material: Material, comparer: Comparer, pictures: Pictures, root: str, place: Place, anchor: str) -> Panel:
    comparison = comparer.compare(place.dataset, place.curve, place.shots)
    movement, run, missing = _movement(material, place, anchor)
    images = None
    if comparison.before is not None:
        images = thumbnails(comparison, root or material.facts[comparison.after[0].run.folder].data_root, pictures)
    return Panel(
        anchor=anchor,
        place=place,
        shots=shots_text(place.shots),
        comparison=comparison,
        accuracy_before=comparison.before.run.metrics["accuracy"] if comparison.before else None,
        accuracy_after=place.curve.points[place.shots].mean,
        gains=class_gains(comparison),
        confused=confusions(comparison),
        movement=movement,
        movement_run=run,
        movement_missing=missing,
        images=images,
    )


def _movement(material: Material, place: Place, anchor: str) -> tuple[LabelMovement | None, Run | None, str]:
    """The movement of the first run that keeps its class features."""
    missing = f"No run here has {CLASS_FEATURES_FILE}: train.py writes it at the end of a run."
    for run in place.curve.runs[place.shots]:
        try:
            features = ClassFeatures.load(run.folder)
        except LammError as error:
            missing = f"{error}."
            continue
        if features is not None and len(features.class_names) > 1:
            return label_movement(features, anchor), run, ""
    return None, None, missing
