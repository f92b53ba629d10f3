"""Where `LabelAlignmentMixin` and its settings used to live; they are in `lamm_trainers.lamm`."""

from .lamm import AlignmentSettings, LabelAlignmentMixin

__all__ = ["AlignmentSettings", "LabelAlignmentMixin"]
