"""What a config does to a test image, in words that another program can follow."""

from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError


def described_preprocessing(options: CfgNode) -> dict[str, Any]:
    """The steps from an image file to a tower's input.

    Args:
        options: the INPUT node.

    Raises:
        ConfigError: the config makes steps that have no place in the description.
    """
    if "instance_norm" in options.TRANSFORMS:
        raise ConfigError("INPUT.TRANSFORMS has instance_norm, which an exported classifier can't describe")
    height, width = options.SIZE
    normalises = "normalize" in options.TRANSFORMS
    return {
        "colour": "RGB",
        "resize": {
            "shorter_side": max(height, width),
            "interpolation": options.INTERPOLATION,
            "antialias": True,
            "longer_side": "in proportion, rounded down",
        },
        "centre_crop": {"height": height, "width": width},
        "scale": "pixels / 255",
        "mean": list(options.PIXEL_MEAN) if normalises else [0.0, 0.0, 0.0],
        "std": list(options.PIXEL_STD) if normalises else [1.0, 1.0, 1.0],
        "layout": "(batch, channel, height, width), float32",
    }
