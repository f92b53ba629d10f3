"""The settings that the embedded model was trained with: they are flags, whose help takes no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How the embedded model is trained; the defaults made the weights in the package."""

    pairs: int = 300_000
    samples: int = 1_300_000
    batch_size: int = 256
    learning_rate: float = 1.0e-3
    weight_decay: float = 0.05
    warmup_steps: int = 500
    seed: int = 1
