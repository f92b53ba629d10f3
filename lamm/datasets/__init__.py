"""The data sets: their names, and their registration with the engine."""

from lamm.log import logger

DATASETS = {
    "caltech101": "Caltech101",
    "digits": "Digits",
    "shapes": "Shapes",
    "shapes_sketch": "ShapesSketch",
    "shapes_noisy": "ShapesNoisy",
    "shapes_inverted": "ShapesInverted",
}
"""Name on the command line (and of the config file in `configs/datasets/`) → registered class name."""


def register_datasets() -> None:
    """Register every data set above with the engine, under its class name.

    A name that someone else has registered is left alone, with a line in the log. Importing this package registers
    nothing, so code that brings its own data sets can use the rest of it.
    """
    # Imported here: these modules load the engine, which importers of the tables above don't need.
    from lamm.datasets.caltech101 import Caltech101
    from lamm.datasets.digits import Digits
    from lamm.datasets.shapes import Shapes, ShapesInverted, ShapesNoisy, ShapesSketch
    from lamm.engine import DATASET_REGISTRY

    for dataset in (Caltech101, Digits, Shapes, ShapesSketch, ShapesNoisy, ShapesInverted):
        name = dataset.__name__
        if name not in DATASET_REGISTRY.registered_names():
            DATASET_REGISTRY.register(dataset)
        elif DATASET_REGISTRY.get(name) is not dataset:
            logger.info(f'data set "{name}" is registered already, by other code: left alone')
