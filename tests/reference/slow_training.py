"""Training written out: whole 77-position prompts, a loss in loops (Eq. 5–9), autograd and SGD by hand.

Letters: B images, N classes, E embedding size.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.reference.whole_prompt import Position, assemble, encode, initial_labels, read_prompt


@dataclass
class SlowTraining:
    """A run on given image features.

    Attributes:
        model: an open_clip `CLIP`.
        names: class names.
        inverse_temperature: 1/τ.
        shots: n.
        context: learned context vectors (C, D); None: the words stay.
        words: the words before the name.
        aligned: whether labels are learned and held by the loss; False: the names stay, and cross-entropy is left.
        label_tokens, teacher, cos_over, kd_direction: the settings of the same names.
        released_length: m of `released`; None: the sub-tokens of the shortest name.
        label_start: label vectors to start from, where these are not the original embeddings.
    """

    model: Any
    names: list[str]
    inverse_temperature: float
    shots: float
    context: Tensor | None = None
    words: str = "a photo of a"
    position: str = "end"
    aligned: bool = True
    label_tokens: str = "name"
    teacher: str = "clip"
    cos_over: str = "classes"
    kd_direction: str = "paper"
    released_length: int | None = None
    label_start: list[Tensor] | None = None

    def __post_init__(self) -> None:
        self.parts = [read_prompt(self.words, name) for name in self.names]
        self.initial = initial_labels(self.model, self.parts, self.label_tokens, self.released_length)
        start = self.initial if self.label_start is None else self.label_start
        self.labels = [self.learn(vectors) for vectors in start] if self.aligned else [None] * len(self.names)
        self.learned = [vectors for vectors in self.labels if vectors is not None]
        if self.context is not None:
            self.context = self.learn(self.context)
            self.learned.append(self.context)

    def learn(self, value: Tensor) -> Tensor:
        """A copy that takes gradients."""
        return value.detach().clone().requires_grad_()

    def learned_prompts(self, context: Tensor | None) -> list[list[Position]]:
        """z: what is learned in its places."""
        return [
            assemble(part, context, label, self.label_tokens, self.position)
            for part, label in zip(self.parts, self.labels, strict=True)
        ]

    def original_prompts(self, context: Tensor | None) -> list[list[Position]]:
        """The original names in the current context."""
        return [assemble(part, context, position=self.position) for part in self.parts]

    def frozen_prompts(self) -> list[list[Position]]:
        """The original names in the frozen template."""
        return [assemble(read_prompt(self.words or "a photo of a", name)) for name in self.names]

    def image_features(self, images: Tensor) -> Tensor:
        """Unit image features (B, E); here they are given."""
        return images

    def encode(self, rows: list[list[Position]]) -> Tensor:
        """Unit text features of the current prompts, (N, E)."""
        return encode(self.model, rows)

    def prompt_features(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """ψ(z) and ψ(y), (N, E) each, under context vectors (C, D)."""
        z = self.encode(self.learned_prompts(context))
        if self.teacher == "clip":
            return z, encode(self.model, self.frozen_prompts())
        return z, self.encode(self.original_prompts(context))

    def features_for(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """ψ(z) and ψ(y) for each of the unit image features (B, E); here the same for all."""
        return [self.prompt_features(self.context)] * len(images)

    def losses(self, images: Tensor, labels: list[int]) -> dict[str, Tensor]:
        """The weighted parts of the loss for images, or for unit image features (B, E)."""
        ce, kd, distances = [], [], []
        images = self.image_features(images)
        for image, label, (z, y) in zip(images, labels, self.features_for(images), strict=True):
            s = torch.stack([self.inverse_temperature * (image * feature).sum() for feature in z])
            o = torch.stack([self.inverse_temperature * (image * feature).sum() for feature in y])
            ce.append(torch.logsumexp(s, 0) - s[label])
            weights, scored = (s, o) if self.kd_direction == "paper" else (o, s)
            p, q = (torch.exp(v / 2 - torch.logsumexp(v / 2, 0)) for v in (weights, scored))
            kd.append(-4 * sum(p[i] * torch.log(q[i]) for i in range(len(p))))
            chosen = range(len(self.names)) if self.cos_over == "classes" else [label]
            distances += [1 - (z[i] * y[i].detach()).sum() for i in chosen]
        if not self.aligned:
            return {"loss_ce": torch.stack(ce).mean()}
        cos = torch.stack(distances).mean()
        if self.cos_over == "batch" and len(set(labels)) == 1:
            cos = cos * 0
        wc = sum((now - start).pow(2).sum() for now, start in zip(self.labels, self.initial, strict=True))
        return {
            "loss_ce": torch.stack(ce).mean(),
            "loss_wc": wc / self.shots,
            "loss_cos": cos,
            "loss_kd": 0.05 * torch.stack(kd).mean(),
        }

    def train(self, images: Tensor, labels: list[int], steps: int, rate: float) -> list[dict[str, float]]:
        """Plain SGD; the parts and the `loss` before each step."""
        curve = []
        for _ in range(steps):
            parts = self.losses(images, labels)
            loss = sum(parts.values())
            gradients = torch.autograd.grad(loss, self.learned, allow_unused=True)
            with torch.no_grad():
                for value, gradient in zip(self.learned, gradients, strict=True):
                    if gradient is not None:
                        value -= rate * gradient
            curve.append({"loss": loss.item(), **{name: part.item() for name, part in parts.items()}})
        return curve
