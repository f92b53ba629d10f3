"""Training steps of every trainer without data or weights, to measure what they cost."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from yacs.config import CfgNode

from lamm.benchmark.class_names import class_names
from lamm.benchmark.original_encoder import OriginalEncoder
from lamm.benchmark.training_step import TrainingStep
from lamm.clip.loading import wrap_clip
from lamm.clip.untrained import TINY
from lamm.engine import build_optimizer, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.parallel.ranks import Ranks, current_ranks
from lamm.parallel.text_encoder import SharedOutTextEncoder
from lamm.run.config_files import trainer_config

from .base import PromptTrainer
from .config import extend_cfg

NOISE = 0.01  # on the learned vectors: a few steps from the start, every part of the loss has a gradient
SMALLEST_BATCH = 4  # the configs' batches, but for CoCoOp's, which is 1


class RandomSteps:
    """Makes training steps of one trainer, on class names of 1, 2 and 3 sub-tokens.

    Args:
        trainer: it must learn something.
        model: an open_clip model, on its device.
        backbone: the model's name.
        classes: N.
        chunk: `TRAINER.TEXT_CHUNK` of our path.
    """

    def __init__(self, trainer: type[PromptTrainer], model: nn.Module, backbone: str, classes: int, chunk: int) -> None:
        self._trainer, self._model, self._chunk = trainer, model, chunk
        self._tiny = backbone == TINY
        self._names = class_names(wrap_clip(model, backbone).tokenizer, classes)

    def fast(self, precision: str, cached: bool = False) -> TrainingStep:
        """Our path, shared out over the current processes; `cached` has no effect on trainers that prompt the tower."""
        cfg, ranks = self._config("TRAINER.TEXT_CHUNK", self._chunk), current_ranks()
        learner = self._learner(cfg, self._names)
        if ranks.many:
            learner.encode_with(SharedOutTextEncoder(learner.text_encoder, ranks))
        return self._step(learner, cfg, precision, cached=cached and learner.vision_prompts() is None, ranks=ranks)

    def plain(self, classes: int) -> TrainingStep:
        """The original code's path with the first names: all 77 positions, in fp32, the teacher at each step."""
        cfg = self._config("TRAINER.LAMM.TEACHER", "prompt")
        learner = self._learner(cfg, self._names[:classes])
        learner.encode_with(OriginalEncoder(self._model))
        return self._step(learner, cfg, "fp32", teacher_each_step=True)

    def _config(self, *override: Any) -> CfgNode:
        """The trainer's own config for the backbone, with one key set."""
        cfg, trainer = get_cfg_default(), self._trainer
        extend_cfg(cfg)
        file = trainer_config(trainer.__name__, trainer.tiny_config if self._tiny else trainer.default_config)
        merge_config(cfg, [str(file)], [str(word) for word in override])
        return cfg

    def _learner(self, cfg: CfgNode, names: Sequence[str]) -> Any:
        """A learner a few steps from its start, the same at every call."""
        torch.manual_seed(0)
        clip = wrap_clip(self._model, "random weights")
        learner = self._trainer.make_learner(cfg, clip, names).to(clip.logit_scale.device)
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter.add_(NOISE * torch.randn(parameter.shape).to(parameter))
        return learner

    @staticmethod
    def _step(
        learner: Any,
        cfg: CfgNode,
        precision: str,
        teacher_each_step: bool = False,
        cached: bool = False,
        ranks: Ranks | None = None,
    ) -> TrainingStep:
        batch = max(SMALLEST_BATCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE)
        optimizer = build_optimizer(learner, cfg.OPTIM)
        return TrainingStep(learner, optimizer, batch, precision, teacher_each_step, cached, ranks)
