"""OpenAI's CLIP weights: the nine released models, and building one from a state dict.

The `.pt` files are JIT archives with fp16 weights; a plain state dict with the same names does as well. The
architecture is read off the shapes; all of them were trained with QuickGELU.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from lamm.clip.architecture import Architecture
from lamm.clip.weights_file import read_state_dict
from lamm.errors import BackboneError

# Name in the `clip` package -> open_clip's name of the architecture, without its suffix "-quickgelu".
OPENAI_NAMES = {
    "RN50": "RN50",
    "RN101": "RN101",
    "RN50x4": "RN50x4",
    "RN50x16": "RN50x16",
    "RN50x64": "RN50x64",
    "ViT-B/32": "ViT-B-32",
    "ViT-B/16": "ViT-B-16",
    "ViT-L/14": "ViT-L-14",
    "ViT-L/14@336px": "ViT-L-14-336",
}
NOT_WEIGHTS = frozenset({"input_resolution", "context_length", "vocab_size"})


def openai_file_name(name: str) -> str:
    """Name of the released file, as the `clip` package stores it: `ViT-B-16.pt` for `ViT-B/16`."""
    return name.replace("/", "-").replace("@", "-") + ".pt"


@lru_cache(maxsize=len(OPENAI_NAMES))
def openai_architecture(name: str) -> Architecture:
    """Sizes of one of OpenAI's nine models."""
    import open_clip

    config = open_clip.get_model_config(f"{OPENAI_NAMES[name]}-quickgelu")
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
        BackboneError: a weight is missing, left over, or of another shape; `origin` says of what file.
    """
    from open_clip.model import convert_weights_to_lp

    model = architecture.build(dtype)
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
