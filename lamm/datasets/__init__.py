"""The data sets: their names, prompt templates, and registration with the engine."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lamm.log import logger

if TYPE_CHECKING:
    from lamm.datasets.base import BenchmarkDataset


BENCHMARK = {
    "caltech101": ("benchmark", "Caltech101"),
    "oxford_pets": ("benchmark", "OxfordPets"),
    "stanford_cars": ("benchmark", "StanfordCars"),
    "oxford_flowers": ("benchmark", "OxfordFlowers"),
    "food101": ("benchmark", "Food101"),
    "fgvc_aircraft": ("benchmark", "FGVCAircraft"),
    "sun397": ("benchmark", "SUN397"),
    "dtd": ("benchmark", "DescribableTextures"),
    "eurosat": ("benchmark", "EuroSAT"),
    "ucf101": ("benchmark", "UCF101"),
    "imagenet": ("imagenet", "ImageNet"),
    "imagenetv2": ("imagenet", "ImageNetV2"),
    "imagenet_sketch": ("imagenet", "ImageNetSketch"),
    "imagenet_a": ("imagenet", "ImageNetA"),
    "imagenet_r": ("imagenet", "ImageNetR"),
}
DEMO = {
    "digits": ("demo", "Digits"),
    "shapes": ("demo", "Shapes"),
    "shapes_sketch": ("demo", "ShapesSketch"),
    "shapes_noisy": ("demo", "ShapesNoisy"),
    "shapes_inverted": ("demo", "ShapesInverted"),
}
OWN = {"folder": ("own_images", "ImageFolder"), "csv": ("csv_list", "Csv")}
_CLASSES = {**BENCHMARK, **DEMO, **OWN}

DATASETS = {name: class_name for name, (_, class_name) in _CLASSES.items()}
"""Name on the command line (and of the config file in `configs/datasets/`) → registered class name."""


DEFAULT_TEMPLATE = "a photo of a {}."
TEMPLATES = dict.fromkeys(DATASETS.values(), DEFAULT_TEMPLATE) | {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "Food101": "a photo of {}, a type of food.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "UCF101": "a photo of a person doing {}.",
}
"""Registered class name → zero-shot prompt template; a class name, with each `_` made a space, replaces the `{}`."""

# Seven of CLIP's 80 ImageNet templates, the best as an ensemble (arXiv:2103.00020's prompt engineering notebook).
IMAGENET_TEMPLATES = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)


def template_of(registered_name: str) -> str:
    """The template of a data set; one that is not in the table gets "a photo of a {}." and a line in the log."""
    if registered_name not in TEMPLATES:
        logger.info(f'no prompt template is known for data set "{registered_name}": using "{DEFAULT_TEMPLATE}"')
    return TEMPLATES.get(registered_name, DEFAULT_TEMPLATE)


def ensemble_of(registered_name: str, own: str, given: str = "") -> list[str]:
    """The templates of an ensemble: the seven, and the data set's own except for ImageNet, as in CoOp's code.

    Args:
        registered_name: of the data set.
        own: its template.
        given: a user's template in place of the data set's own, for ImageNet too.
    """
    return [*IMAGENET_TEMPLATES, *filter(None, [given or ("" if registered_name == "ImageNet" else own)])]


def dataset_class(name: str) -> type[BenchmarkDataset]:
    """The class of a data set, by its name on the command line.

    Raises:
        KeyError: there is no data set of that name.
    """
    # Imported here: these modules load the engine, which importers of the tables above don't need.
    module, class_name = _CLASSES[name]
    dataset: type[BenchmarkDataset] = getattr(importlib.import_module(f"lamm.datasets.{module}"), class_name)
    return dataset


def register_datasets() -> None:
    """Offer every data set above to the engine, under its class name.

    A data set that someone else registers under such a name, sooner or later, is the one that is used. Importing this
    package offers nothing, so code that brings its own data sets can use the rest of it.
    """
    from lamm.engine import DATASET_REGISTRY

    for name in DATASETS:
        DATASET_REGISTRY.offer(dataset_class(name))
