"""LAMM (arXiv:2312.08212): only the class embeddings are learned; the context stays "a photo of a"."""

from .base import PromptTrainer
from .label_alignment import LabelAlignmentMixin
from .prompt_learner import PromptLearner


class LAMMLearner(LabelAlignmentMixin, PromptLearner):
    """Fixed context words, aligned labels."""


class LAMM(PromptTrainer):
    """Trains a `LAMMLearner`; config node `TRAINER.LAMM`."""

    learner_class = LAMMLearner
    config_node = "LAMM"
    default_config = "vit_b16_ep50_ctxv1"
    tiny_config = "tiny_ep50"
