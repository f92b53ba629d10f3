"""The text path of the original research code, to compare with: every prompt at all 77 positions, nothing shared.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, L context length,
D width, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


class OriginalEncoder:
    """Encodes as the original code does, with open_clip's own transformer on [N, 77].

    Prompts of several images are encoded one image after another. Deep prompts go through the transformer's blocks one
    by one. It takes the place of a learner's fast encoder.

    Args:
        model: an open_clip `CLIP`.
    """

    chunk = 0

    def __init__(self, model: Any) -> None:
        self.model = model

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor:
        """Text features, not normalised; arguments and result as `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        return torch.stack([self._encode_one(own, labels, end, deep) for own in prefix])

    def _encode_one(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor]) -> Tensor:
        model, classes = self.model, len(labels)
        prompts = torch.cat([prefix.expand(classes, -1, -1), labels], dim=1)
        padding = len(model.positional_embedding) - prompts.shape[1]
        x = F.pad(prompts, (0, 0, 0, padding)) + model.positional_embedding
        x = self._transform(x, deep) if deep else model.transformer(x, attn_mask=model.attn_mask)
        x = model.ln_final(x)
        return x[torch.arange(classes, device=x.device), len(prefix) + end] @ model.text_projection

    def _transform(self, x: Tensor, deep: Sequence[Tensor]) -> Tensor:
        for number, block in enumerate(self.model.transformer.resblocks):
            if 0 < number <= len(deep):
                context = deep[number - 1].expand(len(x), -1, -1)
                x = torch.cat([x[:, :1], context, x[:, 1 + context.shape[1] :]], dim=1)
            x = block(x, attn_mask=self.model.attn_mask)
        return x
