"""The top of a CLIP vision transformer: its last blocks and what reads the feature behind them, frozen or trained.

    cut(I) = tokens at the input of block L − K        by the tower as it is, without gradient
    f(I)   = P · LN(block_L ∘ … ∘ block_L−K+1 (cut(I)))_class        by weights of its own where they are trained

The tower itself stays as it is: trained weights are copies. In the last block only the class token asks and passes the
MLP, since nothing reads what the others would get.

Letters: B images, N positions (class token and patches), W width of the tower, E embedding size, L blocks of the
tower, K of the top, H heads, C width of a head.
"""

import copy
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.image_encoder import class_token, unsupported_reason
from lamm.clip.low_rank import LowRank, LowRankBlock, redraw
from lamm.clip.model import ClipModel
from lamm.clip.prefix_attention import BlockParts
from lamm.errors import BackboneError, ConfigError

TUNED = ("blocks", "lora", "layernorm")
NEAR = {"fp32": 1e-3}
"""Precision → how far a feature made in parts may be from the tower's own, as a share of its length."""
NEAR_IN_16_BITS = 0.1


class TowerTop(nn.Module):
    """The last K blocks, the final norm, the class token and the projection.

    Args:
        clip: the frozen CLIP model.
        blocks: K; -1: a third of the tower; None: all of it.
        tune: what is trained: `blocks` (all of it, as fp32 copies), `lora` (additions to queries, keys and values of
            the blocks), `layernorm` (norms alone, as fp32 copies), or, if empty, nothing.
        rank: r of `lora`.
        dropout: of `lora`'s branch.

    Attributes:
        first: number of the top's first block in the tower, from 0: the block to cut at.
        positions, width: N and W.

    Raises:
        BackboneError: the tower is not a vision transformer with a class token whose parts make up its features.
        ConfigError: more blocks than there are, or an unknown `tune`.
    """

    low_rank: nn.ModuleList
    _clip: ClipModel
    _own: list[Any]
    _end: tuple[Any, Tensor | None]

    def __init__(
        self, clip: ClipModel, blocks: int | None = -1, tune: str = "", rank: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__()
        visual: Any = clip.visual
        reason = unsupported_reason(visual)
        if reason:
            raise BackboneError(_refusal(clip, reason))
        tower = visual.transformer.resblocks
        layers = len(tower)
        blocks = layers if blocks is None else blocks
        if not -1 <= blocks <= layers or blocks == 0:
            raise ConfigError(
                f"TRAINER.TOPLAMM.BLOCKS is {blocks}, but {clip.name} has {layers} blocks in its image tower"
            )
        count = max(1, round(layers / 3)) if blocks < 0 else blocks
        self.first = layers - count
        self.positions, self.width = visual.positional_embedding.shape
        self.__dict__["_clip"] = clip  # its weights are not this module's
        own = [copied(block, tune) for block in tower[self.first :]]
        ln_post, projection = copied(visual.ln_post, tune), visual.proj
        if tune == "blocks":
            self.blocks, self.ln_post = nn.ModuleList(own), ln_post
            if projection is not None:
                projection = self.projection = nn.Parameter(projection.detach().float().clone())
        elif tune == "layernorm":
            self.norms = nn.ModuleList(nn.ModuleDict({"ln_1": one.ln_1, "ln_2": one.ln_2}) for one in own)
            self.ln_post = ln_post
        elif tune == "lora":
            self.low_rank = nn.ModuleList(LowRank(self.width, rank, dropout) for _ in own)
        elif tune:
            raise ConfigError(f"TUNE is {tune!r}, but must be one of {', '.join(TUNED)}")
        self._has_norms = tune in ("blocks", "layernorm")
        self.__dict__["_own"], self.__dict__["_end"] = own, (ln_post, projection)
        self._parts: dict[torch.dtype | None, list[BlockParts]] = {}
        self.to(visual.positional_embedding.device)
        self._require_the_towers_features()

    def cut(self, images: Tensor) -> Tensor:
        """What the frozen tower hands to the top. Shape: (B, N, W)"""
        images = images.to(self._clip.dtype)
        with torch.no_grad(), self._clip.autocast():
            encoder = self._clip.image_encoder(images)
            assert encoder is not None, "such a tower is refused at the start"
            return encoder.tokens(images, self.first)

    def forward(self, tokens: Tensor) -> Tensor:
        """Unit image features, fp32. Shape: (B, E)

        Args:
            tokens: of `cut`, (B, N, W).
        """
        redraw(self.modules())
        x = tokens.to(torch.float32 if self._has_norms else self._clip.dtype)
        with self._autocast(x.device):
            x = class_token(self._blocks(x.device), x)  # (B, W)
            ln_post, projection = self._end
            feature = ln_post(x)
            if projection is not None:
                feature = feature @ projection.to(feature.dtype)
        return F.normalize(feature.float(), dim=-1)

    def _autocast(self, device: torch.device) -> AbstractContextManager[object]:
        """The context that the top runs in: norms of its own are fp32, and so is what goes into them."""
        if self._clip.precision == "fp16" and self._has_norms:
            return torch.autocast(device.type, torch.float16)
        return self._clip.autocast()

    def _blocks(self, device: torch.device) -> list[BlockParts]:
        """The blocks in parts; frozen weights are cast for the present precision once."""
        dtype = torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else None
        if dtype not in self._parts:
            with torch.inference_mode(False), torch.no_grad():
                if hasattr(self, "low_rank"):
                    pairs = zip(self._own, self.low_rank, strict=True)
                    self._parts[dtype] = [LowRankBlock(block, dtype, low_rank) for block, low_rank in pairs]
                else:
                    self._parts[dtype] = [BlockParts(block, dtype) for block in self._own]
        return self._parts[dtype]

    @torch.no_grad()
    def _require_the_towers_features(self) -> None:
        """Refuse a tower whose features these parts do not make."""
        clip, generator = self._clip, torch.Generator().manual_seed(0)
        images = torch.randn(2, 3, clip.image_size, clip.image_size, generator=generator)
        images = images.to(clip.logit_scale.device)
        expected = clip.image_features(images)
        if clip.image_encoder(images) is None:
            raise BackboneError(_refusal(clip, "its parts do not make up its features"))
        try:
            away = (self(self.cut(images)) - expected).norm(dim=-1).max().item()
        except (RuntimeError, AttributeError, TypeError) as error:
            raise BackboneError(_refusal(clip, f"its parts do not fit together ({error})")) from error
        if not away <= NEAR.get(clip.precision, NEAR_IN_16_BITS):
            raise BackboneError(_refusal(clip, "it reads its feature in another way than at the class token"))


def copied(module: Any, tune: str) -> Any:
    """A module with trained fp32 copies of the weights that `tune` trains; the others are the module's own."""
    if tune not in ("blocks", "layernorm"):
        return module
    norms = {id(value) for part in module.modules() if isinstance(part, nn.LayerNorm) for value in part.parameters()}
    shared = {id(value): value for value in module.parameters() if tune == "layernorm" and id(value) not in norms}
    own = copy.deepcopy(module, dict(shared))
    for value in own.parameters():
        if id(value) not in shared:
            value.data = value.data.float()
            value.requires_grad_(True)
    return own


def _refusal(clip: ClipModel, reason: str) -> str:
    return (
        f"{clip.name}: its image tower ({type(clip.visual).__name__}) can't be tuned from a block on: {reason}; use a "
        "CLIP with a plain vision transformer, such as ViT-B/16, or a method that leaves the tower as it is"
    )
