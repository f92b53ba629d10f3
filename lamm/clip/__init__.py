"""CLIP models: loading them, and the one view of them that the rest of the project knows.

Only this package imports `open_clip`, and only inside functions: the import takes seconds. The names below are imported
when they are first asked for, so that who needs `sources` alone does without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamm.clip.loading import load_clip, wrap_clip
    from lamm.clip.model import ClipModel

_MODULES = {"load_clip": "lamm.clip.loading", "wrap_clip": "lamm.clip.loading", "ClipModel": "lamm.clip.model"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


__all__ = ["ClipModel", "load_clip", "wrap_clip"]
