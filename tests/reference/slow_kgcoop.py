"""KgCoOp (arXiv:2303.13283) written out: CoOp's run, and the mean distance to the template's features.

Letters: B images, N classes, E embedding size."""

from dataclasses import dataclass

import torch
from torch import Tensor

from tests.reference.slow_training import SlowTraining
from tests.reference.whole_prompt import encode_texts


@dataclass
class SlowKgCoOp(SlowTraining):
    """A run whose loss has λ L_KG beside the others' parts.

    Attributes:
        template: with `{}` for the class name.
        lambda_kg: λ.
    """

    template: str = "a photo of a {}."
    lambda_kg: float = 8.0

    def losses(self, images: Tensor, labels: list[int]) -> dict[str, Tensor]:
        """The weighted parts of the loss for unit image features (B, E)."""
        distances = []
        for name, (w, _) in zip(self.names, zip(*self.prompt_features(self.context), strict=True), strict=True):
            t = encode_texts(self.model, [self.template.format(name.replace("_", " "))])[0]
            distances.append(1 - torch.dot(w, t) / (w.norm() * t.norm()))
        loss_kg = self.lambda_kg * sum(distances) / len(distances)
        return {**super().losses(images, labels), "loss_kg": loss_kg}
