"""The score of an image and a class: their cosine over the temperature.

Letters: B images, N classes, E embedding size.
"""

import torch
from torch import Tensor


def scaled_scores(image: Tensor, text: Tensor, logit_scale: Tensor) -> Tensor:
    """cos(I, ψ) / τ in fp32.

    Args:
        image: unit features, (B, E).
        text: unit features, (1, N, E) or (B, N, E).
        logit_scale: ln(1/τ).

    Returns:
        (B, N)
    """
    image, text = image.float(), text.float()
    cosines = image @ text[0].T if text.shape[0] == 1 else torch.einsum("be,bne->bn", image, text)
    return logit_scale.float().exp() * cosines
