"""What a full training found out about the photos: accuracies, what each is taken for, a map."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lamm.app.state import State

ZERO_SHOT = "ZeroshotCLIP"


@dataclass(frozen=True)
class Review:
    """What a full training found out about the photos.

    Attributes:
        comparison: method → accuracy in percent.
        comparison_by: what the accuracies were measured on.
        method: the one that was trained.
        classes: class ids, in the order of the probabilities.
        left_out: photo → probability of each class, by a classifier that had not seen it.
        map: photo or class id → its place on the map, from −1 to 1 in both directions.
    """

    comparison: Mapping[str, float] = field(default_factory=dict)
    comparison_by: str = ""
    method: str = ""
    classes: Sequence[str] = ()
    left_out: Mapping[str, Sequence[float]] = field(default_factory=dict)
    map: Mapping[str, Sequence[float]] = field(default_factory=dict)


class Judged(NamedTuple):
    """A photo: `class_id` is where it lies, `taken_for` what a classifier that had not seen it says."""

    file: str
    class_id: str
    taken_for: str
    probability: float
    own_probability: float


def judged(review: Review, state: State) -> list[Judged]:
    """Every photo that was left out once, with the class it is in now."""
    places, found = {class_id: place for place, class_id in enumerate(review.classes)}, []
    names = state.names()
    for file, class_id in state.labels().items():
        row = review.left_out.get(file)
        if row is None or class_id not in places:
            continue
        best = max((place for class_id, place in places.items() if class_id in names), key=row.__getitem__)
        found.append(Judged(file, class_id, review.classes[best], row[best], row[places[class_id]]))
    return found


def places_on_map(images: Any, texts: Any) -> np.ndarray:
    """Photos and class texts in two dimensions: the plane in which the photos differ most.

    Texts lie far from images in CLIP's space, all in one direction; without it they lie among the photos.

    Args:
        images: unit features, (n, E).
        texts: unit features of the classes, (N, E).

    Returns:
        (n + N, 2), photos first, from −1 to 1.
    """
    images, texts = np.asarray(images, dtype=np.float64), np.asarray(texts, dtype=np.float64)
    images, texts = images - images.mean(0), texts - texts.mean(0)
    plane = np.linalg.svd(images, full_matrices=False)[2][:2]  # (2, E)
    sides = [one @ plane.T for one in (images, texts)]
    places = np.concatenate([side / max(np.abs(side).max(), 1e-9) for side in sides])
    return places if places.shape[1] == 2 else np.pad(places, ((0, 0), (0, 2 - places.shape[1])))
