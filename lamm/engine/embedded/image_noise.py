"""Transforms of image tensors that torchvision lacks or has in recent versions only."""

import torch
from torch import Tensor, nn


class GaussianNoise(nn.Module):
    """Add normally distributed noise to an image tensor.

    Args:
        mean: Mean of the noise.
        std: Standard deviation of the noise.
    """

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean = mean
        self.std = std

    def forward(self, image: Tensor) -> Tensor:
        """Image [C, H, W] → noisy image [C, H, W]."""
        return image + torch.randn_like(image) * self.std + self.mean


class InstanceNormalization(nn.Module):
    """Give each channel of an image tensor mean 0 and standard deviation 1 over its own pixels."""

    def forward(self, image: Tensor) -> Tensor:
        """Image [C, H, W] → normalised image [C, H, W]."""
        mean = image.mean(dim=(1, 2), keepdim=True)
        std = image.std(dim=(1, 2), keepdim=True)
        return (image - mean) / (std + 1e-8)
