"""The embedded model `tiny`: a small CLIP that was trained on drawings only and ships with the package."""

from torch import nn

NAME = "tiny"


def load_tiny() -> nn.Module:
    """The embedded model in fp32, as an open_clip `CLIP`, in eval mode; images are 32 × 32."""
    from lamm.clip.tiny.weights import load_weights

    return load_weights()
