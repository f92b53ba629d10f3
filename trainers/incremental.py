"""One step of class-incremental learning (arXiv:2312.08212, Table 2).

Step t learns the classes of set t, starting from the context that step t − 1 left. The labels of earlier sets stay what
their steps wrote.

Letters: B images, G prefixes (1, or one an image), N classes, E embedding size.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.datasets.seen_classes import SeenSet
from lamm.errors import ConfigError
from lamm.run.incremental_steps import earlier_steps, step_of
from lamm.scores import scaled_scores

from .earlier_steps import continue_from, earlier_learner
from .incremental_scores import incremental_metrics


class IncrementalStep:
    """One step of a trainer.

    Args:
        trainer: a `PromptTrainer` whose learner, of this step's classes, is built.

    Attributes:
        sets: the sets of classes up to this step's, which is the last.
        earlier: prompts of the sets before it: their labels are buffers that hold what their steps wrote, what else
            they learn is the current learner's.

    Raises:
        ConfigError: a data set that can't be cut, or context that belongs to the classes of one step.
        CheckpointError: a step before has not left what this one needs.
    """

    def __init__(self, trainer: Any) -> None:
        cfg, learner = trainer.cfg, trainer.learner
        self._trainer = trainer
        self.sets: list[SeenSet] = list(getattr(trainer.dm.dataset, "seen_sets", ()))
        if not self.sets:
            raise ConfigError(f"data set {cfg.DATASET.NAME} can't be learned step by step: leave INCREMENTAL.STEPS out")
        if trainer.learner_class is not None and learner.per_class_tensors():
            raise ConfigError(
                f"{cfg.TRAINER.NAME} has class-specific context (CSC), which no later step can take over: "
                "INCREMENTAL.STEPS needs TRAINER.COOP.CSC False"
            )
        folders = earlier_steps(cfg.OUTPUT_DIR, step_of(cfg))
        if folders and any(value.requires_grad for value in learner.parameters()):
            continue_from(folders[-1] / trainer.registered_name, learner, cfg.TEST.FINAL_MODEL)
        self.earlier = [
            earlier_learner(trainer, seen.class_names, folder) for seen, folder in zip(self.sets, folders, strict=False)
        ]
        self._frozen_text: dict[int, Tensor] = {}

    @classmethod
    def of(cls, trainer: Any) -> "IncrementalStep | None":
        """The step that the trainer's config asks for; None: it asks for none."""
        return cls(trainer) if step_of(trainer.cfg) else None

    def among_seen(
        self, parts: dict[str, Tensor], image: Tensor, logits: Tensor, labels: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The loss among all classes seen so far, where `INCREMENTAL.SEEN_AS_NEGATIVES` asks for it.

        What has a softmax over classes, the cross-entropy and L_KD (Eq. 7), then has it over this set's classes and the
        earlier ones, whose features are constants: the context does not move in order to push them away. L_WC and L_COS
        (Eq. 5, 6) are about embeddings that move, and stay those of this set.

        Args:
            parts: of the loss among this set's own classes.
            image: unit image features, (B, E).
            logits: the learned scores of this set's classes, (B, N).
            labels: within this set, (B,).

        Returns:
            The parts, and the logits that the cross-entropy is over: this set's classes, then those of sets 1, 2, ….
        """
        if not (self.earlier and self._trainer.cfg.INCREMENTAL.SEEN_AS_NEGATIVES):
            return parts, logits
        scale = self._trainer.clip.logit_scale
        negatives = [scaled_scores(image, self._text(place, image), scale) for place in range(len(self.earlier))]
        logits = torch.cat([logits, *negatives], dim=1)
        parts = {**parts, "loss_ce": F.cross_entropy(logits, labels)}
        if "loss_kd" in parts:
            learner = self._trainer.learner
            teacher = torch.cat([one.teacher_features(image) for one in (learner, *self.earlier)], dim=1)
            parts["loss_kd"] = learner.distillation_loss(logits, image, teacher)
        return parts, logits

    def metrics(self) -> dict[str, float]:
        """For every set so far its accuracy (a) among its own classes and (b) among all classes seen, in percent."""
        return incremental_metrics(self._trainer, self.sets, [*self.earlier, self._trainer.learner])

    @torch.no_grad()
    def _text(self, place: int, image: Tensor) -> Tensor:
        """Constant text features of an earlier set, encoded once where nothing in them is learned. Shape: (G, N, E)"""
        learner = self.earlier[place]
        if place in self._frozen_text:
            return self._frozen_text[place]
        text: Tensor = learner.text_features(image)
        if not any(value.requires_grad for value in learner.parameters()):
            self._frozen_text[place] = text
        return text
