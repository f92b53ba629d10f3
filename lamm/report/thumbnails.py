"""Thumbnails of test images that the method put right and zero-shot CLIP wrong, and the other way round."""

import base64
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lamm.report.comparison import Comparison

MOST = 8
SIDE = 96
PIXELATED_UP_TO = 64


class Picture(NamedTuple):
    """A small picture.

    Attributes:
        data: Its data URI; empty where the file is gone or is not a picture.
        small: Whether it has so few pixels that they are shown as they are.
    """

    data: str
    small: bool


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


def with_pictures(images: pd.DataFrame, root: str, read: Callable[[Path], Picture], most: int = MOST) -> pd.DataFrame:
    """The first images with two more columns: `data` and `small`, as `Picture` has them.

    Args:
        images: As `changed_images` gives them.
        root: Data root that the images' paths are relative to; empty: not known.
        read: `picture`, or a function that remembers what it returned.
        most: How many.
    """
    shown = images.head(most)
    known = [root or Path(image).is_absolute() for image in shown.image]
    pictures = [
        read(Path(root, image)) if at else Picture("", False) for image, at in zip(shown.image, known, strict=True)
    ]
    return shown.assign(data=[one.data for one in pictures], small=[one.small for one in pictures])


def picture(file: Path) -> Picture:
    """Read an image file and make it small."""
    from PIL import Image, UnidentifiedImageError, features

    try:
        with Image.open(file) as opened:
            small = max(opened.size) <= PIXELATED_UP_TO
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            thumbnail = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Picture("", False)
    thumbnail.thumbnail((SIDE, SIDE))
    if not features.check("webp"):
        layout, settings = ("PNG", {"optimize": True}) if small else ("JPEG", {"quality": 80})
    else:
        layout, settings = "WEBP", {"lossless": True, "quality": 100} if small else {"quality": 78}
    content = BytesIO()
    thumbnail.save(content, layout, **settings)
    return Picture(f"data:image/{layout.lower()};base64,{base64.b64encode(content.getvalue()).decode()}", small)
