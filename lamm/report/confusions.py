"""The pairs of classes that are mixed up most, before and after learning."""

from collections.abc import Mapping
from dataclasses import dataclass

from lamm.report.comparison import Comparison

MOST = 8


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


def confusions(comparison: Comparison, most: int = MOST) -> Confusions | None:
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
