"""One view of a CLIP text tower, whichever library made it.

Letters: B sequences, L positions (at most the context length), D width, E embedding size.

The three makes differ in small things: open_clip's `CLIP` has the tower's parts at its top, its `CustomTextCLIP`
under `.text`; both are batch-first and take the mask per call. The `clip` package is sequence-first, its blocks carry a
mask of their own for the full context length, and its weights can be fp16 with fp32 norms and embeddings.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamm.clip.text_traits import TextTraits
from lamm.errors import BackboneError, PromptError


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
