"""Prompts in both towers (MaPLe), by an open_clip `CLIP` object's own parts, one block after the other.

Letters: B images, N classes, C prompts a layer, D text width, W image width, E embedding size."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tests.reference.slow_training import SlowTraining
from tests.reference.whole_prompt import Position, embed, read_features


def encode_text(model: Any, rows: list[list[Position]], deep: list[Tensor]) -> Tensor:
    """Unit text features (N, E) at 77 positions; block i > 0 finds deep[i - 1] (C, D) behind the start token."""
    ids, embedded = embed(model, rows)
    x = embedded + model.positional_embedding
    for number, block in enumerate(model.transformer.resblocks):
        if 1 <= number <= len(deep):
            prompt = deep[number - 1]
            x = torch.stack([torch.cat([row[:1], prompt, row[1 + len(prompt) :]]) for row in x])
        x = block(x, attn_mask=model.attn_mask)
    return read_features(model, ids, x)


def encode_images(model: Any, images: Tensor, prompts: list[Tensor]) -> Tensor:
    """Unit image features (B, E): prompts[0] (C, W) behind the patches, replaced by prompts[i] in front of block i."""
    visual = model.visual
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    rows = []
    for image in patches:
        positions = torch.cat([visual.class_embedding[None], image]) + visual.positional_embedding
        rows.append(torch.cat([positions, prompts[0]]))
    x = visual.ln_pre(torch.stack(rows))
    for number, block in enumerate(visual.transformer.resblocks):
        if 1 <= number < len(prompts):
            kept = x.shape[1] - len(prompts[number])
            x = torch.stack([torch.cat([row[:kept], prompts[number]]) for row in x])
        x = block(x)
    features = visual.ln_post(x[:, 0]) @ visual.proj
    return features / features.norm(dim=-1, keepdim=True)


@dataclass
class SlowMaPLe(SlowTraining):
    """A run on images, whose features follow the prompts.

    Attributes:
        deep: text prompts of the layers after the first, (C, D) each.
        couplings: weight (W, D) and bias (W,) for each layer, the first included.
    """

    deep: list[Tensor] = field(default_factory=list)
    couplings: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.deep = [self.learn(prompt) for prompt in self.deep]
        self.couplings = [(self.learn(weight), self.learn(bias)) for weight, bias in self.couplings]
        self.learned += [*self.deep, *(value for pair in self.couplings for value in pair)]

    def image_features(self, images: Tensor) -> Tensor:
        """Unit features of images (B, 3, H, W) under the coupled prompts, (B, E)."""
        layers = zip([self.context, *self.deep], self.couplings, strict=True)
        prompts = [text @ weight.T + bias for text, (weight, bias) in layers]
        return encode_images(self.model, images, prompts)

    def encode(self, rows: list[list[Position]]) -> Tensor:
        """Unit text features under the deep prompts, (N, E)."""
        return encode_text(self.model, rows, self.deep)
