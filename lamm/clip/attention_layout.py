"""Keeps the image tower's attention on the fast matrix products.

`nn.MultiheadAttention` with `batch_first` turns its input to [L, B, W], and there torch multiplies a tensor that is not
contiguous by batched products with copies; under CPU autocast that makes a bf16 tower several times slower than an
fp32 one. An input that lies in memory as [L, B, W] is contiguous after the turn, and the numbers are the same up to
rounding.

Letters: B images, L positions, W width.
"""

from typing import Any

import torch
from torch import nn


def keep_attention_contiguous(tower: nn.Module) -> None:
    """Have every batch-first self-attention of a tower get its input in the layout that it works in.

    A tower that has this already is left as it is.
    """
    for module in tower.modules():
        turns = isinstance(module, nn.MultiheadAttention) and module.batch_first
        if turns and _turn_in_memory not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_turn_in_memory)


def _turn_in_memory(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Query, key and value, if they are one tensor [B, L, W], as a view of a contiguous [L, B, W]."""
    query, *rest = given
    fused = not torch.is_grad_enabled() and not torch.is_autocast_enabled(query.device.type)
    if fused or query.ndim != 3 or not all(part is query for part in rest[:2]):
        return None  # torch's fused inference path takes the input as it is
    turned = query.transpose(0, 1).contiguous().transpose(0, 1)
    return (turned, turned, turned, *rest[2:])
