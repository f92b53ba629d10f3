"""The project's one view of a CLIP model, whichever library made it.

Letters: B images, E embedding size.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.image_encoder import ImageEncoder, image_encoder_of
from lamm.clip.text_tower import TextTower
from lamm.clip.tokenizer import Tokenizer
from lamm.clip.vision import VisionPrompts, VisionSizes, encode_with_prompts, vision_sizes
from lamm.errors import BackboneError, ConfigError, unknown_name

PRECISIONS = ("auto", "fp32", "fp16", "amp", "bf16")
BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
CPUINFO = Path("/proc/cpuinfo")
NARROW = 256
"""Width of a text tower up to which one thread is enough for its products."""


def resolve_precision(prec: str, device: torch.device) -> str:
    """The precision that `prec` means on `device`: fp32, fp16, amp or bf16.

    `auto` is amp on a CUDA device; on a CPU bf16 when its flags say AMX-BF16 or AVX512-BF16; else fp32.

    Raises:
        ConfigError: `prec` is none of `PRECISIONS`.
    """
    if prec not in PRECISIONS:
        raise ConfigError(unknown_name("PREC", prec, PRECISIONS))
    if prec != "auto":
        return prec
    if device.type == "cuda":
        return "amp"
    return "bf16" if device.type == "cpu" and _cpu_multiplies_bf16() else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context in which the towers run at a resolved precision.

    amp is fp16 autocast on CUDA and bf16 autocast elsewhere, bf16 is bf16 autocast everywhere. fp32 and fp16 are
    the dtype of the weights themselves and need no context.

    Raises:
        ConfigError: `precision` is not resolved (`auto`) or unknown.
    """
    if precision in ("fp32", "fp16"):
        return nullcontext()
    if precision == "bf16" or (precision == "amp" and device.type != "cuda"):
        return torch.autocast(device.type, torch.bfloat16)
    if precision == "amp":
        return torch.autocast(device.type, torch.float16)
    raise ConfigError(unknown_name("precision", precision, PRECISIONS[1:]))


def _cpu_multiplies_bf16() -> bool:
    """Whether the CPU has bf16 matrix instructions; False where it can't be read."""
    try:
        text = CPUINFO.read_text()
    except OSError:
        return False
    flags = next((line.partition(":")[2] for line in text.splitlines() if line.startswith("flags")), "")
    return not BF16_FLAGS.isdisjoint(flags.split())


class ClipModel(nn.Module):
    """A frozen CLIP: both towers, the logit scale and the tokenizer.

    All parameters are frozen, and the model stays in evaluation mode whatever `train()` says, so that the batch
    norms of a ResNet keep their statistics.

    Args:
        name: the backbone's name (`MODEL.BACKBONE.NAME`).
        visual: the image tower, images [B, 3, H, W] to features [B, E].
        text: view of the text tower.
        logit_scale: logarithm of 1/τ.
        tokenizer: the tokenizer that the text tower was trained with.
        image_size: side of the square input, in pixels.

    Attributes:
        precision: resolved precision (`lamm.clip.model`) that the towers run in.
    """

    def __init__(
        self,
        name: str,
        visual: nn.Module,
        text: TextTower,
        logit_scale: nn.Parameter,
        tokenizer: Tokenizer,
        image_size: int,
    ) -> None:
        super().__init__()
        self.name = name
        self.visual = visual
        self.text = text
        self.logit_scale = logit_scale
        self.tokenizer = tokenizer
        self.image_size = image_size
        self.precision = "fp32"
        self._image_encoder: ImageEncoder | None = None
        self._encoder_is_known = False
        self.requires_grad_(False)
        self.train(False)

    @property
    def embed_dim(self) -> int:
        """E, the size of image and text features."""
        return self.text.embed_dim

    @property
    def dtype(self) -> torch.dtype:
        """Dtype in which the image tower computes (outside autocast)."""
        layers = (m for m in self.visual.modules() if isinstance(m, nn.Conv2d | nn.Linear))
        return next(layers).weight.dtype

    def autocast(self) -> AbstractContextManager[object]:
        """The context that the towers run in; norms, softmax and logits belong outside of it, in fp32."""
        return autocast(self.precision, self.logit_scale.device)

    @contextmanager
    def suited_threads(self) -> Iterator[int]:
        """One thread for a narrow model, else as many as there were.

        Its operators are short, and several threads wait for each other at each of them, many times longer where
        another program has one of the cores.

        Yields:
            The number of threads that are left for other work.
        """
        threads = torch.get_num_threads()
        narrow = self.text.width <= NARROW
        try:
            if narrow:
                torch.set_num_threads(1)
            yield threads - 1 if narrow else 0
        finally:
            torch.set_num_threads(threads)

    @property
    def vision_sizes(self) -> VisionSizes:
        """Width and number of blocks of the image tower; BackboneError unless it is a vision transformer."""
        return vision_sizes(self.visual, self.name)

    def encode_image(self, images: Tensor, prompts: VisionPrompts | None = None) -> Tensor:
        """Image features [B, E], not normalised, of images [B, 3, H, W] in any floating dtype."""
        images = images.to(self.dtype)
        # An exporter follows the tower itself, whose weights it knows by name.
        encoder = None if torch.compiler.is_compiling() else self.image_encoder(images)
        if encoder is not None:
            return encoder.encode(images, prompts)
        return self.visual(images) if prompts is None else encode_with_prompts(self.visual, images, prompts)

    def image_encoder(self, images: Tensor) -> ImageEncoder | None:
        """The fast encoder; None: the tower is run as it is. Decided once, for images like these (B, 3, H, W)."""
        if not self._encoder_is_known:
            self._image_encoder, self._encoder_is_known = image_encoder_of(self.visual, images), True
        return self._image_encoder

    def image_features(self, images: Tensor, prompts: VisionPrompts | None = None) -> Tensor:
        """Unit image features [B, E] in fp32; without prompts no gradient is recorded."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and prompts is not None), self.autocast():
            features = self.encode_image(images, prompts)
        return F.normalize(features.float(), dim=-1)

    def check_image_size(self, size: int | Sequence[int]) -> None:
        """Checks a configured input size, one side or (height, width).

        Raises:
            BackboneError: it is not the size that the image tower takes.
        """
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if sides != (self.image_size, self.image_size):
            asked = " x ".join(str(side) for side in sides)
            raise BackboneError(
                f"INPUT.SIZE is {asked}, but {self.name} takes {self.image_size} x {self.image_size}: "
                f"set INPUT.SIZE to ({self.image_size}, {self.image_size})"
            )

    def train(self, mode: bool = True) -> "ClipModel":
        """Keeps evaluation mode: a frozen model has no other."""
        super().train(False)
        return self


def image_size_of(visual: Any, name: str) -> int:
    """Side of the square input of an image tower, in pixels.

    Raises:
        BackboneError: the tower does not say its size, or it is not square.
    """
    size = getattr(visual, "image_size", None) or getattr(visual, "input_resolution", None)
    if size is None:
        raise BackboneError(f"{name}: its image tower ({type(visual).__name__}) has no image_size; it can't be used")
    sides = {int(size)} if not isinstance(size, tuple | list) else {int(side) for side in size}
    if len(sides) != 1:
        raise BackboneError(f"{name}: its image tower takes {tuple(size)} pixels; only square inputs are handled")
    return sides.pop()
