"""MaPLe's training written out: prompts in both towers, coupled by linear maps.

Letters: B images, N classes, C prompts a layer, D text width, W image width, E embedding size.
"""

from dataclasses import dataclass, field

from torch import Tensor

from tests.reference.maple_towers import encode_images, encode_text
from tests.reference.slow_training import SlowTraining
from tests.reference.whole_prompt import Position


@dataclass
class SlowMaPLe(SlowTraining):
    """A run on images, whose features follow the prompts.

    Attributes:
        deep: text prompts of the layers after the first, (C, D) each.
        couplings: weight (W, D) and bias (W,) for each layer, the first included.
    """

    deep: list[Tensor] = field(default_factory=list)
    couplings: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.deep = [self.learn(prompt) for prompt in self.deep]
        self.couplings = [(self.learn(weight), self.learn(bias)) for weight, bias in self.couplings]
        self.learned += [*self.deep, *(value for pair in self.couplings for value in pair)]

    def image_features(self, images: Tensor) -> Tensor:
        """Unit features of images (B, 3, H, W) under the coupled prompts, (B, E)."""
        layers = zip([self.context, *self.deep], self.couplings, strict=True)
        prompts = [text @ weight.T + bias for text, (weight, bias) in layers]
        return encode_images(self.model, images, prompts)

    def encode(self, rows: list[list[Position]]) -> Tensor:
        """Unit text features under the deep prompts, (N, E)."""
        return encode_text(self.model, rows, self.deep)
