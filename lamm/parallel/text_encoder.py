"""A text encoder whose classes are shared out over the processes.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, D width,
E embedding size.
"""

from collections.abc import Sequence

from torch import Tensor

from lamm.clip.text_encoder import TextEncoder
from lamm.parallel.gathering import encoded_share, gather_shares
from lamm.parallel.ranks import Ranks


class SharedOutTextEncoder:
    """Encodes this process's share of the classes, and gathers those of the others.

    Args:
        encoder: does the work.
        ranks: the processes.
    """

    def __init__(self, encoder: TextEncoder, ranks: Ranks) -> None:
        self._encoder, self._ranks = encoder, ranks

    @property
    def chunk(self) -> int:
        """Prompts that training encodes at a time (`encode_in_chunks`)."""
        return self._encoder.chunk

    @chunk.setter
    def chunk(self, prompts: int) -> None:
        self._encoder.chunk = prompts

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor:
        """Text features of all classes, in fp32; arguments as `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        own = encoded_share(self._ranks, len(labels))
        part = slice(own.start, own.stop)
        features = self._encoder.encode(prefix, labels[part], end[part], deep)
        return gather_shares(features.float(), len(labels), self._ranks, dim=1)
