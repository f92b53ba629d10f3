"""The catalogue's sources, cut down to the size of small data sets."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lamm.datasets.sources import SOURCES, Source
from lamm.preparing.prepare import Preparation
from lamm.preparing.survey import count_images

# Images and folders with images in the small archives, by target.
COUNTS = {
    ("caltech101", "101_ObjectCategories"): (12, 3),
    ("oxford_pets", "images"): (8, 0),
    ("stanford_cars", "cars_train"): (6, 0),
    ("stanford_cars", "cars_test"): (4, 0),
    ("oxford_flowers", "jpg"): (8, 0),
    ("food101", "images"): (8, 2),
    ("fgvc_aircraft", "images"): (4, 0),
    ("sun397", "SUN397"): (8, 2),
    ("dtd", "images"): (8, 2),
    ("eurosat", "2750"): (8, 2),
    ("ucf101", "UCF-101-midframes"): (8, 2),
    ("imagenet", "images/train"): (4, 2),
    ("imagenet", "images/val"): (3, 2),
    ("imagenetv2", "imagenetv2-matched-frequency-format-val"): (6, 3),
    ("imagenet_sketch", "images"): (4, 2),
    ("imagenet_a", "imagenet-a"): (4, 2),
    ("imagenet_r", "imagenet-r"): (4, 2),
}


def small_source(name: str, url_base: str = "") -> Source:
    """A source of the catalogue with the counts of the small archives, without check sums, links below `url_base`."""
    source = with_counts(name, {target: counts for (of, target), counts in COUNTS.items() if of == name})
    files = [
        replace(file, md5="", urls=(f"{url_base}/{file.name}",) if url_base and file.urls else ())
        for file in source.files
    ]
    return replace(source, files=tuple(files))


def fitting_source(name: str, root: Path) -> Source:
    """A source of the catalogue with the counts of what is in the image folders under a data root.

    What image folders must hold is left out: other small data sets have other images.
    """
    folder = root / SOURCES[name].folder
    counts = {part.target: count_images(folder / part.target) for part in SOURCES[name].image_parts}
    source = with_counts(name, counts)
    return replace(source, parts=tuple(replace(part, holds=() if part.images else part.holds) for part in source.parts))


def with_counts(name: str, counts: Mapping[str, tuple[int, int]]) -> Source:
    """A source of the catalogue that expects other numbers of (images, folders), and has no check sums of files."""
    parts = []
    for part in SOURCES[name].parts:
        images, folders = counts.get(part.target, (0, 0))
        folders = folders if part.folders else 0
        parts.append(replace(part, images=images, folders=folders, size=0, sha256=""))
    return replace(SOURCES[name], parts=tuple(parts))


def prepared(name: str, root: Path, *given: Path) -> Preparation:
    preparation = Preparation(small_source(name), root)
    assert preparation.run(given) == []
    return preparation
