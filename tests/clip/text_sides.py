"""Random prompts as embeddings, what to hold two text encoders to, and the slow way to encode a prompt.

Letters: G prefixes, N classes, P prefix positions, T label-side positions, C deep prompts a layer, D width,
E embedding size.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lamm.clip.text_tower import TextTower
from tests.clip.small_clip_models import clip_package


class Sides(NamedTuple):
    """What a text encoder is given; every tensor but `end` wants a gradient."""

    prefix: Tensor
    labels: Tensor
    end: Tensor
    deep: tuple[Tensor, ...] = ()

    @property
    def learned(self) -> list[Tensor]:
        """What gradients are taken of."""
        return [tensor for tensor in (self.prefix, self.labels, *self.deep) if tensor.requires_grad]


def random_sides(
    width: int, lengths: Sequence[int], *, groups: int = 1, prefix_length: int = 5, deep: int = 0, deep_length: int = 3
) -> Sides:
    """Normal values of about the size of token embeddings.

    Args:
        width: D.
        lengths: label positions of each class, end token included.
        groups: G.
        prefix_length: P, start token included.
        deep: how many layers after the first have prompts.
        deep_length: C.
    """
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> Tensor:
        return (0.2 * torch.randn(*shape, generator=generator)).requires_grad_()

    replaced = tuple(values(deep_length, width) for _ in range(deep))
    prefix, labels = values(groups, prefix_length, width), values(len(lengths), max(lengths), width)
    return Sides(prefix, labels, torch.tensor(lengths) - 1, replaced)


def run(encoder: Any, sides: Sides) -> tuple[Tensor, ...]:
    """Features (G, N, E) in fp32, and the gradients of everything learned under a fixed random direction of them."""
    return with_gradients(encoder.encode(*sides), sides.learned)


def with_gradients(features: Tensor, learned: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Features and the gradients of `learned` under a direction that depends on the features' shape alone."""
    direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(features.device)
    gradients = torch.autograd.grad((features.float() * direction).sum(), learned)
    return (features.detach().float(), *(gradient.float() for gradient in gradients))


def assert_agree(
    found: Sequence[Tensor], expected: Sequence[Tensor], features: float = 1e-5, gradients: float = 1e-4
) -> None:
    """Every feature within `features` of its norm, every gradient within `gradients` of its norm."""
    assert len(found) == len(expected) > 1
    off = (found[0] - expected[0]).norm(dim=-1) / expected[0].norm(dim=-1)
    assert off.max() <= features, f"a feature is off by {off.max():.1e}"
    for number, (one, other) in enumerate(zip(found[1:], expected[1:], strict=True)):
        assert other.norm() > 0
        off = (one - other).norm() / other.norm()
        assert off <= gradients, f"gradient {number} is off by {off:.1e}"


def halve(tower: TextTower) -> TextTower:
    """The tower with all weights in fp16; where the `clip` package made it, all but norms and embeddings."""
    if not tower.batch_first:
        clip_package().convert_weights(tower)
        return tower
    return tower.half()


def encode_whole(model: Any, sides: Sides) -> Tensor:
    """Features (G, N, E) of all 77 positions, by the library's own blocks under the library's own full mask.

    What stands behind a class's end token is random.
    """
    text = model.text if isinstance(getattr(model, "text", None), nn.Module) else model
    room, blocks = text.positional_embedding.shape[0], text.transformer.resblocks
    filling = torch.randn(room, sides.labels.shape[2], generator=torch.Generator().manual_seed(2))
    rows, at = [], []
    for prefix in sides.prefix:
        for label, end in zip(sides.labels, sides.end.tolist(), strict=True):
            row = torch.cat([prefix, label[: end + 1], filling])[:room]
            rows.append(row + text.positional_embedding)
            at.append(len(prefix) + end)
    x = torch.stack(rows)
    for number, block in enumerate(blocks):
        if 0 < number <= len(sides.deep):
            prompt = sides.deep[number - 1]
            kept = [x[:, 0:1], prompt.repeat(len(x), 1, 1), x[:, len(prompt) + 1 :]]
            x = torch.cat(kept, dim=1)
        if getattr(text.transformer, "batch_first", False):
            x = block(x, attn_mask=text.attn_mask)
        else:
            x = block(x.permute(1, 0, 2)).permute(1, 0, 2)
    features = torch.stack([text.ln_final(row)[place] @ text.text_projection for row, place in zip(x, at, strict=True)])
    return features.view(len(sides.prefix), len(sides.labels), -1)
