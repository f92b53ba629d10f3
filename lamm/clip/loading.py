"""From a backbone's name to a model: `tiny`, OpenAI's nine names, `open_clip:ARCH/TAG`, or a model object.

`sources` says where the weights are. What is missing is an error: no other model ever stands in.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamm.clip import tiny
from lamm.clip.architecture import Architecture, to_be_loaded
from lamm.clip.model import ClipModel, image_size_of
from lamm.clip.open_clip_models import load_open_clip
from lamm.clip.sources import OPENAI_NAMES, TINY, weights_of
from lamm.clip.text_tower import text_tower_of
from lamm.clip.tokenizer import Tokenizer, load_tokenizer
from lamm.clip.vision import keep_attention_contiguous
from lamm.clip.weights_file import read_state_dict
from lamm.errors import BackboneError, unknown_name
from lamm.log import logger

NOT_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size"})


@lru_cache(maxsize=len(OPENAI_NAMES))
def openai_architecture(name: str) -> Architecture:
    """Sizes of one of OpenAI's nine models."""
    import open_clip

    config = open_clip.get_model_config(f"{OPENAI_NAMES[name].architecture}-quickgelu")
    assert config is not None, f"open_clip has no config for {name}"
    return Architecture.from_config(config)


def load_openai_file(path: Path, dtype: torch.dtype = torch.float32, name: str | None = None) -> nn.Module:
    """An open_clip `CLIP` with the weights of a file in OpenAI's format.

    Args:
        path: JIT archive, plain state dict or safetensors with the same names.
        dtype: fp32, or a low precision for all but norms and embeddings, as the `clip` package has it.
        name: the OpenAI name that the file is supposed to be; None accepts any CLIP.

    Raises:
        BackboneError: the file is damaged, holds something else, or holds another architecture than `name`.
    """
    weights = {key: tensor for key, tensor in read_state_dict(path).items() if key not in NOT_WEIGHTS}
    try:
        found = Architecture.from_state_dict(weights)
    except (KeyError, IndexError, ValueError) as error:
        raise BackboneError(
            f"{path} holds no CLIP in OpenAI's format: reading its sizes failed at {error.args[0]}"
        ) from error
    if name is not None and found != openai_architecture(name):
        raise BackboneError(
            f"{path} holds {_name_or_sizes(found)}, but MODEL.BACKBONE.NAME is {name}: give the file of {name} "
            "or change the name"
        )
    return build_from_state_dict(found, weights, dtype, str(path))


def build_from_state_dict(
    architecture: Architecture, weights: Mapping[str, Tensor], dtype: torch.dtype, origin: str
) -> nn.Module:
    """An open_clip `CLIP` with exactly these weights, in evaluation mode.

    Raises:
        BackboneError: a weight is missing, left over, of another shape or not finite; `origin` says of what file.
    """
    from open_clip.model import convert_weights_to_lp

    damaged = next((name for name, value in weights.items() if not value.isfinite().all() or not value.numel()), None)
    if damaged is not None:
        raise BackboneError(f"{origin} holds numbers that are not finite, or none, in {damaged}: it is damaged")

    model = to_be_loaded(partial(architecture.build, dtype))
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        details = " ".join(str(error).split()[:40])
        raise BackboneError(f"{origin} does not hold a whole CLIP: {details}") from error
    if dtype != torch.float32:
        convert_weights_to_lp(model, dtype=dtype)
    return model.eval()


def _name_or_sizes(architecture: Architecture) -> str:
    known = (name for name in OPENAI_NAMES if openai_architecture(name) == architecture)
    return next(known, architecture.describe())


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
    file = weights_of(name, path)
    if name == TINY:
        return wrap_clip(tiny.load_weights().to(dtype), name).to(device)
    logger.info(f"CLIP {name}: weights from {file}")
    if name in OPENAI_NAMES:
        return wrap_clip(load_openai_file(file, dtype, name), name).to(device)
    model, tokenizer = load_open_clip(name, file, dtype)
    return wrap_clip(model, name, tokenizer).to(device)


def wrap_clip(model: nn.Module, name: str, tokenizer: Tokenizer | None = None) -> ClipModel:
    """The project's view of a model object that was made by the `clip` package or by open_clip; it freezes the object.

    Args:
        model: the model object; its parameters are shared, not copied, and its image tower gets hooks that keep its
            attention fast (`attention_layout`).
        name: what messages call it.
        tokenizer: the model's tokenizer; None is CLIP's own.

    Raises:
        BackboneError: the object is not a CLIP model, or has a text tower that can't be handled.
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


def untrained_clip(name: str, seed: int = 0) -> nn.Module:
    """An open_clip `CLIP` of a backbone's architecture with random weights, in evaluation mode.

    Args:
        name: one of OpenAI's nine names, or `tiny`.
        seed: of the weights.

    Raises:
        BackboneError: another name.
    """
    torch.manual_seed(seed)
    if name == TINY:
        return tiny.build().eval()
    if name not in OPENAI_NAMES:
        raise BackboneError(unknown_name("backbone", name, [*OPENAI_NAMES, TINY]))
    return openai_architecture(name).build(torch.float32).eval()
