"""CoOp with label alignment (arXiv:2312.08212): learned context and class embeddings."""

from .coop import CoOp, CoOpLearner
from .label_alignment import LabelAlignmentMixin


class CoOpLAMMLearner(LabelAlignmentMixin, CoOpLearner):
    """CoOp's context, aligned labels."""


class CoOp_LAMM(CoOp):
    """Trains a `CoOpLAMMLearner`; config nodes `TRAINER.COOP` and, for the labels, `TRAINER.LAMM`."""

    learner_class = CoOpLAMMLearner
