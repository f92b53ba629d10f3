"""KgCoOp (Knowledge-guided Context Optimization, arXiv:2303.13283): CoOp's context, held near hand-written prompts.

    L    = L_CE + λ L_KG                                                             λ = 8
    L_KG = 1 − mean_k cos(w_k, t_k)
            w_k: text feature of class k behind the learned context
            t_k: frozen CLIP's, of the data set's own template with the class name in it

For unit features the squared distance ‖w − t‖² is 2 (1 − cos), so as a mean of squares the same loss has λ = 4.

Letters: G prefixes (here 1), N classes, E embedding size.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from torch import Tensor
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.datasets import DEFAULT_TEMPLATE, template_of
from lamm.prompts import DEFAULT_CONTEXT
from lamm.scoring import TemplatePrompts

from .base import PromptTrainer
from .coop import CoOpLearner
from .lamm import LabelAlignmentMixin
from .prompt_learner import PromptLearner
from .traits import TRAITS


class KgCoOpLearner(CoOpLearner):
    """Context vectors shared by all classes, and a penalty on how far they take the class features.

    Args:
        clip: the frozen CLIP model.
        class_names: one per class.
        n_ctx: number of context vectors, where `context_init` is empty.
        context_init: words that the vectors start from, one vector per sub-token; empty: normal, std 0.02.
        template: of the hand-written prompts, with `{}` for the class name.
        lambda_kg: λ.

    Attributes:
        ctx: the vectors, (n_ctx, D).
    """

    def __init__(
        self,
        clip: ClipModel,
        class_names: Sequence[str],
        n_ctx: int = 4,
        context_init: str = DEFAULT_CONTEXT,
        template: str = DEFAULT_TEMPLATE,
        lambda_kg: float = 8.0,
    ) -> None:
        super().__init__(clip, class_names, n_ctx, context_init)
        self.template, self.lambda_kg = template, lambda_kg

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.KGCOOP`, and the template from `DATASET`."""
        node = cfg.TRAINER.KGCOOP
        template = cfg.DATASET.TEMPLATE or template_of(cfg.DATASET.NAME)
        return {
            "n_ctx": node.N_CTX,
            "context_init": node.CTX_INIT,
            "template": template,
            "lambda_kg": node.LAMBDA_KG,
        }

    @cached_property
    def hand_written(self) -> Tensor:
        """t: unit features of the template's prompts; encoded once, when training asks for them. Shape: (1, N, E)"""
        return TemplatePrompts(self.clip, self.class_names, [self.template]).text_features()

    def loss_parts(self, text: Tensor, *batch: Any, **further: Any) -> dict[str, Tensor]:
        """The cross-entropy and λ L_KG; see `PromptLearner.loss_parts`."""
        cosines = (text * self.hand_written).sum(dim=-1)  # (G, N)
        return {**super().loss_parts(text, *batch, **further), "loss_kg": self.lambda_kg * (1 - cosines.mean())}


class KgCoOp(PromptTrainer):
    """Trains a `KgCoOpLearner`; config node `TRAINER.KGCOOP`."""

    learner_class: type[PromptLearner] = KgCoOpLearner
    traits = TRAITS["KgCoOp"]


class KgCoOpLAMMLearner(LabelAlignmentMixin, KgCoOpLearner):
    """KgCoOp's context, aligned labels."""


class KgCoOp_LAMM(KgCoOp):
    """Trains a `KgCoOpLAMMLearner`; config nodes `TRAINER.KGCOOP` and, for the labels, `TRAINER.LAMM`."""

    learner_class = KgCoOpLAMMLearner
    traits = TRAITS["KgCoOp_LAMM"]
