"""What backbones there are: their size, the licence of their weights, and whether these are on this machine."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lamm.clip.sources import OPENAI_NAMES, TINY, TINY_SIZES, TINY_WEIGHTS, Source, source_of, weights_of
from lamm.errors import BackboneError
from lamm.files import sha256_of_file

UNKNOWN = "unknown"
OPENAI_LICENCE = "MIT"
"""Of OpenAI's repository, which comes with the files and has no other licence for them."""
TINY_LICENCE = "MIT"
"""See docs/tiny_model_card.md."""


@dataclass(frozen=True)
class Backbone:
    """One backbone, as `lamm backbones` lists it.

    Attributes:
        name: `MODEL.BACKBONE.NAME`.
        parameters: numbers that are learned, of both towers and the logit scale.
        image_size: height = width of the images it takes, in pixels.
        licence: of its weights; `unknown` where no installed package says it.
        source: where its weights come from; None: with this package.
        file: its weights file on this machine; None: it is not here.
    """

    name: str
    parameters: int
    image_size: int
    licence: str
    source: Source | None
    file: Path | None


def backbone(name: str) -> Backbone:
    """One row of the catalogue.

    Raises:
        BackboneError: unknown name.
    """
    source = source_of(name)
    parameters, image_size = _sizes(name)
    file = TINY_WEIGHTS if source is None else source.find()
    return Backbone(name, parameters, image_size, licence_of(name), source, file)


def backbone_names(with_open_clip: bool = False) -> list[str]:
    """The names: OpenAI's and ours, and on request every `open_clip:ARCH/TAG`, too."""
    if not with_open_clip:
        return [*OPENAI_NAMES, TINY]
    from lamm.clip.open_clip_models import open_clip_names  # here and below: it takes torch

    return [*OPENAI_NAMES, TINY, *open_clip_names()]


def licence_of(backbone: str, path: str = "") -> str:
    """The licence of a backbone's weights as an SPDX identifier, `unknown` where no installed package says it.

    Args:
        backbone: `MODEL.BACKBONE.NAME`.
        path: `MODEL.BACKBONE.PATH`: weights from there count as the published ones if their SHA-256 is the same.

    Raises:
        BackboneError: `path` is not there.

    >>> licence_of("ViT-B/16"), licence_of("my-own-clip")
    ('MIT', 'unknown')
    """
    if backbone == TINY:
        return TINY_LICENCE
    try:
        source = source_of(backbone)
    except BackboneError:  # someone's own model, or open_clip's without a tag
        return UNKNOWN
    assert source is not None, f"only {TINY} has no source"
    if path:
        file = weights_of(backbone, path)
        if not source.sha256 or not sha256_of_file(file).startswith(source.sha256):
            return UNKNOWN
    if backbone in OPENAI_NAMES or backbone.endswith("/openai"):
        return OPENAI_LICENCE
    return _licence_on_hub(source.repository)


def _licence_on_hub(repository: str) -> str:
    """What timm says of a repository of its own."""
    from timm.models import get_pretrained_cfg

    organisation, _, model = repository.partition("/")
    if organisation != "timm":
        return UNKNOWN
    try:
        described = get_pretrained_cfg(model, allow_unregistered=False)
    except RuntimeError:  # a model, or a tag of it, that timm does not have
        return UNKNOWN
    return described.license.upper() if described and described.license else UNKNOWN


def _sizes(name: str) -> tuple[int, int]:
    """Number of parameters and image size."""
    if name == TINY:
        return TINY_SIZES
    if name in OPENAI_NAMES:
        return OPENAI_NAMES[name].parameters, OPENAI_NAMES[name].image_size
    from lamm.clip.open_clip_models import split_name

    return _counted(split_name(name)[0])


@lru_cache(maxsize=128)
def _counted(architecture: str) -> tuple[int, int]:
    """The same of an open_clip architecture."""
    import open_clip
    import torch

    logging.disable(logging.WARNING)  # that no weights are loaded
    try:
        with torch.device("meta"):  # no memory, and nothing is drawn
            model: Any = open_clip.create_model(architecture, load_weights=False, device="meta")
    finally:
        logging.disable(logging.NOTSET)
    size = model.visual.image_size
    return sum(one.numel() for one in model.parameters()), size if isinstance(size, int) else size[0]
