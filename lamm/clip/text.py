"""Text encoders: prompts as embeddings in, text features out.

Letters: G prefixes (1, or one an image), N classes, P prefix positions, T label-side positions, D width,
E embedding size.
"""

import torch
from torch import Tensor

from lamm.clip.text_tower import TextTower


class PlainTextEncoder:
    """Encodes every class's whole prompt.

    The tower is causal, so the positions after the longest prompt are left out: the result is the same.

    Args:
        tower: the frozen text tower.
    """

    def __init__(self, tower: TextTower) -> None:
        self.tower = tower

    def encode(self, prefix: Tensor, labels: Tensor, end: Tensor) -> Tensor:
        """Text features, not normalised.

        Args:
            prefix: what all classes share, (G, P, D).
            labels: the rest of each prompt, (N, T, D).
            end: place of the end token within the label side, (N,).

        Returns:
            Features of shape (G, N, E).
        """
        groups, prefix_length, width = prefix.shape
        classes, label_length, _ = labels.shape
        length = prefix_length + label_length
        prompts = torch.cat(
            [
                prefix[:, None].expand(groups, classes, prefix_length, width),
                labels[None].expand(groups, classes, label_length, width),
            ],
            dim=2,
        )
        positions = self.tower.positional_embedding[:length]
        x = self.tower.transform((prompts + positions).flatten(0, 1))
        at_end = x.unflatten(0, (groups, classes))[:, torch.arange(classes, device=x.device), prefix_length + end]
        return self.tower.finish(at_end)


def encode_texts(tower: TextTower, rows: list[list[int]]) -> Tensor:
    """Text features, not normalised, of rows of token ids with start and end token. Shape: (len(rows), E)"""
    device = tower.token_embedding.weight.device
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=device)
    end = torch.tensor([len(row) - 1 for row in rows], device=device)
    x = tower.transform(tower.embed(ids) + tower.positional_embedding[:longest])
    return tower.finish(x[torch.arange(len(rows), device=device), end])
