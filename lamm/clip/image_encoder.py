"""The fast image encoder: a CLIP vision transformer run in parts, with prompts of its own where a method has them.

Weights are cast for the precision once, not at every batch. In the last block only the class token asks and passes the
MLP, since nothing reads what the others would get. Prompts stand after the patches (MaPLe, arXiv:2210.03117), see
`lamm.clip.vision`.

Letters: B images, N positions (class token and patches), C prompts, W width of the tower, E embedding size, L blocks,
H heads.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.prefix_attention import BlockParts, unknown_parts
from lamm.clip.vision import VisionPrompts, require_prompts
from lamm.log import logger

KNOWN_PARTS = {"conv1", "patch_dropout", "ln_pre", "transformer", "ln_post"}
BYTES_AT_ONCE = 16e6
"""Of the widest tensor of a block: what is larger is given back to the system and asked for again at every block."""
NEAR = {torch.float32: 1e-3}
"""Dtype of the products → how far a feature made in parts may be from the tower's own, as a share of its length."""
NEAR_IN_16_BITS = 0.1


class ImageEncoder:
    """Encodes images with the parts of a frozen vision transformer.

    Args:
        visual: a tower for which `unsupported_reason` is None. It can be moved, but other weights need another encoder.
    """

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self._parts: dict[tuple[torch.dtype, torch.device], list[BlockParts]] = {}

    def encode(self, images: Tensor, prompts: VisionPrompts | None = None) -> Tensor:
        """Image features, not normalised. Shape: (B, E)

        Args:
            images: (B, 3, height, width), in the tower's dtype.
            prompts: see `lamm.clip.vision.encode_with_prompts`.

        Raises:
            ValueError: the prompts don't fit the tower.
        """
        if prompts is not None:
            require_prompts(self._visual, prompts)
        return torch.cat([self._encode(part, prompts) for part in self._shares(images)])

    def tokens(self, images: Tensor, block: int) -> Tensor:
        """What the tower hands to a block, by its number from 0. Shape: (B, N, W)"""
        blocks = self._blocks(images.device)[:block]
        return torch.cat([run_blocks(blocks, self._embed(part)) for part in self._shares(images)])

    def _encode(self, images: Tensor, prompts: VisionPrompts | None) -> Tensor:
        visual = self._visual
        x = class_token(self._blocks(images.device), self._embed(images, prompts), prompts)  # (B, W)
        with torch.autocast(images.device.type, enabled=False):
            x = visual.ln_post(x.to(self._visual.conv1.weight.dtype))
            return x if visual.proj is None else x @ visual.proj.to(x.dtype)

    def _embed(self, images: Tensor, prompts: VisionPrompts | None = None) -> Tensor:
        """The first block's input, (B, N, W) or, with prompts, (B, N + C, W)."""
        visual = self._visual
        patches = visual.conv1(images).flatten(2).transpose(1, 2)
        x = torch.cat([visual.class_embedding.to(patches).expand(len(images), 1, -1), patches], dim=1)
        x = x + visual.positional_embedding.to(x.dtype)
        return visual.ln_pre(x if prompts is None else _append(x, prompts.first))

    def _shares(self, images: Tensor) -> Sequence[Tensor]:
        """The images, without gradient in parts of like size: two or more each, since one alone rounds differently."""
        if torch.is_grad_enabled() or torch.compiler.is_compiling():  # an exporter keeps the number of images free
            return [images]
        positions, width = self._visual.positional_embedding.shape
        at_once = max(2, int(BYTES_AT_ONCE / (4 * width * positions * self._dtype(images.device).itemsize)))
        return images.tensor_split(max(1, len(images) // at_once))

    def _dtype(self, device: torch.device) -> torch.dtype:
        """The dtype that the blocks' products run in."""
        on = torch.is_autocast_enabled(device.type)
        return torch.get_autocast_dtype(device.type) if on else self._visual.conv1.weight.dtype

    def _blocks(self, device: torch.device) -> list[BlockParts]:
        """The blocks with their weights cast for the present precision, which is done once for each precision."""
        key = self._dtype(device), device
        if key not in self._parts:
            dtype = key[0] if torch.is_autocast_enabled(device.type) else None
            with torch.inference_mode(False), torch.no_grad():
                self._parts[key] = [BlockParts(block, dtype) for block in self._visual.transformer.resblocks]
        return self._parts[key]

    def equals_the_tower(self, image: Tensor) -> bool:
        """Whether the parts make the tower's features.

        Args:
            image: one to try, (1, 3, height, width), in the tower's dtype.
        """
        with torch.no_grad():
            own, expected = self._encode(image, None).float(), self._visual(image).float()
        near = NEAR.get(self._dtype(image.device), NEAR_IN_16_BITS)
        return bool((own - expected).norm() <= near * expected.norm())


def run_blocks(blocks: Sequence[BlockParts], x: Tensor, prompts: VisionPrompts | None = None) -> Tensor:
    """Blocks over all positions.

    Args:
        blocks: the tower's, from some block on.
        x: input of the first of them, (B, N, W); with prompts (B, N + C, W).
        prompts: replaced before each block after the first, as long as there are deep ones.

    Returns:
        Output of the last of them, in the shape of `x`.
    """
    for number, block in enumerate(blocks):
        x = _with_deep(x, prompts, number)
        queries, keys, values = block.project(block.normed(x)).chunk(3, dim=-1)  # (B, N, W) each
        x = block.after_attention(x, _attend(queries, keys, values, block.heads))
    return x


def class_token(blocks: Sequence[BlockParts], x: Tensor, prompts: VisionPrompts | None = None) -> Tensor:
    """The class token behind the tower's last blocks; arguments as `run_blocks`. Shape: (B, W)"""
    *before, last = blocks
    x = _with_deep(run_blocks(before, x, prompts), prompts, len(before))
    width, normed = x.shape[-1], last.normed(x)
    queries = last.project(normed[:, :1], slice(width))  # (B, 1, W)
    keys, values = last.project(normed, slice(width, None)).chunk(2, dim=-1)
    return last.after_attention(x[:, :1], _attend(queries, keys, values, last.heads))[:, 0]


def _with_deep(x: Tensor, prompts: VisionPrompts | None, number: int) -> Tensor:
    """The input of a block, by its number from 0, with the deep prompts that it has."""
    if prompts is None or not 0 < number <= len(prompts.deep):
        return x
    return _append(x[:, : -len(prompts.first)], prompts.deep[number - 1])


def _append(x: Tensor, prompt: Tensor) -> Tensor:
    return torch.cat([x, prompt.to(x.dtype).expand(len(x), -1, -1)], dim=1)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """softmax(Q · Kᵀ / √C) · V of each head, side by side, C being a head's width. Shape: that of `queries`"""
    by_head = (part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (queries, keys, values))  # (B, H, N, C)
    return F.scaled_dot_product_attention(*by_head).transpose(1, 2).flatten(2)


def unsupported_reason(visual: Any) -> str | None:
    """Why a tower can't be run in parts; None if it can."""
    parts = {name for name, _ in visual.named_children()} if isinstance(visual, nn.Module) else set()
    if not {"conv1", "transformer", "ln_post"} <= parts or not parts <= KNOWN_PARTS:
        return f"it is a {type(visual).__name__}"
    if getattr(visual, "pool_type", "tok") != "tok" or getattr(visual, "output_tokens", False):
        return "it does not read its feature at the class token"
    return next(filter(None, map(unknown_parts, visual.transformer.resblocks)), None)


def image_encoder_of(visual: Any, image: Tensor) -> ImageEncoder | None:
    """The fast encoder of a tower; None if it has to be run as it is. The log says which one and why.

    Args:
        visual: the image tower.
        image: one that both ways are tried with, (1, 3, height, width), in the tower's dtype.
    """
    reason = unsupported_reason(visual)
    if reason is None:
        encoder = ImageEncoder(visual)
        if encoder.equals_the_tower(image):
            logger.info("Image encoder: in parts")
            return encoder
        reason = "its parts don't make up its features"
    logger.info("Image encoder: the tower as it is, because %s", reason)
    return None
