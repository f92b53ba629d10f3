"""What a text tower must be for prompts to be learned in it, asked of a config or of a module."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lamm.errors import BackboneError

END_POOLINGS = ("argmax", "eos")
WHAT_WORKS = "use a CLIP with a causal text tower, such as ViT-B/16 or open_clip:ViT-B-16/laion2b_s34b_b88k"


@dataclass(frozen=True)
class TextTraits:
    """The traits of a text tower that decide whether it can be handled.

    Attributes:
        kind: what the tower is, for messages.
        token_table: it embeds tokens by a table that can be read and replaced.
        causal: a position sees only itself and those before it.
        class_token: it appends a learned token and reads the feature there (CoCa).
        pooling: where the feature is read; `argmax` and `eos` are the end token.
    """

    kind: str
    token_table: bool = True
    causal: bool = True
    class_token: bool = False
    pooling: str = "argmax"

    @classmethod
    def from_config(cls, text_cfg: Mapping[str, Any]) -> "TextTraits":
        """Traits of the tower that open_clip would build from its `text_cfg`."""
        hugging_face = text_cfg.get("hf_model_name")
        if hugging_face:
            return cls(kind=f"Hugging Face's {hugging_face}", token_table=False)
        return cls(
            kind="TextTransformer",
            causal=not text_cfg.get("no_causal_mask", False),
            class_token=bool(text_cfg.get("embed_cls", False)),
            pooling=text_cfg.get("pool_type", "argmax"),
        )

    @classmethod
    def from_module(cls, tower: Any) -> "TextTraits":
        """Traits of a built tower: open_clip's `CLIP` or `TextTransformer`, or the `clip` package's `CLIP`."""
        kind = type(tower).__name__
        blocks = getattr(getattr(tower, "transformer", None), "resblocks", None)
        if not isinstance(getattr(tower, "token_embedding", None), nn.Embedding) or not blocks:
            return cls(kind=kind, token_table=False)
        mask = tower.attn_mask if hasattr(tower, "attn_mask") else getattr(blocks[0], "attn_mask", None)
        return cls(
            kind=kind,
            causal=_is_causal(mask),
            class_token=getattr(tower, "cls_emb", None) is not None,
            pooling=getattr(tower, "text_pool_type", getattr(tower, "pool_type", "argmax")),
        )

    def require_clip(self, name: str) -> None:
        """Raises BackboneError, naming the reason and what would work, unless the tower of `name` can be handled."""
        reason = self._reason()
        if reason:
            raise BackboneError(f"{name}: its text tower ({self.kind}) {reason}; {WHAT_WORKS}")

    def _reason(self) -> str:
        if not self.token_table:
            return "has no CLIP token embedding whose rows could be learned"
        if self.class_token:
            return "reads its feature at an appended class token (embed_cls), not at the end token"
        if not self.causal:
            return "has no causal mask, so that no part of a prompt can be shared"
        if self.pooling not in END_POOLINGS:
            return f'reads its feature by pool_type "{self.pooling}", not at the end token'
        return ""


def _is_causal(mask: torch.Tensor | None) -> bool:
    """Whether an additive mask [L, L] hides exactly the later positions."""
    if mask is None or mask.ndim != 2:
        return False
    later = torch.ones_like(mask, dtype=torch.bool).triu(1)
    return bool(torch.equal(mask.isneginf(), later) and torch.all(mask[~later] == 0))
