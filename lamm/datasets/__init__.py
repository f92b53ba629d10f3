"""The data sets: their names, and their registration with the engine."""

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
    """Register every data set above with the engine, under its class name.

    A name that someone else has registered is left alone, with a line in the log. Importing this package registers
    nothing, so code that brings its own data sets can use the rest of it.
    """
    from lamm.engine import DATASET_REGISTRY

    for name, class_name in DATASETS.items():
        dataset = dataset_class(name)
        if class_name not in DATASET_REGISTRY.registered_names():
            DATASET_REGISTRY.register(dataset)
        elif DATASET_REGISTRY.get(class_name) is not dataset:
            logger.info(f'data set "{class_name}" is registered already, by other code: left alone')
