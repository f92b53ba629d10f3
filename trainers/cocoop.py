"""CoCoOp (Conditional Prompt Learning for Vision-Language Models, arXiv:2203.05557): a context for each image."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.model import ClipModel

from .base import PromptTrainer
from .coop import CoOpLearner
from .lamm import LabelAlignmentMixin
from .prompt_learner import PromptLearner
from .traits import TRAITS

REDUCTION = 16


class CoCoOpLearner(CoOpLearner):
    """Context vectors that a small network shifts by what it reads off the image's feature.

    Args:
        clip: the frozen CLIP model.
        class_names: one per class.
        n_ctx: number of context vectors, where `context_init` is empty.
        context_init: words that the vectors start from, one vector per sub-token; empty: normal, std 0.02.

    Attributes:
        ctx: the vectors, (n_ctx, D).
        meta_net: linear E → E / 16, ReLU, linear E / 16 → D; its output is added to every vector.
    """

    per_image = True

    def __init__(self, clip: ClipModel, class_names: Sequence[str], n_ctx: int = 16, context_init: str = "") -> None:
        super().__init__(clip, class_names, n_ctx, context_init)
        hidden = max(1, clip.embed_dim // REDUCTION)
        self.meta_net = nn.Sequential(
            OrderedDict(
                linear1=nn.Linear(clip.embed_dim, hidden),
                relu=nn.ReLU(inplace=True),
                linear2=nn.Linear(hidden, clip.text.width),
            )
        )

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.COCOOP`."""
        node = cfg.TRAINER.COCOOP
        return {"n_ctx": node.N_CTX, "context_init": node.CTX_INIT}

    def context(self, image: Tensor | None = None) -> Tensor:
        """The context vectors of each image, (B, C, D); without images as they are before the shift, (1, C, D)."""
        if image is None:
            return self.ctx[None]
        return self.ctx + self.meta_net(image.to(self.ctx.dtype))[:, None]


class CoCoOp(PromptTrainer):
    """Trains a `CoCoOpLearner`; config node `TRAINER.COCOOP`."""

    learner_class: type[PromptLearner] = CoCoOpLearner
    traits = TRAITS["CoCoOp"]


class CoCoOpLAMMLearner(LabelAlignmentMixin, CoCoOpLearner):
    """CoCoOp's context, aligned labels."""


class CoCoOp_LAMM(CoCoOp):
    """Trains a `CoCoOpLAMMLearner`; config nodes `TRAINER.COCOOP` and, for the labels, `TRAINER.LAMM`."""

    learner_class = CoCoOpLAMMLearner
    traits = TRAITS["CoCoOp_LAMM"]
