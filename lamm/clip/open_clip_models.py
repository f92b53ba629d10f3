"""Backbones named `open_clip:ARCH/TAG`: any of open_clip's models that has a causal CLIP text tower."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamm.clip.sources import PREFIX, Source
from lamm.clip.text_tower import TextTraits
from lamm.clip.tokenizer import Tokenizer, load_tokenizer
from lamm.clip.weights_file import read_state_dict
from lamm.errors import BackboneError, nearest
from lamm.torch_files import is_jit_archive

PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def load_open_clip(name: str, file: Path, dtype: torch.dtype) -> tuple[nn.Module, Tokenizer]:
    """The model object and the tokenizer of `open_clip:ARCH/TAG`, with the weights in a file.

    Raises:
        BackboneError: a name that `open_clip_source` refuses, or a file that does not fit it.
    """
    architecture, _ = split_name(name)
    return _build(name, architecture, file, dtype), load_tokenizer(architecture)


def open_clip_source(name: str, require_tag: bool = True) -> Source:
    """Where the weights of `open_clip:ARCH/TAG` come from. What can't work is refused before a download.

    Args:
        name: of the backbone.
        require_tag: whether `open_clip:ARCH`, whose weights are given, is refused.

    Raises:
        BackboneError: unknown architecture or tag, a text tower or tokenizer that can't be handled, QuickGELU that
            does not match the weights, or no tag.
    """
    import open_clip

    architecture, tag = split_name(name)
    config = open_clip.get_model_config(architecture)
    assert config is not None, f"split_name let {architecture} pass"
    TextTraits.from_config(config["text_cfg"]).require_clip(name)
    load_tokenizer(architecture)
    pretrained = _pretrained_config(architecture, tag)
    if tag:
        check_quick_gelu(architecture, tag, bool(config.get("quick_gelu")), bool(pretrained.get("quick_gelu")))
    elif require_tag:
        raise BackboneError(f"{name} names no weights: write {name}/TAG or set MODEL.BACKBONE.PATH to a weights file")
    source = Source.of(pretrained)
    # OpenAI's link is to a JIT archive, which open_clip reads as another architecture.
    return replace(source, url="") if tag == "openai" else source


def open_clip_names() -> list[str]:
    """Every `open_clip:ARCH/TAG` that has a causal CLIP text tower, CLIP's tokenizer, and fitting weights."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    names = []
    for architecture, tag in open_clip.list_pretrained():
        config = open_clip.get_model_config(architecture) or {}
        text = config["text_cfg"]
        same_gelu = bool(config.get("quick_gelu")) == bool(get_pretrained_cfg(architecture, tag).get("quick_gelu"))
        if same_gelu and not text.get("hf_tokenizer_name") and TextTraits.from_config(text).is_clip:
            names.append(f"{PREFIX}{architecture}/{tag}")
    return names


def split_name(name: str) -> tuple[str, str]:
    """Architecture and tag (may be empty) of `open_clip:ARCH/TAG`; a slash within ARCH counts as a dash.

    Raises:
        BackboneError: open_clip has no such architecture.
    """
    import open_clip

    rest = name.removeprefix(PREFIX)
    known = open_clip.list_models()
    if rest.replace("/", "-") in known:
        return rest.replace("/", "-"), ""
    architecture, _, tag = rest.rpartition("/")
    architecture = architecture.replace("/", "-") or tag
    if architecture not in known:
        guess = nearest(architecture, known)
        hint = f'did you mean "{guess}"? ' if guess else ""
        raise BackboneError(
            f'unknown open_clip architecture "{architecture}" in {name}; {hint}open_clip.list_models() names them all'
        )
    return architecture, tag


def imagenet_templates() -> tuple[str, ...]:
    """CLIP's 80 templates for ImageNet in their order, each with `{}` for the class name."""
    import open_clip

    return tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)


def check_quick_gelu(architecture: str, tag: str, of_model: bool, of_weights: bool) -> None:
    """Raises BackboneError when the weights of `tag` were trained with another activation than the model has."""
    import open_clip

    if of_model == of_weights:
        return
    base = architecture.removesuffix("-quickgelu")
    fitting = f"{base}-quickgelu" if of_weights else base
    advice = f"use {PREFIX}{fitting}/{tag}" if fitting in open_clip.list_models() else "choose another tag"
    names = {True: "QuickGELU", False: "GELU"}
    raise BackboneError(
        f'{PREFIX}{architecture} computes {names[of_model]}, but its weights "{tag}" were trained with '
        f"{names[of_weights]}: {advice}"
    )


def _pretrained_config(architecture: str, tag: str) -> dict[str, Any]:
    """open_clip's description of a tag's weights; that of the sister architecture where the suffix differs."""
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    base = architecture.removesuffix("-quickgelu")
    known = {t: a for a in (base, architecture) for t in open_clip.list_pretrained_tags_by_model(a)}
    owner = known.get(tag.lower().replace("-", "_"))
    if tag and owner is None:
        tags = ", ".join(sorted(known)) or "none"
        raise BackboneError(f'open_clip has no weights "{tag}" for {architecture}; its tags: {tags}')
    return get_pretrained_cfg(owner, tag) if owner else {}


def _build(name: str, architecture: str, file: Path, dtype: torch.dtype) -> nn.Module:
    import open_clip

    if is_jit_archive(file):
        raise BackboneError(f"{file} is a JIT archive in OpenAI's format: use it with an OpenAI name such as ViT-B/16")
    read_state_dict(file)  # open_clip reads it by `torch.load`, which a hostile file may keep busy for ever
    try:
        return open_clip.create_model(architecture, pretrained=str(file), precision=PRECISIONS[dtype]).eval()
    except Exception as error:  # names and shapes that its conversions did not expect: of any type
        details = " ".join(str(error).split()[:40])
        raise BackboneError(f"{file} does not fit {name}: {details}") from error


def imagenet_class_names() -> dict[str, str]:
    """WordNet id → OpenAI's name of each class of ImageNet, by ascending id, which is the order of the labels.

    Two names come twice: "missile" and "sunglasses".
    """
    from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES
    from timm.data import ImageNetInfo

    ids = ImageNetInfo("imagenet-1k").label_names()
    return dict(zip(ids, IMAGENET_CLASSNAMES, strict=True))
