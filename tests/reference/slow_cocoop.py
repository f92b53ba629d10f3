"""CoCoOp's training written out: one set of whole prompts for each image.

Letters: C context vectors, D width, E embedding size.
"""

from dataclasses import dataclass

from torch import Tensor

from tests.reference.slow_training import SlowTraining


@dataclass
class SlowCoCoOp(SlowTraining):
    """A run whose context moves with each image.

    Attributes:
        meta_net: weight (E / 16, E) and bias of the first linear map, weight (D, E / 16) and bias of the second.
    """

    meta_net: tuple[Tensor, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.meta_net = tuple(self.learn(value) for value in self.meta_net)
        self.learned += self.meta_net

    def context_of(self, image: Tensor) -> Tensor:
        """Every vector plus the meta-net's output for one image feature (E,). Shape: (C, D)"""
        weight1, bias1, weight2, bias2 = self.meta_net
        hidden = weight1 @ image + bias1
        hidden = hidden * (hidden > 0)
        return self.context + (weight2 @ hidden + bias2)

    def features_for(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """ψ(z) and ψ(y) of each image's own prompts."""
        return [self.prompt_features(self.context_of(image)) for image in images]
