"""Panels: each looks into one method on one data set at one number of shots; there is room for so many.

Their thumbnails show test images that the method put right and zero-shot CLIP wrong, and the other way round.
"""

import base64
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from lamm.errors import LammError
from lamm.images import ImageError, as_rgb, image_errors, opened
from lamm.report.comparison import Comparer, changed_images, class_gains, confusions, most_changed, most_frequent
from lamm.report.drawings import label_movement
from lamm.report.material import Material
from lamm.report.tables import shots_text
from lamm.results.curves import ALL_SHOTS
from lamm.results.run_files import CLASS_FEATURES_FILE, ClassFeatures

BUDGET = 7_000_000
"""Bytes of all panels together; those of fewer shots are left out first."""
PREFERRED = "LAMM"
MOST_THUMBNAILS = 8
SIDE = 96
PIXELATED_UP_TO = 64
Watch = Callable[[Sequence[Any]], Iterable[Any]]
"""Shows progress over a sequence while it is gone through."""


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


def dataset_panels(
    material: Material,
    root: str,
    render: Callable[[dict[str, Any]], str],
    watch: Watch = iter,
    budget: int = BUDGET,
) -> list[DatasetPanels]:
    """The panels of each data set that has a trained method.

    Args:
        material: The runs.
        root: Where the data are now; empty: where each run says.
        render: The HTML of a panel's content.
        watch: Shows the progress.
        budget: Bytes that all panels may have together.
    """
    places = panel_places(material)
    datasets = [*material.curves.dataset.unique()]
    sections = {
        name: DatasetPanels(name, f"data-{datasets.index(name)}") for name in datasets if name in set(places.dataset)
    }
    comparer, read, size = Comparer(material), cache(picture), 0
    for number, point in enumerate(watch(list(places.itertuples()))):
        section = sections[point.dataset]
        if size >= budget and section.rendered:
            section.left_out += 1
            continue
        anchor = f"panel-{number}"
        html = render(_content(material, comparer, read, root, point, anchor))
        size += len(html.encode())
        section.rendered.append((anchor, point.label, shots_text(point.shots), html))
    return list(sections.values())


def panel_places(material: Material) -> pd.DataFrame:
    """The points of all trained methods, those most worth their room first: of the most shots, of LAMM."""
    points = material.curves[material.curves.shots != 0]
    shots = points.shots.astype(float).replace(ALL_SHOTS, math.inf)
    order = points.assign(
        rank=shots.groupby(points.dataset).rank(method="dense", ascending=False),
        other=points.trainer != PREFERRED,
        variant=points.label != points.trainer,
    )
    return order.sort_values(["rank", "other", "variant"], kind="stable")


def _content(material: Material, comparer: Comparer, read: Any, root: str, point: Any, anchor: str) -> dict[str, Any]:
    """What the template `panel.html.j2` shows."""
    comparison = comparer.compare(point)
    gains, pairs, changed = class_gains(comparison), confusions(comparison), changed_images(comparison) or {}
    before = None if comparison.before is None else material.runs.loc[comparison.before[0]]
    after = [material.runs.loc[run] for run in comparison.after]
    tables = [("Before", "before")] * (before is not None) + [("After", "after")]
    place = root or (after[0].data_root if after else "")
    pictures = {name: with_pictures(images, place, read) for name, images in changed.items()}
    gone = sum((images.data == "").sum() for images in pictures.values())
    return {
        "point": point,
        "shots": shots_text(point.shots),
        "sources": material.sources(point.runs),
        "missing": comparison.missing,
        "before": before,
        "after": after,
        "gains": gains,
        "most_changed": None if gains is None else most_changed(gains),
        "confusions": []
        if pairs is None
        else [(title, pairs[name].sum(), most_frequent(pairs, name)) for title, name in tables],
        "changed": changed,
        "pictures": pictures,
        "unreadable": gone
        and f"{gone} of these images can't be read in {place or 'the data root, which is not known'}",
        **_movement(material, point, anchor),
    }


def _movement(material: Material, point: Any, anchor: str) -> dict[str, Any]:
    """The movement of the labels in the first run that has class features, and that run; or why there is none."""
    missing = f"No run here has {CLASS_FEATURES_FILE}: train.py writes it at the end of a run."
    for _, run in material.runs.loc[point.runs].iterrows():
        try:
            features = ClassFeatures.load(run.folder)
        except LammError as error:
            missing = f"{error}."
            continue
        if features is not None and len(features.class_names) > 1:
            return {"movement": label_movement(features, anchor), "movement_run": run}
    return {"movement": None, "movement_missing": missing}


def with_pictures(images: pd.DataFrame, root: str, read: Callable[[Path], tuple[str, bool]]) -> pd.DataFrame:
    """The first images with two more columns, `data` and `small`, as `picture` gives them.

    Args:
        images: As `changed_images` gives them.
        root: Data root that the images' paths are relative to; empty: not known.
        read: `picture`, or a function that remembers what it returned.
    """
    shown = images.head(MOST_THUMBNAILS)
    known = [root or Path(image).is_absolute() for image in shown.image]
    pictures = [read(Path(root, image)) if at else ("", False) for image, at in zip(shown.image, known, strict=True)]
    return shown.assign(data=[data for data, _ in pictures], small=[small for _, small in pictures])


def picture(file: Path) -> tuple[str, bool]:
    """Read an image file and make it small.

    Returns:
        data: Its data URI; empty where the file is gone or is not a picture.
        small: Whether it has so few pixels that they are shown as they are.
    """
    from PIL import features

    try:
        with image_errors(file), opened(file) as image:
            small = max(image.size) <= PIXELATED_UP_TO
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            thumbnail = as_rgb(image, upright=True, say=lambda _: None)
    except ImageError:
        return "", False
    thumbnail.thumbnail((SIDE, SIDE))
    if not features.check("webp"):
        layout, settings = ("PNG", {"optimize": True}) if small else ("JPEG", {"quality": 80})
    else:
        layout, settings = "WEBP", {"lossless": True, "quality": 100} if small else {"quality": 78}
    content = BytesIO()
    thumbnail.save(content, layout, **settings)
    data = f"data:image/{layout.lower()};base64,{base64.b64encode(content.getvalue()).decode()}"
    return data, small
