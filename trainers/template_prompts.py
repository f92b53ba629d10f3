"""Prompts that nothing is learned of: each class's name in one or more templates.

Letters: N classes, E embedding size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.model import ClipModel
from lamm.clip.text import encode_texts
from lamm.prompts import fill_template, tokenize


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
        of_templates = torch.stack([_encode(clip, template, class_names) for template in templates])
        self.register_buffer("features", F.normalize(of_templates.mean(dim=0), dim=-1)[None], persistent=False)

    def text_features(self, image: Tensor | None = None) -> Tensor:
        """Unit text features of the prompts. Shape: (1, N, E)"""
        return self.features

    def vision_prompts(self) -> None:
        """None: the image tower runs as it is."""
        return


@torch.no_grad()
def _encode(clip: ClipModel, template: str, class_names: Sequence[str]) -> Tensor:
    """Unit text features of one template. Shape: (N, E)"""
    prompts = [fill_template(template, name) for name in class_names]
    rows = tokenize(clip.tokenizer, prompts, clip.text.context_length)
    with clip.autocast():
        features = encode_texts(clip.text, rows)
    return F.normalize(features.float(), dim=-1)
