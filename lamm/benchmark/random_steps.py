"""Training steps of any trainer with random weights, on our path and on the original code's.

N stands for the number of classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from lamm.benchmark.steps import OriginalEncoder, TrainingStep, WholeTowerStep, class_names
from lamm.clip.loading import wrap_clip
from lamm.clip.sources import TINY
from lamm.engine import build_optimizer, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.estimator.training import register, trainer_class
from lamm.parallel.ranks import current_ranks
from lamm.parallel.sharing import SharedOutTextEncoder
from lamm.run.plan import trainer_config

NOISE = 0.01  # on the learned vectors: a few steps from the start, every part of the loss has a gradient
SMALLEST_BATCH = 4  # the configs' batches, but for CoCoOp's, which is 1


class RandomSteps:
    """Makes training steps of one trainer, on class names of 1, 2 and 3 sub-tokens.

    Args:
        name: of a trainer, which must learn something.
        model: an open_clip model, on its device.
        backbone: the model's name.
        classes: N.
        chunk: `TRAINER.TEXT_CHUNK` of our path.
    """

    def __init__(self, name: str, model: nn.Module, backbone: str, classes: int, chunk: int) -> None:
        self._trainer, self._model, self._chunk = trainer_class(name), model, chunk
        self._tiny = backbone == TINY
        self._names = class_names(wrap_clip(model, backbone).tokenizer, classes)

    def fast(self, precision: str, cached: bool = False) -> TrainingStep:
        """Our path, shared out over the current processes; `cached` has no effect on trainers that prompt the tower."""
        learner, optimizer, batch = self._parts(self._names, "TRAINER.TEXT_CHUNK", self._chunk)
        ranks, cached = current_ranks(), cached and (not learner.changes_images or hasattr(learner, "top"))
        if ranks.many:
            learner.encode_with(SharedOutTextEncoder(learner.text_encoder, ranks))
        return TrainingStep(learner, optimizer, batch, precision, cached=cached, ranks=ranks)

    def plain(self, classes: int) -> TrainingStep:
        """The original code's path with the first names: all 77 positions, in fp32, the teacher at each step."""
        learner, optimizer, batch = self._parts(self._names[:classes], "TRAINER.LAMM.TEACHER", "prompt")
        learner.encode_with(OriginalEncoder(self._model))
        return TrainingStep(learner, optimizer, batch, "fp32", teacher_each_step=True)

    def ways_to_tune(self, precision: str) -> dict[str, TrainingStep]:
        """Steps of a learner with a tuned top that learn the same blocks in several ways, and one that learns all."""
        learner, _, batch = self._parts(self._names, "TRAINER.TEXT_CHUNK", self._chunk)
        layers, trained = learner.clip.vision_sizes.layers, learner.clip.vision_sizes.layers - learner.top.first
        rate = 1e-4
        optimizer = torch.optim.SGD(learner.parameters(), lr=rate, momentum=0.9)
        return {
            f"last {trained} blocks, tokens cached": TrainingStep(learner, optimizer, batch, precision, cached=True),
            f"last {trained} blocks, from images": TrainingStep(learner, optimizer, batch, precision),
            f"whole tower, last {trained} trained": WholeTowerStep(learner, trained, rate, batch, precision),
            f"whole tower, all {layers} trained": WholeTowerStep(learner, layers, rate, batch, precision),
        }

    def _parts(self, names: Sequence[str], *override: Any) -> tuple[Any, Optimizer, int]:
        """A learner a few steps from its start, the same at every call; its optimizer; the size of a batch.

        They follow the trainer's own config for the backbone, with one key overridden.
        """
        cfg, trainer = get_cfg_default(), self._trainer
        register()(cfg)
        file = trainer_config(trainer.__name__, trainer.tiny_config if self._tiny else trainer.default_config)
        merge_config(cfg, [str(file)], [str(word) for word in override])
        torch.manual_seed(0)
        clip = wrap_clip(self._model, "random weights")
        learner = trainer.make_learner(cfg, clip, names).to(clip.logit_scale.device)
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter.add_(NOISE * torch.randn(parameter.shape).to(parameter))
        batch = max(SMALLEST_BATCH, cfg.DATALOADER.TRAIN_X.BATCH_SIZE)
        return learner, build_optimizer(learner, cfg.OPTIM), batch
