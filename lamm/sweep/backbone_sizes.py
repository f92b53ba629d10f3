"""The sizes of a backbone that memory and time of a run follow from, without loading it."""

from dataclasses import dataclass
from functools import lru_cache

from lamm.clip.architecture import Architecture
from lamm.clip.loading import TINY
from lamm.clip.openai_files import OPENAI_NAMES, openai_architecture
from lamm.clip.tiny import architecture as tiny

STAND_IN = "ViT-B/16"
"""Whose sizes stand for a backbone that is none of OpenAI's."""


@dataclass(frozen=True)
class BackboneSizes:
    """What the estimates need.

    Attributes:
        parameters: numbers in both towers.
        image_products: multiplications of one image's forward pass.
        image_numbers: numbers that one block of the image tower (of a ResNet: its widest place) holds for one image.
        image_layers: blocks that a gradient to prompts goes through.
        text_width: D.
        text_layers: blocks of the text tower.
    """

    parameters: float
    image_products: float
    image_numbers: float
    image_layers: int
    text_width: int
    text_layers: int

    @property
    def text_products(self) -> float:
        """Multiplications of one position's forward pass through the text tower."""
        return _block_parameters(self.text_width) * self.text_layers


@lru_cache
def sizes_of(name: str) -> BackboneSizes:
    """The sizes of `MODEL.BACKBONE.NAME`; of a backbone that is not OpenAI's those of `STAND_IN`."""
    if name == TINY:
        vision, text = tiny.VISION, tiny.TEXT
        return _sizes(
            Architecture(
                tiny.EMBED_DIM,
                *(vision[key] for key in ("image_size", "layers", "width", "patch_size")),
                *(text[key] for key in ("context_length", "vocab_size", "width", "layers")),
            )
        )
    return _sizes(openai_architecture(name if name in OPENAI_NAMES else STAND_IN))


def _sizes(of: Architecture) -> BackboneSizes:
    text = _block_parameters(of.text_width) * of.text_layers + of.text_width * (of.vocab_size + of.context_length)
    if isinstance(of.vision_layers, int) and of.patch_size is not None:
        positions = (of.image_size // of.patch_size) ** 2 + 1
        vision = _block_parameters(of.vision_width) * of.vision_layers
        products = positions * (vision + 2 * of.vision_layers * positions * of.vision_width)
        numbers, layers = float(positions * of.vision_width), of.vision_layers
    else:
        vision, products = _resnet(of)
        numbers, layers = (of.image_size / 2) ** 2 * of.vision_width, 1
    return BackboneSizes(vision + text, products, numbers, layers, of.text_width, of.text_layers)


def _block_parameters(width: int) -> float:
    """Weights of a transformer block: 4 W² of attention, 8 W² of the MLP."""
    return 12.0 * width**2


def _resnet(of: Architecture) -> tuple[float, float]:
    """Weights of a ModifiedResNet's bottlenecks and attention pool, and multiplications of one image."""
    assert isinstance(of.vision_layers, tuple), "a ResNet has four numbers of layers"
    weights = products = 0.0
    for stage, blocks in enumerate(of.vision_layers):
        # 1×1, 3×3 and 1×1 convolutions of P, P and 4 P channels.
        here = 17.0 * blocks * (of.vision_width * 2**stage) ** 2
        weights += here
        products += here * (of.image_size / 2 ** (stage + 2)) ** 2
    return weights + 3 * (32 * of.vision_width) ** 2, products
