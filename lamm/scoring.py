"""The score of an image and a class, from CLIP and prompts: what training, testing and prediction share.

Letters: B images, G prefixes (1, or one an image), N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.model import ClipModel
from lamm.clip.text import encode_texts
from lamm.prompts import fill_template, tokenize


def scaled_scores(image: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """cos(I, ψ) / τ in fp32.

    Args:
        image: unit features, (B, E).
        text: unit features, (1, N, E) or (B, N, E).
        logit_scale: ln(1/τ).

    Returns:
        (B, N)
    """
    image, text = image.float(), text.float()
    cosines = image @ text[0].T if text.shape[0] == 1 else torch.einsum("be,bne->bn", image, text)
    return logit_scale.float().exp() * cosines


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


class TemplatePrompts(nn.Module):
    """Answers as a `PromptLearner` does where images are scored; a class's feature is the mean over the templates.

    Args:
        clip: the frozen CLIP model.
        class_names: one a class, in label order.
        templates: with `{}` for the class name; of several, unit features are averaged.

    Attributes:
        features: unit features of the classes, fp32, (1, N, E).

    Raises:
        PromptError: a template without exactly one `{}`, or a prompt longer than the text tower takes.
    """

    features: Tensor
    per_image = False

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__()
        of_templates = []
        with torch.no_grad(), clip.autocast():
            for template in templates:
                prompts = [fill_template(template, name) for name in class_names]
                features = encode_texts(clip.text, tokenize(clip.tokenizer, prompts, clip.text.context_length))
                of_templates.append(features)
        units = torch.stack([F.normalize(features.float(), dim=-1) for features in of_templates])  # (templates, N, E)
        self.register_buffer("features", F.normalize(units.mean(dim=0), dim=-1)[None], persistent=False)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the prompts. Shape: (1, N, E)"""
        return self.features

    def vision_prompts(self) -> None:
        """None: the image tower runs as it is."""
        return

    def label_bank(self) -> None:
        """None: no labels are learned."""
        return
