"""The prompt learners that go through the contracts, small batches for them, and what they should equal."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.label_alignment import AlignmentSettings, LabelAlignmentMixin
from lamm_trainers.lamm import LAMMLearner
from lamm_trainers.prompt_learner import PromptLearner
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.scores import scaled_scores

# Underscores, a full stop swallowed by the name, a name of one sub-token, and one name twice.
NAMES = ["crane", "german_shepherd", "C++", "car (red)", "crane"]
WORDS = "a photo of a"
SHOTS = 4.0


class CoOpLAMMLearner(LabelAlignmentMixin, CoOpLearner):
    """CoOp's context and aligned labels."""


# Constructor arguments of CoOp's variants.
CONTEXTS: dict[str, dict[str, Any]] = {
    "words": {"context_init": WORDS},
    "random": {"n_ctx": 3},
    "middle": {"n_ctx": 3, "position": "middle"},
    "front": {"n_ctx": 3, "position": "front"},
    "csc": {"n_ctx": 2, "class_specific": True},
    "csc_middle": {"n_ctx": 2, "class_specific": True, "position": "middle"},
}
LABELS = ("name", "single", "released")

Build = Callable[..., Any]


def lamm(clip: ClipModel, names: list[str] = NAMES, **settings: Any) -> LAMMLearner:
    return LAMMLearner(clip, names, alignment=AlignmentSettings(**settings))


def coop(clip: ClipModel, names: list[str] = NAMES, variant: str = "words", **_: Any) -> CoOpLearner:
    torch.manual_seed(5)
    return CoOpLearner(clip, names, **CONTEXTS[variant])


def coop_lamm(clip: ClipModel, names: list[str] = NAMES, variant: str = "words", **settings: Any) -> CoOpLAMMLearner:
    torch.manual_seed(5)
    return CoOpLAMMLearner(clip, names, **CONTEXTS[variant], alignment=AlignmentSettings(**settings))


def fixed(clip: ClipModel, names: list[str] = NAMES, **_: Any) -> PromptLearner:
    return PromptLearner(clip, names)


def _bind(build: Build, **options: Any) -> Build:
    return lambda clip, names=NAMES, **more: build(clip, names, **{**options, **more})


BASES: dict[str, Build] = {f"CoOp-{variant}": _bind(coop, variant=variant) for variant in CONTEXTS}
ALIGNED: dict[str, Build] = {
    **{f"LAMM-{tokens}": _bind(lamm, label_tokens=tokens) for tokens in LABELS},
    **{
        f"CoOp_LAMM-{variant}-{tokens}": _bind(coop_lamm, variant=variant, label_tokens=tokens)
        for variant, options in CONTEXTS.items()
        for tokens in LABELS
        if tokens != "released" or "position" not in options
    },
}
LEARNERS = {**BASES, **ALIGNED}
# Aligned learners whose labels start as the class names, each with its base learner.
FRESH: dict[str, tuple[Build, Build]] = {
    "LAMM": (_bind(lamm), fixed),
    **{f"CoOp_LAMM-{v}": (_bind(coop_lamm, variant=v), _bind(coop, variant=v)) for v in CONTEXTS},
}


def batch(clip: ClipModel, size: int = 6, classes: int = len(NAMES)) -> tuple[Tensor, Tensor]:
    """Unit image features (B, E) and labels (B,)."""
    features = torch.randn(size, clip.embed_dim, generator=torch.Generator().manual_seed(11))
    return F.normalize(features, dim=-1), torch.arange(size) % classes


def loss_parts(learner: Any, images: Tensor, labels: Tensor, shots: float = SHOTS) -> dict[str, Tensor]:
    """The parts of the loss as a trainer adds them up."""
    text = learner.text_features()
    logits = scaled_scores(images, text, learner.clip.logit_scale)
    parts = {"loss_ce": F.cross_entropy(logits, labels)}
    if hasattr(learner, "alignment_loss"):
        parts.update(learner.alignment_loss(text, images, logits, labels, shots))
    return parts


def train(learner: Any, images: Tensor, labels: Tensor, steps: int, rate: float) -> list[dict[str, float]]:
    """Plain SGD on one batch; the parts and the `loss` before each step."""
    optimizer = torch.optim.SGD(learner.parameters(), lr=rate)
    curve = []
    for _ in range(steps):
        parts = loss_parts(learner, images, labels)
        loss = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append({"loss": loss.item(), **{name: part.item() for name, part in parts.items()}})
    return curve
