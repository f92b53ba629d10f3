"""The score of an image and a class, from CLIP and prompts: what training, testing and prediction share.

Letters: B images, G prefixes (1, or one an image), N classes, E embedding size.
"""

from typing import Any

import torch
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.scores import scaled_scores


class Scoring:
    """What has a CLIP and prompts, and so can score images.

    Attributes:
        clip: the frozen CLIP model.
        learner: the prompts; a `PromptLearner`, or `TemplatePrompts` where nothing is learned.
    """

    clip: ClipModel
    learner: Any

    @property
    def prompts_vision(self) -> bool:
        """Whether the prompts change what the image tower computes."""
        return self.learner.vision_prompts() is not None

    def image_features(self, images: Tensor) -> Tensor:
        """Unit image features, fp32, of the frozen tower under the vision prompts, if any. Shape: (B, E)

        Args:
            images: (B, 3, H, W); or (B, E), cached features, which are returned as they are.
        """
        return images if images.ndim == 2 else self.clip.image_features(images, self.learner.vision_prompts())

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the current prompts, fp32; for `image` see `PromptLearner`. Shape: (G, N, E)"""
        return self.learner.text_features(image)

    @torch.no_grad()
    def scores(self, images: Tensor, text: Tensor | None = None) -> Tensor:
        """Logits cos(I, ψ) / τ. Shape: (B, N)

        Args:
            images: of `image_features`.
            text: unit text features that were encoded before, (G, N, E); None encodes them for these images.
        """
        image = self.image_features(images)
        return scaled_scores(image, self.text_features(image) if text is None else text, self.clip.logit_scale)
