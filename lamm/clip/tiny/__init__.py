"""The embedded model `tiny`: a small CLIP that was trained on drawings only and ships with the package."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from lamm.clip.architecture import to_be_loaded
from lamm.clip.sources import TINY_WEIGHTS
from lamm.errors import BackboneError
from lamm.files import atomic_path

PATH = TINY_WEIGHTS
FORMAT = "lamm-tiny-clip"
TOKEN_ROWS = "token_rows"
TOKEN_IDS = "token_ids"
EMBED_DIM = 256
VISION = {"image_size": 32, "layers": 4, "width": 256, "head_width": 64, "patch_size": 8}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 4}
TOKEN_SEED = 2312_08212 % 2**32
TOKEN_STD = 0.02


def build() -> nn.Module:
    """An open_clip `CLIP` with the embedded model's architecture and random weights."""
    import open_clip

    return open_clip.model.CLIP(embed_dim=EMBED_DIM, vision_cfg=dict(VISION), text_cfg=dict(TEXT))


def untrained_token_rows() -> Tensor:
    """The whole token table before training: normal, std 0.02, from `RandomState(TOKEN_SEED)`.

    Rows of tokens that are in no caption keep these values, so the weights file holds the others only. The values are
    rounded to fp16, as the stored rows are.

    Shape: (49408, 128)
    """
    rng = np.random.RandomState(TOKEN_SEED)
    table = rng.standard_normal((int(TEXT["vocab_size"]), int(TEXT["width"]))) * TOKEN_STD
    return torch.from_numpy(table.astype(np.float16)).float()


def save_weights(model: nn.Module, token_ids: Tensor, path: Path) -> None:
    """Write a model whose token table has one row for each of `token_ids` (sorted CLIP token ids)."""
    tensors = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    tensors.pop("attn_mask", None)
    tensors[TOKEN_ROWS] = tensors.pop("token_embedding.weight")
    tensors[TOKEN_IDS] = token_ids.to(torch.int32).contiguous()
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(tensors, {"format": FORMAT}))


def load_weights(path: Path = PATH) -> nn.Module:
    """The embedded model in fp32, as an open_clip `CLIP`, in eval mode; images are 32 × 32.

    Raises:
        BackboneError: the file is missing or damaged.
    """
    if not path.is_file():
        raise BackboneError(f"the embedded model's weights are missing at {path}; make them: lamm make-demo clip")
    try:
        stored = load_file(path)
        token_ids = stored.pop(TOKEN_IDS).long()
        tensors = {name: value.float() for name, value in stored.items()}
        table = untrained_token_rows()
        table[token_ids] = tensors.pop(TOKEN_ROWS)
        model = to_be_loaded(build)
        missing, unexpected = model.load_state_dict({**tensors, "token_embedding.weight": table}, strict=False)
    except (SafetensorError, OSError, KeyError, RuntimeError, ValueError) as error:
        raise BackboneError(f"the embedded model's weights at {path} are damaged: {error}") from error
    if unexpected or set(missing) - {"attn_mask"}:
        raise BackboneError(f"the embedded model's weights at {path} belong to another architecture")
    return model.eval()
