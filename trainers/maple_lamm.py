"""MaPLe with label alignment (arXiv:2312.08212): prompts in both towers, and class embeddings."""

from .label_alignment import LabelAlignmentMixin
from .maple import MaPLe, MaPLeLearner


class MaPLeLAMMLearner(LabelAlignmentMixin, MaPLeLearner):
    """MaPLe's prompts and couplings, aligned labels."""

    def released_length(self) -> int:
        """The authors' code learns one vector a class here, however long the names are."""
        return 1


class MaPLe_LAMM(MaPLe):
    """Trains a `MaPLeLAMMLearner`; config nodes `TRAINER.MAPLE` and, for the labels, `TRAINER.LAMM`."""

    learner_class = MaPLeLAMMLearner
