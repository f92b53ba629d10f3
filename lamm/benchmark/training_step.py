"""One training step of a prompt learner on random images, as a trainer takes it (amp's loss scaling left out).

Letters: B images, E embedding size.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from lamm.benchmark.measuring import finish
from lamm.parallel.gathering import average_gradients, encoded_share, gather_shares
from lamm.parallel.ranks import Ranks
from lamm.scores import scaled_scores

SHOTS = 16.0
STAGES = ("image", "forward", "backward", "optimizer")


class TrainingStep:
    """A learner with a batch, an optimizer and a precision.

    Args:
        learner: a prompt learner on its device.
        optimizer: of the learner's parameters.
        batch: B.
        precision: what the towers run in while the step is taken.
        teacher_each_step: encode the teacher anew at every step, as the original code does.
        cached: image features are given, as with `INPUT.CACHE_VIEWS`; only for learners without vision prompts.
        ranks: the processes that share the step out; each is to have such a step.
    """

    def __init__(
        self,
        learner: Any,
        optimizer: Optimizer,
        batch: int,
        precision: str,
        teacher_each_step: bool = False,
        cached: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        self.learner = learner
        self.optimizer = optimizer
        self.precision = precision
        self.teacher_each_step = teacher_each_step
        self.cached = cached
        self.ranks = ranks or Ranks()
        clip = learner.clip
        generator, self.device = torch.Generator().manual_seed(0), clip.logit_scale.device
        size = clip.image_size
        self.images = torch.randn(batch, 3, size, size, generator=generator).to(self.device)
        self.image = F.normalize(torch.randn(batch, clip.embed_dim, generator=generator), dim=-1).to(self.device)
        self.labels = (torch.arange(batch) % len(learner.class_names)).to(self.device)

    def text_side(self) -> None:
        """Student, teacher, loss and backward, given the image features."""
        self.forward(self.image).backward()

    def whole(self) -> None:
        """The image tower, if features are not cached, the text side, and the optimizer's step."""
        self.forward(self.image_features()).backward()
        self.update()

    def in_stages(self) -> dict[str, float]:
        """Seconds of each of `STAGES` in one step; `forward` is that of student, teacher and loss."""
        seconds: dict[str, float] = {}

        @contextmanager
        def timed(stage: str) -> Iterator[None]:
            finish(self.device)
            began = time.perf_counter()
            yield
            finish(self.device)
            seconds[stage] = time.perf_counter() - began

        with timed("image"):
            image = self.image_features()
        with timed("forward"):
            loss = self.forward(image)
        with timed("backward"):
            loss.backward()
        with timed("optimizer"):
            self.update()
        return seconds

    def image_features(self) -> Tensor:
        """Unit image features of the batch. Shape: (B, E)"""
        self.learner.clip.precision = self.precision
        if self.cached:
            return self.image
        share = encoded_share(self.ranks, len(self.images))
        images = self.images[share.start : share.stop]
        own = self.learner.clip.image_features(images, self.learner.vision_prompts())
        return gather_shares(own, len(self.images), self.ranks)

    def forward(self, image: Tensor) -> Tensor:
        """The loss, given image features (B, E)."""
        self.learner.clip.precision = self.precision
        if self.teacher_each_step:
            self._forget_teacher()
        self.optimizer.zero_grad()
        text = self.learner.text_features(image)
        logits = scaled_scores(image, text, self.learner.clip.logit_scale)
        parts = self.learner.loss_parts(text, image, logits, self.labels, SHOTS)
        return torch.stack(list(parts.values())).sum()

    def update(self) -> None:
        """The optimizer's step, with the gradients of all processes."""
        average_gradients(self.learner.parameters(), self.ranks)
        self.optimizer.step()

    def gradient(self, precision: str) -> Tensor:
        """The text side's gradient at a precision, all parameters in one vector of float64."""
        before, self.precision = self.precision, precision
        self._forget_teacher()
        self.text_side()
        self._forget_teacher()
        self.precision = before
        found = [parameter.grad for parameter in self.learner.parameters() if parameter.grad is not None]
        return torch.cat([gradient.flatten().double() for gradient in found])

    def _forget_teacher(self) -> None:
        if hasattr(self.learner, "forget_teacher"):
            self.learner.forget_teacher()
