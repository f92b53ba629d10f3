"""PromptSRC (arXiv:2307.06948) written out: prompts in both towers, the loss in loops, the Gaussian mean of whole runs.

Letters: B images, K classes, C prompts a layer, D text width, W image width, E embedding size."""

import math
from dataclasses import dataclass, field
from typing import Any

import open_clip
import torch
from torch import Tensor

from tests.reference.slow_maple import encode_images, encode_text
from tests.reference.slow_training import SlowTraining
from tests.reference.whole_prompt import Position


def template_features(model: Any, names: list[str], templates: list[str]) -> Tensor:
    """Unit features of the mean of raw text features, (K, E)."""
    rows = []
    for name in names:
        texts = [template.replace("{}", name.replace("_", " ")) for template in templates]
        with torch.no_grad():
            mean = sum(model.encode_text(open_clip.tokenize([text]))[0] for text in texts) / len(texts)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


@dataclass
class SlowPromptSRC(SlowTraining):
    """A run on images.

    Attributes:
        text_prompts: of the text layers after the first, (C, D) each.
        image_prompts: of the image layers, the input's first, (C, W) each.
        templates: of the teacher.
    """

    text_prompts: list[Tensor] = field(default_factory=list)
    image_prompts: list[Tensor] = field(default_factory=list)
    templates: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.text_prompts = [self.learn(prompt) for prompt in self.text_prompts]
        self.image_prompts = [self.learn(prompt) for prompt in self.image_prompts]
        self.learned += [*self.text_prompts, *self.image_prompts]

    def image_features(self, images: Tensor) -> Tensor:
        """Unit features of images (B, 3, H, W) under the prompts, (B, E)."""
        return encode_images(self.model, images, self.image_prompts)

    def encode(self, rows: list[list[Position]]) -> Tensor:
        """Unit text features under the deep prompts, (K, E)."""
        return encode_text(self.model, rows, self.text_prompts)

    def losses(self, images: Tensor, labels: list[int]) -> dict[str, Tensor]:
        """The weighted parts of the loss for images (B, 3, H, W)."""
        t = template_features(self.model, self.names, self.templates)
        with torch.no_grad():
            f0 = self.model.encode_image(images)
        f0 = f0 / f0.norm(dim=-1, keepdim=True)
        f, (w, _) = self.image_features(images), self.prompt_features(self.context)
        divergence: Any = 0
        for image, frozen in zip(f, f0, strict=True):
            learned = torch.stack([self.inverse_temperature * (image * feature).sum() for feature in w])
            original = torch.stack([self.inverse_temperature * (frozen * feature).sum() for feature in t])
            p, p0 = (scores.exp() / scores.exp().sum() for scores in (learned, original))
            divergence = divergence + sum(p0[k] * (p0[k].log() - p[k].log()) for k in range(len(w)))
        return {
            **super().losses(images, labels),
            "loss_text": 25 * sum((w[k] - t[k]).abs().sum() for k in range(len(w))) / w.numel(),
            "loss_image": 10 * sum((f[b] - f0[b]).abs().sum() for b in range(len(f))) / f.numel(),
            "loss_logits": divergence / (len(f) * len(w)),
        }


def gaussian_mean(epochs: list[dict[str, Tensor]], mean: float, std: float) -> dict[str, Tensor]:
    """The tensors of epochs 1 … E, weighted by a Gaussian around epoch `mean`."""
    weights = [math.exp(-((number - mean) ** 2) / (2 * std**2)) for number in range(1, len(epochs) + 1)]
    return {
        name: sum(weight * tensors[name] for weight, tensors in zip(weights, epochs, strict=True)) / sum(weights)
        for name in epochs[0]
    }
