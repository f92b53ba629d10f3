"""The example project: drawn shapes as in the demo data `shapes`, some of them in the wrong class on purpose."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from lamm.app.photos import store_photo
from lamm.app.project import Project
from lamm.drawing.compositions import HELD_OUT, NICKNAMES, draw_composition

NAME = "Example: drawn shapes"
SETTINGS = {"backbone": "tiny", "settings": {"OPTIM.MAX_EPOCH": 10}}
CLASSES, PHOTOS = 10, 16
WRONG = 3
"""Classes whose first photo lies in the next class."""
STRANGERS = 4
"""Further compositions, of which one picture each is to be tried: no class of the project fits it."""


def fill(project: Project, tell: Callable[[float, str], None]) -> None:
    """Put the example's photos into an empty project.

    Args:
        project: new.
        tell: is told the share that is done, and what is being done; it may raise.
    """
    total = CLASSES * PHOTOS + STRANGERS
    stored: list[dict[str, str]] = []
    for number, (shape, texture) in enumerate(HELD_OUT[: CLASSES + STRANGERS]):
        stored.append({})
        for index in range(PHOTOS if number < CLASSES else 1):
            name = f"{texture} {shape} {index}.png"
            stored[-1][store_photo(_drawn(shape, texture, number * PHOTOS + index), name, project.folder)] = name
            tell(sum(map(len, stored)) / total, "drawing")
    ids = [project.add_class(f"{NICKNAMES[texture]} {shape}", batch="example") for shape, texture in HELD_OUT[:CLASSES]]
    for number, class_id in enumerate(ids):
        first, *others = stored[number].items()
        wrong = ids[(number + 1) % CLASSES] if number < WRONG else class_id
        project.add_photos(wrong, dict([first]), "example")
        project.add_photos(class_id, dict(others), "example")
    project.add_tried({file: name for photos in stored[CLASSES:] for file, name in photos.items()}, "example")


def _drawn(shape: str, texture: str, number: int) -> bytes:
    """A picture of a composition, as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(draw_composition(shape, texture, np.random.RandomState(number), "plain")).save(buffer, "PNG")
    return buffer.getvalue()
