"""A classifier of new images, from the folder of a run alone.

Letters: B images, N classes.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.engine import build_transform
from lamm.errors import BackboneError, CheckpointError, ConfigError
from lamm.inference.run_folder import RunFolder

from .base import PromptTrainer
from .checkpoints import EXTRA, load_learned
from .config import extend_cfg
from .run_checkpoint import RunCheckpoint
from .scoring import Scoring


class Classifier(Scoring):
    """Scores images against classes with a CLIP and prompts.

    Args:
        clip: the frozen CLIP model.
        learner: the prompts; see `Scoring`.
        class_names: one a class, in label order.
        transform: of the test images, from an image file to a tensor (3, H, W); see `PhotoFiles`.
        run: the run that it comes from, if any.
        notes: what a user should know about it, a line each.
    """

    def __init__(
        self,
        clip: ClipModel,
        learner: Any,
        class_names: Sequence[str],
        transform: Callable[[Any], Tensor] | None = None,
        run: RunFolder | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.clip, self.learner, self.class_names = clip, learner.eval(), list(class_names)
        self.transform, self.run, self.notes = transform, run, list(notes)
        self._text: Tensor | None = None

    @classmethod
    def from_run(
        cls,
        folder: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        precision: str = "",
        backbone_path: str = "",
        extensions: Sequence[Callable[[CfgNode], None]] = (),
    ) -> "Classifier":
        """The classifier that a run tested at its end; of an unfinished run, that of its last checkpoint.

        Args:
            folder: the run's; of one that only tests, the model is read from the folder that it tested.
            device: where to compute.
            precision: in place of the run's `PREC`.
            backbone_path: in place of the run's `MODEL.BACKBONE.PATH`.
            extensions: add the config keys of trainers that are not ours.

        Raises:
            ConfigError: no run's folder, or one of a trainer that is not built on `PromptTrainer`.
            CheckpointError: a run that has learned nothing yet, or whose classes nobody knows.
            BackboneError: CLIP's weights are missing.
        """
        run = RunFolder.open(folder, [*extensions, extend_cfg])
        trainer = run.trainer_class
        if not (isinstance(trainer, type) and issubclass(trainer, PromptTrainer)):
            raise ConfigError(
                f"{run.path} is a run of {run.cfg.TRAINER.NAME}, which is not built on PromptTrainer: "
                "its model can't be made without its data"
            )
        _set(run.cfg, trainer.config_node, precision, backbone_path)
        checkpoint = RunCheckpoint.of_run(run) if trainer.learner_class is not None else None
        class_names = _class_names(run, checkpoint)
        templates = run.classes.templates if run.classes else []
        clip = _clip(run, trainer, torch.device(device))
        learner = trainer.make_learner(run.cfg, clip, class_names, templates).to(device)
        if checkpoint is not None:
            load_learned(learner, checkpoint.state, checkpoint.path)
        with redirect_stdout(StringIO()):
            transform = build_transform(run.cfg, is_train=False)
        notes = [*(checkpoint.notes if checkpoint else []), *_precision_note(run, clip.precision)]
        return cls(clip, learner, class_names, transform, run, notes)

    def logits(self, images: Tensor) -> Tensor:
        """cos(I, ψ) / τ of images (B, 3, H, W) on any device. Shape: (B, N), fp32, where the model is"""
        if self._text is None and not self.learner.per_image:
            with torch.no_grad():
                self._text = self.text_features()
        return self.scores(images.to(self.clip.logit_scale.device, non_blocking=True), self._text)

    def probabilities(self, images: Tensor) -> Tensor:
        """The softmax of `logits`. Shape: (B, N)"""
        return self.logits(images).softmax(dim=-1)


def _set(cfg: CfgNode, node: str, precision: str, backbone_path: str) -> None:
    if precision:
        cfg.TRAINER[node].PREC = precision
    if backbone_path:
        cfg.MODEL.BACKBONE.PATH = backbone_path


def _class_names(run: RunFolder, checkpoint: RunCheckpoint | None) -> list[str]:
    """Of a run that trained, those that its learned tensors belong to; of one that tested, those it tested on."""
    extra = checkpoint.state.get(EXTRA) if checkpoint is not None and not run.only_tests else None
    if isinstance(extra, dict) and "class_names" in extra:
        return list(extra["class_names"])
    if run.classes is None:
        raise CheckpointError(
            f"{run.path} does not say what its classes are called, since an older version made it (no classes.json): "
            "run it again" + (", or give the folder of the training run" if run.only_tests else "")
        )
    return run.classes.class_names


def _clip(run: RunFolder, trainer: type[PromptTrainer], device: torch.device) -> ClipModel:
    try:
        return trainer.make_clip(run.cfg, device)
    except BackboneError as error:
        raise BackboneError(f"{error} (--backbone-path gives the weights file another place)") from error


def _precision_note(run: RunFolder, precision: str) -> list[str]:
    trained = run.results.precision if run.results else precision
    return [] if trained == precision else [f"the run used precision {trained}, here it is {precision}"]
