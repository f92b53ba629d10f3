"""One view of a CLIP text tower, whichever library made it.

Letters: B sequences, L positions (at most the context length), D width, E embedding size.

The three makes differ in small things: open_clip's `CLIP` has the tower's parts at its top, its `CustomTextCLIP`
under `.text`; both are batch-first and take the mask per call. The `clip` package is sequence-first, its blocks carry a
mask of their own for the full context length, and its weights can be fp16 with fp32 norms and embeddings.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lamm.errors import BackboneError, PromptError

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

    @property
    def is_clip(self) -> bool:
        """Whether the tower can be handled."""
        return not self._reason()

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


class TextTower(nn.Module):
    """The parts of a causal text tower, and the three steps of encoding with them: embed, transform, finish.

    The parameters are shared with the model that the tower was taken from, each registered once.

    Args:
        source: open_clip's `CLIP` or `TextTransformer`, or the `clip` package's `CLIP`.
        name: the model's name, for messages.

    Attributes:
        token_embedding: table of token embeddings [vocabulary, D].
        positional_embedding: [L, D] at the full context length.
        blocks: the residual attention blocks.
        causal_mask: additive mask [L, L], minus infinity above the diagonal.

    Raises:
        BackboneError: the tower has no causal mask, no token table, or does not read its feature at the end token.
    """

    token_embedding: nn.Embedding
    positional_embedding: nn.Parameter
    blocks: nn.ModuleList
    ln_final: nn.Module
    text_projection: nn.Parameter | nn.Linear | None
    causal_mask: Tensor

    def __init__(self, source: Any, name: str) -> None:
        super().__init__()
        TextTraits.from_module(source).require_clip(name)
        self.token_embedding = source.token_embedding
        self.positional_embedding = source.positional_embedding
        self.blocks = nn.ModuleList(source.transformer.resblocks)
        self.ln_final = source.ln_final
        self.text_projection = source.text_projection
        self.batch_first = bool(getattr(source.transformer, "batch_first", False))
        mask = torch.full((self.context_length, self.context_length), float("-inf")).triu(1)
        self.register_buffer("causal_mask", mask.to(self.positional_embedding.device), persistent=False)

    @property
    def context_length(self) -> int:
        """Largest number of positions, start and end token included."""
        return self.positional_embedding.shape[0]

    @property
    def width(self) -> int:
        """D, the width of the transformer."""
        return self.positional_embedding.shape[1]

    @property
    def embed_dim(self) -> int:
        """E, the size of the feature."""
        if isinstance(self.text_projection, nn.Linear):
            return self.text_projection.out_features
        return self.width if self.text_projection is None else self.text_projection.shape[1]

    @property
    def heads(self) -> int:
        """Number of attention heads of a block."""
        return int(self._first_block.attn.num_heads)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which the blocks compute (outside autocast)."""
        return self._first_block.mlp.c_fc.weight.dtype

    @property
    def _first_block(self) -> Any:
        return self.blocks[0]

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings [..., D] of token ids [...], without positional embeddings."""
        return self.token_embedding(ids).to(self.dtype)

    def positions(self, start: int, count: int) -> Tensor:
        """Positional embeddings of `count` positions from `start` on. Shape: [count, D]

        Raises:
            PromptError: they reach beyond the context length.
        """
        self._require_room(start + count)
        return self.positional_embedding[start : start + count]

    def _require_room(self, tokens: int) -> None:
        if tokens > self.context_length:
            raise PromptError(f"a prompt of {tokens} tokens; this text tower takes at most {self.context_length}")

    def transform(self, x: Tensor, deep: Sequence[Tensor] = ()) -> Tensor:
        """Runs the blocks over [B, L, D], positional embeddings already added, under the causal mask cut to L.

        Args:
            x: the prompts.
            deep: what the input of each block after the first has in place of the positions behind the start token,
                [C, D] each; blocks beyond the last of these keep what the block before put out.

        Raises:
            PromptError: L is above the context length.
        """
        length = x.shape[1]
        self._require_room(length)
        x = x.to(self.dtype)
        mask = self.causal_mask[:length, :length].to(self.dtype)
        for number, block in enumerate(self.blocks):
            if 0 < number <= len(deep):
                x = replace_context(x, deep[number - 1])
            if self.batch_first:
                x = _run_block(block, x, mask)
            else:
                x = _run_block(block, x.transpose(0, 1), mask).transpose(0, 1)
        return x

    def finish(self, x_at_end: Tensor) -> Tensor:
        """The feature [..., E], not normalised, from the last block's output at the end token [..., D]."""
        x = self.ln_final(x_at_end).to(self.dtype)
        if self.text_projection is None:
            return x
        return self.text_projection(x) if isinstance(self.text_projection, nn.Linear) else x @ self.text_projection


def replace_context(x: Tensor, context: Tensor) -> Tensor:
    """[B, L, D] with a deep prompt [C, D] in the C positions behind the start token (MaPLe, arXiv:2210.03117)."""
    context = context.to(x.dtype).expand(x.shape[0], -1, -1)
    return torch.cat([x[:, :1], context, x[:, 1 + context.shape[1] :]], dim=1)


def text_tower_of(model: nn.Module, name: str) -> TextTower:
    """The view of the text tower of a CLIP model object.

    Raises:
        BackboneError: the object is compiled, or its text tower can't be handled.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise BackboneError(f"{name}: the model object is a compiled JIT module; load it with jit=False")
    text = getattr(model, "text", None)
    return TextTower(text if isinstance(text, nn.Module) else model, name)


def _run_block(block: Any, x: Tensor, mask: Tensor) -> Tensor:
    """One residual block, under `mask` [L, L] in place of a full-length mask that the block may carry."""
    if not hasattr(block, "attn_mask"):
        return block(x, attn_mask=mask)
    normed = block.ln_1(x)
    x = x + block.attn(normed, normed, normed, need_weights=False, attn_mask=mask)[0]
    return x + block.mlp(block.ln_2(x))
