"""CoCoOp with label alignment (arXiv:2312.08212): a context for each image, and class embeddings."""

from .cocoop import CoCoOp, CoCoOpLearner
from .label_alignment import LabelAlignmentMixin


class CoCoOpLAMMLearner(LabelAlignmentMixin, CoCoOpLearner):
    """CoCoOp's context, aligned labels."""


class CoCoOp_LAMM(CoCoOp):
    """Trains a `CoCoOpLAMMLearner`; config nodes `TRAINER.COCOOP` and, for the labels, `TRAINER.LAMM`."""

    learner_class = CoCoOpLAMMLearner
