"""From a backbone's name to a model: `tiny`, OpenAI's nine names, `open_clip:ARCH/TAG`, or a model object.

Weights of an OpenAI name are looked for at `MODEL.BACKBONE.PATH`, in the cache of the `clip` package, in the cache of
the Hugging Face hub, and on the hub, in this order. What is missing is an error: no other model ever stands in.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamm.clip.attention_layout import keep_attention_contiguous
from lamm.clip.download import DownloadError, fetch_pretrained
from lamm.clip.model import ClipModel, image_size_of
from lamm.clip.open_clip_models import PREFIX, load_open_clip
from lamm.clip.openai_files import OPENAI_NAMES, load_openai_file, openai_file_name
from lamm.clip.text_tower import text_tower_of
from lamm.clip.tokenizer import Tokenizer, load_tokenizer
from lamm.clip.weights_file import locate
from lamm.errors import BackboneError
from lamm.log import logger
from lamm.suggest import unknown_name

TINY = "tiny"


def load_clip(
    name: str, path: str = "", dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> ClipModel:
    """Loads a CLIP model, frozen and in evaluation mode.

    Args:
        name: `MODEL.BACKBONE.NAME`.
        path: `MODEL.BACKBONE.PATH`, a weights file or a folder that contains it; empty looks in the usual places.
        dtype: fp32; or fp16 or bf16 for the weights of all but norms and embeddings.
        device: where the model goes.

    Raises:
        BackboneError: unknown name, missing or damaged weights, or a model that can't be handled.
    """
    if name == TINY:
        return wrap_clip(_load_tiny(path, dtype), name).to(device)
    if name in OPENAI_NAMES:
        file = _find_openai_file(name, path)
        logger.info(f"CLIP {name}: weights from {file}")
        return wrap_clip(load_openai_file(file, dtype, name), name).to(device)
    if name.startswith(PREFIX):
        model, tokenizer = load_open_clip(name, path, dtype)
        return wrap_clip(model, name, tokenizer).to(device)
    raise BackboneError(unknown_name("backbone", name, [*OPENAI_NAMES, f"{PREFIX}ARCH/TAG", TINY]))


def wrap_clip(model: nn.Module, name: str, tokenizer: Tokenizer | None = None) -> ClipModel:
    """The project's view of a model object made by the `clip` package or by open_clip; it freezes the object.

    Args:
        model: the model object; its parameters are shared, not copied, and its image tower gets hooks that keep its
            attention fast (`attention_layout`).
        name: what messages call it.
        tokenizer: the model's tokenizer; None is CLIP's own.

    Raises:
        BackboneError: the object is no CLIP model, or has a text tower that can't be handled.
    """
    parts: Any = model
    if not isinstance(getattr(parts, "visual", None), nn.Module) or not hasattr(parts, "logit_scale"):
        raise BackboneError(f"{name}: a {type(model).__name__} is no CLIP model: it has no visual tower or logit_scale")
    text = text_tower_of(model, name)
    tokenizer = tokenizer or load_tokenizer()
    if text.token_embedding.num_embeddings != tokenizer.vocab_size:
        raise BackboneError(
            f"{name}: its text tower knows {text.token_embedding.num_embeddings} tokens, CLIP's tokenizer has "
            f"{tokenizer.vocab_size}: the model was trained with another tokenizer and can't be used"
        )
    model.requires_grad_(False).eval()
    keep_attention_contiguous(parts.visual)
    return ClipModel(name, parts.visual, text, parts.logit_scale, tokenizer, image_size_of(parts.visual, name))


def _load_tiny(path: str, dtype: torch.dtype) -> nn.Module:
    from lamm.clip.tiny import load_tiny

    if path:
        raise BackboneError(f"MODEL.BACKBONE.PATH is {path}, but {TINY} has its weights in the package: leave it empty")
    model: nn.Module = load_tiny()
    return model.to(dtype)


def _find_openai_file(name: str, path: str) -> Path:
    """The weights file of an OpenAI name, downloaded if need be."""
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME
    from open_clip.pretrained import get_pretrained_cfg

    file_name = openai_file_name(name)
    if path:
        return locate(path, (file_name, HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME))
    cached = Path("~/.cache/clip").expanduser() / file_name
    if cached.is_file():
        return cached
    try:
        return fetch_pretrained(get_pretrained_cfg(OPENAI_NAMES[name], "openai"))
    except DownloadError as error:
        raise BackboneError(
            f"no weights of {name} on this machine and no download ({error}): put {file_name} at {cached}, or set "
            f"MODEL.BACKBONE.PATH to it"
        ) from error
