"""Text features of a run's classes: those of its prompts, and CLIP's own."""

from collections.abc import Sequence

import torch

from lamm.prompts import DEFAULT_CONTEXT
from lamm.results.class_features import ClassFeatures

from .scoring import Scoring
from .template_prompts import TemplatePrompts


@torch.no_grad()
def class_features(scoring: Scoring, class_names: Sequence[str]) -> ClassFeatures:
    """Unit features of the current prompts, beside those of "a photo of a {}." with CLIP as it is."""
    original = TemplatePrompts(scoring.clip, class_names, [f"{DEFAULT_CONTEXT} {{}}."]).text_features()
    return ClassFeatures(list(class_names), scoring.text_features()[0], original[0])
