"""The choice between the text encoders: shared prefix where the tower allows it, else plain."""

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from lamm.clip.shared_prefix import SharedPrefixEncoder, unsupported_reason
from lamm.clip.text import PlainTextEncoder
from lamm.clip.text_tower import TextTower
from lamm.log import logger


class TextEncoder(Protocol):
    """What a text encoder answers: prefix (G, P, D), labels (N, T, D), end (N,), deep prompts → features (G, N, E)."""

    chunk: int

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor: ...


def text_encoder_of(tower: TextTower) -> TextEncoder:
    """The fastest encoder that a tower can be run with; the log says which one and why."""
    reason = unsupported_reason(tower)
    if reason is None:
        logger.info("Text encoder: shared prefix")
        return SharedPrefixEncoder(tower)
    logger.info("Text encoder: plain, every prompt as a whole, because %s", reason)
    return PlainTextEncoder(tower)
