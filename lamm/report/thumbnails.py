"""Thumbnails of test images that the method put right and zero-shot CLIP wrong, and the other way round."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from lamm.report.comparison import Comparison
from lamm.results.run_files import Prediction

MOST = 8
SIDE = 96
PIXELATED_UP_TO = 64


@dataclass(frozen=True)
class Thumbnail:
    """One test image.

    Attributes:
        image: Its file as predictions.csv names it.
        data: The picture as a data URI; empty: it can't be read.
        small: Whether it has so few pixels that they are shown as they are.
        name: Its class.
        before: What zero-shot CLIP says.
        after: What the method says.
        confidence: The method's probability for that, in percent.
    """

    image: str
    data: str
    small: bool
    name: str
    before: str
    after: str
    confidence: float


@dataclass(frozen=True)
class Thumbnails:
    """Images that changed sides.

    Attributes:
        mended: Wrong before, right after; the surest of each class first.
        broken: Right before, wrong after.
        all_mended: How many there are.
        all_broken: How many there are.
        unreadable: Why pictures are missing; empty when none is.
    """

    mended: list[Thumbnail]
    broken: list[Thumbnail]
    all_mended: int
    all_broken: int
    unreadable: str


class Pictures:
    """Small pictures as data URIs, each read once."""

    def __init__(self) -> None:
        self._made: dict[Path, tuple[str, bool]] = {}

    def of(self, file: Path) -> tuple[str, bool]:
        """The data URI of a file, and whether it has few pixels; empty where it is gone or no picture."""
        if file not in self._made:
            self._made[file] = _encoded(file)
        return self._made[file]


def thumbnails(comparison: Comparison, root: str, pictures: Pictures, most: int = MOST) -> Thumbnails | None:
    """At most `most` images each way, of as many classes as possible; None: there is no zero-shot run beside.

    Args:
        comparison: Its first run counts.
        root: Data root that the images' paths are relative to.
        pictures: Where small pictures come from.
        most: Pictures each way.
    """
    if comparison.before is None:
        return None
    pairs = list(zip(comparison.before.predictions, comparison.after[0].predictions, strict=True))
    mended = [(before, after) for before, after in pairs if after.right and not before.right]
    broken = [(before, after) for before, after in pairs if before.right and not after.right]

    def made(members: Iterable[tuple[Prediction, Prediction]]) -> list[Thumbnail]:
        return [_thumbnail(comparison, root, pictures, before, after) for before, after in members]

    shown = made(_varied(mended, most)), made(_varied(broken, most))
    gone = sum(not one.data for members in shown for one in members)
    said = f"{gone} of these images can't be read in {root or 'the data root, which is not known'}" if gone else ""
    return Thumbnails(*shown, len(mended), len(broken), said and f"{said}; --root says where the data are now.")


def _varied(pairs: Sequence[tuple[Prediction, Prediction]], most: int) -> list[tuple[Prediction, Prediction]]:
    """The pairs of highest confidence, one a class before a second of any."""
    ordered = sorted(pairs, key=lambda pair: (-pair[1].confidence, pair[1].image))
    seen: dict[int, int] = {}
    ranks = []
    for pair in ordered:
        seen[pair[1].label] = seen.get(pair[1].label, 0) + 1
        ranks.append(seen[pair[1].label])
    return [ordered[place] for place in sorted(range(len(ordered)), key=lambda place: (ranks[place], place))][:most]


def _thumbnail(
    comparison: Comparison, root: str, pictures: Pictures, before: Prediction, after: Prediction
) -> Thumbnail:
    names = comparison.class_names
    data, small = pictures.of(Path(root, after.image)) if root or Path(after.image).is_absolute() else ("", False)
    said = names[after.label], names[before.predicted], names[after.predicted]
    return Thumbnail(after.image, data, small, *said, 100 * after.confidence)


def _encoded(file: Path) -> tuple[str, bool]:
    from PIL import Image, UnidentifiedImageError, features

    try:
        with Image.open(file) as opened:
            small = max(opened.size) <= PIXELATED_UP_TO
            opened.draft("RGB", (2 * SIDE, 2 * SIDE))
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "", False
    picture.thumbnail((SIDE, SIDE))
    if not features.check("webp"):
        layout, settings = ("PNG", {"optimize": True}) if small else ("JPEG", {"quality": 80})
    else:
        layout, settings = "WEBP", {"lossless": True, "quality": 100} if small else {"quality": 78}
    content = BytesIO()
    picture.save(content, layout, **settings)
    return f"data:image/{layout.lower()};base64,{base64.b64encode(content.getvalue()).decode()}", small
