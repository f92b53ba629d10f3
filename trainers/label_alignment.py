"""The earlier place of `lamm_trainers.lamm`'s mixin and settings."""

from .lamm import AlignmentSettings, LabelAlignmentMixin

__all__ = ["AlignmentSettings", "LabelAlignmentMixin"]
