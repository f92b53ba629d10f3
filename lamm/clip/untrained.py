"""CLIP models with random weights, for measuring where none are at hand."""

import torch
from torch import nn

from lamm.clip.openai_files import OPENAI_NAMES, openai_architecture
from lamm.clip.tiny import architecture as tiny
from lamm.errors import BackboneError
from lamm.suggest import unknown_name

TINY = "tiny"


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
