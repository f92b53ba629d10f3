"""CLIP-LoRA (Low-Rank Few-Shot Adaptation of Vision-Language Models, arXiv:2405.18541): LoRA in both towers.

    W' x = W x + 1/√r · B A dropout(x)     for W of queries, keys and values in all blocks of both towers, r = 2
    L    = −log softmax_i cos(f, t_i) / τ   f, t_i by the changed towers, t_i of "a photo of a <class name>."

A starts uniform ±1/√D, B at zero; 184,320 trained numbers for ViT-B/16. All texts are encoded at each step.

Published: AdamW, rate 2e-4, decay 0.01, batches of 32, 500 steps per shot, cosine over the steps to 1e-6. Here, in the
engine's terms: the rate follows the cosine from epoch to epoch, to 0; the last partial batch of an epoch is left out.
With `OPTIM.MAX_EPOCH` 0 there are as many epochs as `TRAINER.CLIPLORA.STEPS_PER_SHOT` · shots steps take: of N classes
about 16000 / N, which is 160 for a hundred. The words before the class names are encoded once for all classes, so the
classes share those positions' dropout masks.
"""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.low_rank import LowRank, LowRankTextEncoder
from lamm.clip.model import ClipModel
from lamm.clip.top import TowerTop
from lamm.log import logger

from .base import PromptTrainer
from .prompt_learner import PromptLearner
from .traits import TRAITS


class CLIPLoRALearner(PromptLearner):
    """Hand-written prompts, encoded by towers with low-rank additions.

    Args:
        clip: the frozen CLIP model; its image tower is a vision transformer.
        class_names: one per class.
        rank: r.
        dropout: share of an addition's input that is set to zero in training.

    Attributes:
        image_tower: the whole image tower with its additions.
        text_low_rank: the text tower's additions, one per block.

    Raises:
        BackboneError: a tower whose blocks can't be run in parts, or whose image side is not a vision transformer.
    """

    def __init__(self, clip: ClipModel, class_names: Sequence[str], rank: int = 2, dropout: float = 0.25) -> None:
        super().__init__(clip, class_names)
        self.image_tower = TowerTop(clip, None, "lora", rank, dropout)
        self.text_low_rank = nn.ModuleList(LowRank(clip.text.width, rank, dropout) for _ in clip.text.blocks)
        self.text_encoder = LowRankTextEncoder(clip.text, lambda: self.text_low_rank, clip.name)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.CLIPLORA`."""
        return {"rank": cfg.TRAINER.CLIPLORA.RANK, "dropout": cfg.TRAINER.CLIPLORA.DROPOUT}

    @property
    def changes_images(self) -> bool:
        """Always."""
        return True

    def image_features(self, images: Tensor) -> Tensor:
        """Unit image features f, fp32. Shape: (B, E)"""
        features: Tensor = self.image_tower(self.image_tower.cut(images))
        return features

    def fixed_context(self) -> None:
        """None: the words stay, but what the text tower makes of them changes."""
        return


class CLIPLoRA(PromptTrainer):
    """Trains a `CLIPLoRALearner`; config node `TRAINER.CLIPLORA`."""

    learner_class = CLIPLoRALearner
    traits = TRAITS["CLIPLoRA"]

    def build_model(self) -> None:
        """Count the epochs where the config counts steps, then what every trainer does."""
        if self.cfg.OPTIM.MAX_EPOCH == 0:
            shots = self.cfg.DATASET.NUM_SHOTS
            if shots < 1:
                shots = len(self.dm.dataset.train_x) / self.num_classes
            steps = self.cfg.TRAINER.CLIPLORA.STEPS_PER_SHOT * shots
            cfg = self.cfg.clone()
            cfg.defrost()
            cfg.OPTIM.MAX_EPOCH = self.max_epoch = math.ceil(steps / len(self.train_loader_x))
            cfg.freeze()
            self.cfg = cfg
            logger.info("%d epochs of %d steps", self.max_epoch, len(self.train_loader_x))
        super().build_model()
