"""One training step of a prompt learner on random images, as a trainer takes it.

Letters: B images, E embedding size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from lamm.scores import scaled_scores

SHOTS = 16.0


class TrainingStep:
    """A learner with a batch, an optimizer and a precision.

    Args:
        learner: a prompt learner on its device.
        optimizer: of the learner's parameters.
        batch: B.
        precision: what the towers run in while the step is taken.
        teacher_each_step: encode the teacher anew at every step, as the original code does.
    """

    def __init__(
        self, learner: Any, optimizer: Optimizer, batch: int, precision: str, teacher_each_step: bool = False
    ) -> None:
        self.learner = learner
        self.optimizer = optimizer
        self.precision = precision
        self.teacher_each_step = teacher_each_step
        clip = learner.clip
        generator, device = torch.Generator().manual_seed(0), clip.logit_scale.device
        size = clip.image_size
        self.images = torch.randn(batch, 3, size, size, generator=generator).to(device)
        self.image = F.normalize(torch.randn(batch, clip.embed_dim, generator=generator), dim=-1).to(device)
        self.labels = (torch.arange(batch) % len(learner.class_names)).to(device)

    def text_side(self) -> None:
        """Student, teacher, loss and backward, given the image features."""
        self.learner.clip.precision = self.precision
        self._backward(self.image)

    def whole(self) -> None:
        """The image tower, the text side, and the optimizer's step."""
        self.learner.clip.precision = self.precision
        self._backward(self.learner.clip.image_features(self.images, self.learner.vision_prompts()))
        self.optimizer.step()

    def gradient(self, precision: str) -> Tensor:
        """The text side's gradient at a precision, all parameters in one vector of float64."""
        self.learner.clip.precision = precision
        self._forget_teacher()
        self._backward(self.image)
        self._forget_teacher()
        found = [parameter.grad for parameter in self.learner.parameters() if parameter.grad is not None]
        return torch.cat([gradient.flatten().double() for gradient in found])

    def _backward(self, image: Tensor) -> None:
        if self.teacher_each_step:
            self._forget_teacher()
        self.optimizer.zero_grad()
        text = self.learner.text_features(image)
        logits = scaled_scores(image, text, self.learner.clip.logit_scale)
        parts = self.learner.loss_parts(text, image, logits, self.labels, SHOTS)
        torch.stack(list(parts.values())).sum().backward()

    def _forget_teacher(self) -> None:
        if hasattr(self.learner, "forget_teacher"):
            self.learner.forget_teacher()
