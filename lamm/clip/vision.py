"""Prompts on the vision side (MaPLe, arXiv:2210.03117): extra positions in a CLIP vision transformer.

They are appended after the patch tokens, without positional embedding, before `ln_pre`, and replaced block by block
by the deep ones; the feature is read as ever. Here the tower itself runs unchanged, and hooks put the prompts in;
towers that can be run in parts have `lamm.clip.image_encoder`.

Letters: B images, L positions (class token and patches), C prompts, W width of the image tower, E embedding size.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lamm.errors import BackboneError


class VisionPrompts(NamedTuple):
    """What an image tower gets beside the image.

    Attributes:
        first: at the tower's input, (C, W).
        deep: in its place at the input of each block after the first, (C, W) each; blocks beyond the last of these
            keep what the block before put out.
    """

    first: Tensor
    deep: Sequence[Tensor] = ()


class VisionSizes(NamedTuple):
    """W and the number of blocks of a vision transformer."""

    width: int
    layers: int


def vision_sizes(visual: Any, name: str) -> VisionSizes:
    """The sizes that prompts must fit.

    Args:
        visual: the image tower.
        name: the model's name, for messages.

    Raises:
        BackboneError: the tower is not a CLIP vision transformer, so it has no positions for prompts.
    """
    parts = ("class_embedding", "positional_embedding", "ln_pre", "transformer")
    blocks = getattr(getattr(visual, "transformer", None), "resblocks", None)
    if not blocks or not all(hasattr(visual, part) for part in parts):
        raise BackboneError(
            f"{name}: its image tower ({type(visual).__name__}) takes no prompts, which this method puts on the vision "
            "side: use a CLIP with a vision transformer, such as ViT-B/16, or a method without them"
        )
    return VisionSizes(visual.positional_embedding.shape[-1], len(blocks))


def encode_with_prompts(visual: Any, images: Tensor, prompts: VisionPrompts) -> Tensor:
    """Image features, not normalised, under prompts. Shape: (B, E)

    Args:
        visual: a tower that has `vision_sizes`.
        images: (B, 3, H, W), in the tower's dtype.
        prompts: at most as many deep ones as the tower has blocks after the first.

    Raises:
        ValueError: more deep ones, none at all, or a tower that is set to run its blocks again in the backward pass,
            where they would run without prompts.
    """
    require_prompts(visual, prompts)
    if getattr(visual.transformer, "grad_checkpointing", False):
        raise ValueError("vision prompts don't go with set_grad_checkpointing(True)")
    with _prompted(visual, prompts):
        return visual(images)


def require_prompts(visual: Any, prompts: VisionPrompts) -> None:
    """Raises ValueError, unless there are prompts and at most as many deep ones as blocks after the first."""
    blocks = len(visual.transformer.resblocks)
    if not len(prompts.first) or len(prompts.deep) >= blocks:
        raise ValueError(f"{len(prompts.first)} prompts, {len(prompts.deep)} deep for {blocks} blocks")


@contextmanager
def _prompted(visual: Any, prompts: VisionPrompts) -> Iterator[None]:
    """The tower with hooks that put the prompts in, and take them out again before the feature is read."""
    blocks = visual.transformer.resblocks
    batch_first = bool(getattr(visual.transformer, "batch_first", False))
    count = len(prompts.first)
    with ExitStack() as hooks:

        def before(module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
            hooks.callback(module.register_forward_pre_hook(lambda _, given: (change(given[0]), *given[1:])).remove)

        def replace(prompt: Tensor) -> Callable[[Tensor], Tensor]:
            return lambda x: _append(_without_last(x, count, batch_first), prompt, batch_first)

        before(visual.ln_pre, lambda x: _append(x, prompts.first, batch_first=True))
        for block, prompt in zip(blocks[1:], prompts.deep, strict=False):  # the prompts may end first
            before(block, replace(prompt))
        last = blocks[-1].register_forward_hook(lambda _, __, out: _without_last(out, count, batch_first))
        hooks.callback(last.remove)
        yield


def _append(x: Tensor, prompt: Tensor, batch_first: bool) -> Tensor:
    """(B, L, W), or (L, B, W), with (C, W) behind its positions."""
    prompt = prompt.to(x.dtype)
    if batch_first:
        return torch.cat([x, prompt[None].expand(x.shape[0], -1, -1)], dim=1)
    return torch.cat([x, prompt[:, None].expand(-1, x.shape[1], -1)])


def _without_last(x: Tensor, count: int, batch_first: bool) -> Tensor:
    return x[:, :-count] if batch_first else x[:-count]


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
