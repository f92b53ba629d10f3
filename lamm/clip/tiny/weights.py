"""The weights file of the embedded model: fp16, with only those token rows that training saw."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lamm.clip.tiny import architecture
from lamm.errors import BackboneError
from lamm.files import atomic_path

PATH = Path(__file__).with_name("tiny_clip.safetensors")
TOKEN_ROWS = "token_rows"
TOKEN_IDS = "token_ids"


def save_weights(model: nn.Module, token_ids: Tensor, path: Path) -> None:
    """Write a model whose token table has one row for each of `token_ids` (sorted CLIP token ids)."""
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    tensors.pop("attn_mask", None)
    tensors[TOKEN_ROWS] = tensors.pop("token_embedding.weight")
    tensors[TOKEN_IDS] = token_ids.to(torch.int32).contiguous()
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors))


def load_weights(path: Path = PATH) -> nn.Module:
    """The embedded model in fp32, as an open_clip `CLIP`, in eval mode.

    Raises:
        BackboneError: the file is missing or damaged.
    """
    if not path.is_file():
        raise BackboneError(f"the embedded model's weights are missing at {path}; make them: tools/train_tiny_clip.py")
    try:
        stored = load_file(path)
        token_ids = stored.pop(TOKEN_IDS).long()
        tensors = {name: value.float() for name, value in stored.items()}
        table = architecture.untrained_token_rows()
        table[token_ids] = tensors.pop(TOKEN_ROWS)
        model = architecture.build()
        missing, unexpected = model.load_state_dict({**tensors, "token_embedding.weight": table}, strict=False)
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        raise BackboneError(f"the embedded model's weights at {path} are damaged: {error}") from error
    if unexpected or set(missing) - {"attn_mask"}:
        raise BackboneError(f"the embedded model's weights at {path} belong to another architecture")
    return model.eval()
