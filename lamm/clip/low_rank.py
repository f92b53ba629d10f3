"""LoRA (arXiv:2106.09685) on queries, keys and values, for both towers, with CLIP-LoRA's scale (arXiv:2405.18541):

    W' x = W x + α/√r · B A dropout(x),  α = 1;  A uniform ±1/√D, B = 0

Letters: D width, r rank.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.prefix_attention import BlockParts
from lamm.clip.shared_prefix import SharedPrefixEncoder, unsupported_reason
from lamm.clip.text_tower import TextTower
from lamm.errors import BackboneError
from lamm.prompt_layout import Packing

ALPHA = 1.0


class LowRank(nn.Module):
    """What is added to one block's queries, keys and values.

    The masks of dropout are a function of a seed that `redraw` draws, once per step whatever the number of positions,
    and of `part`: so several processes, and a backward pass that encodes again, stay in step, and no two parts of a
    step have the same masks.

    Args:
        width: D.
        rank: r.
        dropout: share of the branch's input that is set to zero in training, separately for the three.

    Attributes:
        down: A of queries, keys and values, (3, r, D).
        up: B of them, (3, D, r).
        part: which part of a step's images or classes comes next, where they are encoded in parts.
    """

    def __init__(self, width: int, rank: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(3, rank, width).uniform_(-(width**-0.5), width**-0.5))
        self.up = nn.Parameter(torch.zeros(3, width, rank))
        self._scale, self._dropout, self._seed = ALPHA * rank**-0.5, dropout, 0
        self.part = 0

    def forward(self, normed: Tensor, rows: slice = slice(None)) -> Tensor:
        """The addition to `BlockParts.project`, or to some rows of it. Shape: (..., up to 3 · D)

        Args:
            normed: the attention's input, (..., D).
            rows: whole parts: queries alone, or keys and values.
        """
        width = normed.shape[-1]
        chosen = range((rows.start or 0) // width, (rows.stop or 3 * width) // width)
        down, up = self.down.to(normed.dtype), self.up.to(normed.dtype)  # masters are fp32
        added = [F.linear(F.linear(self._dropped(normed, one), down[one]), up[one]) for one in chosen]
        return self._scale * torch.cat(added, dim=-1)

    def _dropped(self, x: Tensor, number: int) -> Tensor:
        if not (self.training and self._dropout):
            return x
        generator = torch.Generator(x.device).manual_seed(self._seed + 3 * self.part + number)
        mask = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        return x * mask.bernoulli_(1 - self._dropout, generator=generator) / (1 - self._dropout)


def redraw(layers: Iterable[nn.Module]) -> None:
    """Draw new masks for layers that are in training, with one number of torch's generator each."""
    for layer in layers:
        if isinstance(layer, LowRank) and layer.training and layer._dropout:
            layer._seed = int(torch.randint(2**62, (1,)).numpy()[0])


class LowRankBlock(BlockParts):
    """A frozen block with additions to its queries, keys and values.

    Args:
        block: as `BlockParts`.
        dtype: as `BlockParts`.
        low_rank: the additions.
    """

    def __init__(self, block: nn.Module, dtype: torch.dtype | None, low_rank: nn.Module) -> None:
        super().__init__(block, dtype)
        self._low_rank = low_rank

    def project(self, normed: Tensor, rows: slice = slice(None)) -> Tensor:
        """Queries, keys and values side by side, or some rows of that product. Shape: (..., 3 · D)"""
        out = super().project(normed, rows)
        return out + self._low_rank(normed, rows).to(out.dtype)


class LowRankTextEncoder(SharedPrefixEncoder):
    """The shared-prefix encoder with additions in every block, which are trained: no prefix is fixed to it.

    Positions of the prefix have one mask of dropout, not one for each class.

    Args:
        tower: the frozen text tower.
        low_rank: gives the additions, one per block, when the first prompt is encoded: a learner may have taken over
            another one's by then.
        name: of the model, for messages.

    Raises:
        BackboneError: the tower's blocks can't be run in parts.
    """

    def __init__(self, tower: TextTower, low_rank: Callable[[], nn.ModuleList], name: str) -> None:
        reason = unsupported_reason(tower)
        if reason is not None:
            raise BackboneError(f"{name}: its text tower takes no LoRA: {reason}; use another CLIP, such as ViT-B/16")
        super().__init__(tower)
        self._low_rank = low_rank

    def encode(
        self,
        prefix: Tensor,
        labels: Tensor,
        end: Tensor,
        deep: Sequence[Tensor] = (),
        packing: Packing | None = None,
    ) -> Tensor:
        """See `SharedPrefixEncoder.encode`; new masks of dropout in training. Shape: (G, N, E)"""
        redraw(self._low_rank())
        self._begin(0)
        return super().encode(prefix, labels, end, deep, packing)

    def _run_labels(self, labels: Tensor, packing: Packing, *shared: Tensor) -> Tensor:
        self._begin(packing.first)
        return super()._run_labels(labels, packing, *shared)

    def _begin(self, part: int) -> None:
        for layer in self._low_rank():
            if isinstance(layer, LowRank):
                layer.part = part

    def _parts_of(self, dtype: torch.dtype | None) -> list[BlockParts]:
        pairs = zip(self.tower.blocks, self._low_rank(), strict=True)
        return [LowRankBlock(block, dtype, low_rank) for block, low_rank in pairs]
