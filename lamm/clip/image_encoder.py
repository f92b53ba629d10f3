"""The fast image encoder: a CLIP vision transformer run in parts, with prompts of its own where a method has them.

Weights are cast for the precision once, not at every batch. In the last block only the class token asks and passes the
MLP, since nothing reads what the others would get. Where no gradient is recorded, blocks are `InferenceBlock`s. Prompts
stand after the patches (MaPLe, arXiv:2210.03117), see `lamm.clip.vision`.

Letters: B images, N positions (class token and patches), C prompts, W width of the tower, E embedding size, L blocks,
H heads.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.frozen_linear import InferenceLinear, exporting
from lamm.clip.prefix_attention import SLOPE, BlockParts, is_quick_gelu, unknown_parts
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

    Casts of the weights are made again when the tower has been moved or its weights were changed in place. They are not
    pickled or copied.

    Args:
        visual: a tower for which `unsupported_reason` is None. Other parameters in its place need another encoder.
    """

    def __init__(self, visual: Any) -> None:
        self._visual = visual
        self._weights = tuple(visual.transformer.parameters())
        self._blocks_of: tuple[Any, dict[Any, list[BlockParts]]] = None, {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_blocks_of": (None, {})}

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
        return self._in_shares(images, lambda share: self._encode(share, prompts))

    def tokens(self, images: Tensor, block: int) -> Tensor:
        """What the tower hands to a block, by its number from 0. Shape: (B, N, W)"""
        blocks = self._blocks(images.device)[:block]
        return self._in_shares(images, lambda share: run_blocks(blocks, self._embed(share)))

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
        x = torch.cat([visual.class_embedding.to(patches).expand(images.shape[0], 1, -1), patches], dim=1)
        x = x + visual.positional_embedding.to(x.dtype)
        return visual.ln_pre(x if prompts is None else _append(x, prompts.first))

    def _in_shares(self, images: Tensor, encode: Callable[[Tensor], Tensor]) -> Tensor:
        """What `encode` makes of all images; on a CPU, without gradient, of shares of like size, one after another.

        A share has two images or more, since one alone rounds differently.
        """
        # An exporter keeps the number of images free, so that nothing may depend on it.
        if exporting() or torch.is_grad_enabled() or images.device.type != "cpu":
            return encode(images)
        positions, width = self._visual.positional_embedding.shape
        at_once = max(1, int(BYTES_AT_ONCE / (4 * width * positions * self._dtype(images.device).itemsize)))
        count = min(-(-len(images) // at_once), len(images) // 2)
        return torch.cat([encode(share) for share in images.tensor_split(count)]) if count > 1 else encode(images)

    def _dtype(self, device: torch.device) -> torch.dtype:
        """The dtype that the blocks' products run in."""
        on = torch.is_autocast_enabled(device.type)
        return torch.get_autocast_dtype(device.type) if on else self._visual.conv1.weight.dtype

    def _blocks(self, device: torch.device) -> list[BlockParts]:
        """The blocks with their weights cast for the present precision, which is done once for each precision."""
        dtype = self._dtype(device) if torch.is_autocast_enabled(device.type) else None
        tower = self._visual.transformer.resblocks
        if exporting():  # in an exporter the tower's weights are stand-ins, for this time alone
            return [BlockParts(block, dtype) for block in tower]
        versions = [0 if weight.is_inference() else weight._version for weight in self._weights]
        state = device, self._weights[0].dtype, versions
        known, blocks = self._blocks_of
        if known != state:
            blocks = {}
            self._blocks_of = state, blocks
        key = dtype, torch.is_grad_enabled()
        if key not in blocks:
            kind = BlockParts if torch.is_grad_enabled() else InferenceBlock
            with torch.inference_mode(False), torch.no_grad():
                blocks[key] = [kind(block, dtype) for block in tower]
        return blocks[key]

    def equals_the_tower(self, image: Tensor) -> bool:
        """Whether the parts make the tower's features of an image, (1, 3, height, width), in the tower's dtype."""
        near = NEAR.get(self._dtype(image.device), NEAR_IN_16_BITS)
        with torch.no_grad():
            expected = self._visual(image).float()
            try:
                away = self._encode(image, None).float() - expected
            except (RuntimeError, AttributeError, TypeError):  # a part is missing, or they don't fit together
                return False
            return bool(away.norm() <= near * expected.norm())


class InferenceBlock(BlockParts):
    """A block that no gradient is taken through: GELU is computed with the product before it.

    So is QuickGELU where the weights are cast, which take its two factors in:

        x · σ(1.702 x) = silu(1.702 x) / 1.702
    """

    layer = InferenceLinear

    def _mlp_layers(self, mlp: Any, dtype: torch.dtype | None) -> list[Callable[[Tensor], Tensor]]:
        first, second = (mlp.c_fc.weight, mlp.c_fc.bias, dtype), (mlp.c_proj.weight, mlp.c_proj.bias, dtype)
        if type(mlp.gelu) is nn.GELU and mlp.gelu.approximate == "none":
            return [partial(InferenceLinear(*first), activation="gelu"), InferenceLinear(*second)]
        if is_quick_gelu(mlp.gelu) and dtype not in (None, mlp.c_fc.weight.dtype):
            wide, narrow = InferenceLinear(*first, (SLOPE, SLOPE)), InferenceLinear(*second, (1 / SLOPE, 1.0))
            return [partial(wide, activation="silu"), narrow]
        return super()._mlp_layers(mlp, dtype)


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
    return torch.cat([x, prompt.to(x.dtype).expand(x.shape[0], -1, -1)], dim=1)


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


def image_encoder_of(visual: Any, images: Tensor) -> ImageEncoder | None:
    """The fast encoder of a tower; None if it has to be run as it is. A debugging log says which one and why.

    Both ways are tried with an image of noise, so that every process and every data set decides alike.

    Args:
        visual: the image tower.
        images: of the size, dtype and device that the tower will get, (B, 3, height, width).
    """
    reason = unsupported_reason(visual)
    if reason is None:
        encoder = ImageEncoder(visual)
        noise = torch.randn(1, *images.shape[1:], generator=torch.Generator().manual_seed(0))
        if encoder.equals_the_tower(noise.to(images)):
            logger.debug("Image encoder: in parts")
            return encoder
        reason = "its parts don't make up its features"
    logger.debug("Image encoder: the tower as it is, because %s", reason)
    return None
