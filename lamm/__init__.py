"""The library that the LAMM trainers stand on; nothing here knows a trainer's name.

`lamm.Classifier` and `lamm.load` are for users with photos of their own; see docs/python.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamm.estimator.classifier import Classifier

__version__ = "0.1.0"
__all__ = ["Classifier", "load"]


def load(path: Any, weights: str = "", device: str = "") -> "Classifier":
    """The classifier in a file that `Classifier.save` wrote, or in the folder of a run.

    Args:
        path: of the file or folder.
        weights: file of the CLIP model's weights; empty: where they usually are.
        device: `cpu`, `cuda`; empty: a GPU if there is one.

    Raises:
        CheckpointError: it is missing or damaged.
        BackboneError: CLIP's weights are missing.
    """
    from lamm.estimator.classifier import Classifier

    return Classifier.load(path, weights, device)


def __getattr__(name: str) -> Any:
    """`Classifier`, imported when it is first asked for: it takes seconds, which no command needs."""
    if name == "Classifier":
        from lamm.estimator.classifier import Classifier

        return Classifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
