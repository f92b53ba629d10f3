"""A classifier as one module that an exporter can follow: images in, logits and probabilities out.

Letters: B images, N classes, H height, W width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lamm.clip.text import PlainTextEncoder

from .scoring import Scoring


class ScoreGraph(nn.Module):
    """The scores of a classifier; prompts that don't depend on the image are a constant in it.

    Args:
        scoring: the classifier.
    """

    text: Tensor | None

    def __init__(self, scoring: Scoring) -> None:
        super().__init__()
        self._scoring = scoring
        # Registered, so that the exporter knows their tensors by name.
        self.clip, self.learner = scoring.clip, scoring.learner
        with torch.no_grad():
            fixed = None if scoring.learner.per_image else scoring.text_features()
        self.register_buffer("text", fixed)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and probabilities of images (B, 3, H, W). Shape: (B, N) each"""
        logits = self._scoring.scores(images, self.text)
        return logits, logits.softmax(dim=-1)


class UnchunkedTextEncoder(PlainTextEncoder):
    """All prompts as a whole and at once: no decision depends on how many images there are."""

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor, deep: Sequence[Tensor] = ()) -> Tensor:
        """See `PlainTextEncoder.encode`. Shape: (G, N, E)"""
        return self._run(labels, end, prefix, deep)


@contextmanager
def exportable(scoring: Scoring) -> Iterator[ScoreGraph]:
    """The graph, while the learner's prompts are encoded in a way that an exporter can follow."""
    learner: Any = scoring.learner
    graph = ScoreGraph(scoring)
    if not learner.per_image:
        yield graph
        return
    encoder = learner.text_encoder
    learner.encode_with(UnchunkedTextEncoder(scoring.clip.text))
    try:
        yield graph
    finally:
        learner.encode_with(encoder)
