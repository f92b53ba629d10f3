"""The shape of the embedded model, and the token rows that its training never touched."""

import numpy as np
import torch
from torch import Tensor, nn

NAME = "tiny"
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

    Rows of tokens that no caption held keep these values, so the weights file holds the others only. The values are
    rounded to fp16, as the stored rows are.

    Shape: (49408, 128)
    """
    rng = np.random.RandomState(TOKEN_SEED)
    table = rng.standard_normal((int(TEXT["vocab_size"]), int(TEXT["width"]))) * TOKEN_STD
    return torch.from_numpy(table.astype(np.float16)).float()
