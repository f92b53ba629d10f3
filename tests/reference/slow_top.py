"""A tuned image tower beside the frozen one (TopLAMM), and LoRA in both towers (CLIP-LoRA): other weights are put into
whole open_clip models, nothing is cut.

Letters: B images, N classes, E embedding size, D width, r rank."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call

from tests.reference.slow_training import SlowTraining


def unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=-1, keepdim=True)


@dataclass
class SlowTopLAMM(SlowTraining):
    """A run on images (B, 3, H, W) in which the last blocks of the image tower are learned beside the labels.

    Attributes:
        blocks: K.
        weight: w of s = [w cos(f, ψ(z)) + (1 − w) cos(f0, ψ(z))] / τ.
        gram: weight of mean_ij |cos(f_i, f_j) − cos(f0_i, f0_j)|.
    """

    blocks: int = 1
    weight: float = 0.3
    gram: float = 0.5
    tower: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        layers = len(self.model.visual.transformer.resblocks)
        tuned = tuple(f"transformer.resblocks.{layers - 1 - back}." for back in range(self.blocks))
        self.tower = {
            name: self.learn(value)
            for name, value in self.model.visual.named_parameters()
            if name.startswith((*tuned, "ln_post", "proj"))
        }
        self.learned += list(self.tower.values())

    def losses(self, images: Tensor, labels: list[int]) -> dict[str, Tensor]:
        """The weighted parts of the loss: LAMM's with mixed scores, its teacher seeing f0, and the Gram term."""
        frozen = unit(self.model.visual(images)).detach()
        tuned = unit(functional_call(self.model.visual, self.tower, (images,)))
        z, y = self.prompt_features(None)
        ce, kd = [], []
        for f, f0, label in zip(tuned, frozen, labels, strict=True):
            s = torch.stack([self.weight * (f * t).sum() + (1 - self.weight) * (f0 * t).sum() for t in z])
            s, o = s * self.inverse_temperature, torch.stack([self.inverse_temperature * (f0 * t).sum() for t in y])
            ce.append(torch.logsumexp(s, 0) - s[label])
            p, q = (torch.exp(v / 2 - torch.logsumexp(v / 2, 0)) for v in (s, o))
            kd.append(-4 * sum(p[i] * torch.log(q[i]) for i in range(len(p))))
        pairs = [(i, j) for i in range(len(images)) for j in range(len(images))]
        away = [((tuned[i] * tuned[j]).sum() - (frozen[i] * frozen[j]).sum()).abs() for i, j in pairs]
        wc = sum((now - start).pow(2).sum() for now, start in zip(self.labels, self.initial, strict=True))
        return {
            "loss_ce": torch.stack(ce).mean(),
            "loss_gram": self.gram * torch.stack(away).mean(),
            "loss_wc": wc / self.shots,
            "loss_cos": torch.stack([1 - (a * b.detach()).sum() for a, b in zip(z, y, strict=True)]).mean(),
            "loss_kd": 0.05 * torch.stack(kd).mean(),
        }


def with_low_rank(tower: Any, blocks: str, down: list[Tensor], up: list[Tensor]) -> dict[str, Tensor]:
    """Weights of a tower's q, k, v projections, W + 1/√r · B A for each of the three, by parameter name.

    Args:
        tower: a module that has the blocks.
        blocks: name of their list.
        down, up: A (3, r, D) and B (3, D, r) of each block.
    """
    weights = dict(tower.named_parameters())
    merged = {}
    for number, (a, b) in enumerate(zip(down, up, strict=True)):
        name = f"{blocks}.{number}.attn.in_proj_weight"
        added = torch.cat([b[part] @ a[part] for part in range(3)]) / a.shape[1] ** 0.5
        merged[name] = weights[name] + added
    return merged


def low_rank_logits(model: Any, images: Tensor, ids: Tensor, visual: tuple[Any, Any], text: tuple[Any, Any]) -> Tensor:
    """cos(f, t) / τ of images and token ids (N, 77), additions (A, B) of each block merged into both towers. (B, N)"""
    weights = {
        **with_low_rank(model, "visual.transformer.resblocks", *visual),
        **with_low_rank(model, "transformer.resblocks", *text),
    }
    model = copy.deepcopy(model)
    for name in weights:  # parameters are not differentiated through `functional_call` unless they are replaced
        model.get_parameter(name).requires_grad_(False)
    image, words, scale = functional_call(model, weights, (images, ids))
    return scale * unit(image) @ unit(words).T
