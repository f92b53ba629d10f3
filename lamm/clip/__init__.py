"""CLIP models: loading them, and the one view of them that the rest of the project knows.

Only this package imports `open_clip`, and only inside functions: the import takes seconds.
"""

from lamm.clip.loading import load_clip, wrap_clip
from lamm.clip.model import ClipModel

__all__ = ["ClipModel", "load_clip", "wrap_clip"]
