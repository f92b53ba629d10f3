"""How much each class gains over zero-shot CLIP: bars of points, the most gained first."""

from dataclasses import dataclass

from lamm.report.comparison import Comparison

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
