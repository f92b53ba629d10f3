"""Nearest class mean: the simplest learner of classes, set by set (SimpleCIL, arXiv:2303.07338).

    μ_c = mean of I over the training images of class c                 class mean
    logits = cos(I, μ_c) / τ

I are CLIP's unit image features; the published code averages them before they are normalised. No text is used.
A class's mean depends on its own images alone, so learning further classes changes no earlier score.

Letters: B images, n training images, k views of each, N classes, E embedding size.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.scoring import scaled_scores

from .heads import Head, HeadTrainer, Images
from .traits import TRAITS


class NearestMeanLearner(Head):
    """The class means.

    Attributes:
        means: μ, (N, E).
    """

    means: Tensor

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names, templates)
        self.register_buffer("means", self.features.new_zeros(len(class_names), clip.embed_dim))

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """See `Head.fit`; nothing is chosen."""
        members = F.one_hot(labels, len(self.class_names)).T.float()  # (N, n)
        self.means.copy_(members @ features.mean(dim=1) / members.sum(dim=1, keepdim=True).clamp(min=1))

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits. Shape: (B, N)"""
        return scaled_scores(image, F.normalize(self.means, dim=-1)[None], self.clip.logit_scale)

    def per_class_tensors(self) -> tuple[str, ...]:
        """See `Prompts.per_class_tensors`."""
        return ("means",)

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        return {"class_means": F.normalize(self.means, dim=-1)}, "exp(logit_scale) * image_features @ class_means.T"


class NearestMean(HeadTrainer):
    """Trains a `NearestMeanLearner`; config node `TRAINER.NEARESTMEAN`."""

    learner_class = NearestMeanLearner
    traits = TRAITS["NearestMean"]
