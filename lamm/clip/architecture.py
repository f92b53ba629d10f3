"""The sizes that make a CLIP of OpenAI's family: read off a state dict or a config, and built."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

HEAD_WIDTH = 64
_DRAWN = ContextVar("drawn", default=True)


@contextmanager
def undrawn_weights() -> Iterator[None]:
    """Build models without the random weights that those of a file replace, for 0.9 s of a processor with ViT-B/16.

    For what is not followed by training: a training's random numbers are those of the original code, which draws them.
    """
    token = _DRAWN.set(False)
    try:
        yield
    finally:
        _DRAWN.reset(token)


def to_be_loaded(build: Callable[[], Any]) -> Any:
    """An open_clip `CLIP` all of whose weights will be loaded; `build` makes one with random weights."""
    if _DRAWN.get():
        return build()
    with torch.device("meta"):
        model = build()
    model = model.to_empty(device="cpu")
    # The one buffer that weights files lack: what lies behind a position is hidden from it.
    model.attn_mask = torch.full(model.attn_mask.shape, float("-inf")).triu(1)
    return model


@dataclass(frozen=True)
class Architecture:
    """The sizes that make a CLIP; `vision_layers` of a ViT is one number, of a ModifiedResNet four."""

    embed_dim: int
    image_size: int
    vision_layers: int | tuple[int, ...]
    vision_width: int
    patch_size: int | None
    context_length: int
    vocab_size: int
    text_width: int
    text_layers: int

    @classmethod
    def from_state_dict(cls, weights: Mapping[str, Tensor]) -> "Architecture":
        """Reads the sizes off the shapes.

        Raises:
            KeyError: a tensor that every CLIP has is missing.
        """
        vision = _vit_sizes(weights) if "visual.proj" in weights else _resnet_sizes(weights)
        return cls(
            embed_dim=weights["text_projection"].shape[1],
            context_length=weights["positional_embedding"].shape[0],
            vocab_size=weights["token_embedding.weight"].shape[0],
            text_width=weights["ln_final.weight"].shape[0],
            text_layers=_count(weights, "transformer.resblocks."),
            **vision,
        )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Architecture":
        """Sizes in one of open_clip's model configs."""
        vision, text = config["vision_cfg"], config["text_cfg"]
        layers = vision["layers"]
        return cls(
            embed_dim=config["embed_dim"],
            image_size=vision["image_size"],
            vision_layers=layers if isinstance(layers, int) else tuple(layers),
            vision_width=vision["width"],
            patch_size=vision.get("patch_size"),
            context_length=text["context_length"],
            vocab_size=text["vocab_size"],
            text_width=text["width"],
            text_layers=text["layers"],
        )

    def describe(self) -> str:
        """The sizes in words."""
        kind = "ModifiedResNet" if self.patch_size is None else f"ViT with patch {self.patch_size}"
        return (
            f"a {kind}, layers {self.vision_layers}, width {self.vision_width}, input {self.image_size}, "
            f"text width {self.text_width}, embedding {self.embed_dim}"
        )

    def build(self, dtype: torch.dtype) -> nn.Module:
        """An open_clip `CLIP` of these sizes with QuickGELU and fresh weights in fp32, norms ready for `dtype`."""
        from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

        layers: Any = self.vision_layers
        vision = CLIPVisionCfg(
            layers=layers,
            width=self.vision_width,
            head_width=HEAD_WIDTH,
            patch_size=self.patch_size or 0,
            image_size=self.image_size,
        )
        text = CLIPTextCfg(
            context_length=self.context_length,
            vocab_size=self.vocab_size,
            width=self.text_width,
            heads=self.text_width // HEAD_WIDTH,
            layers=self.text_layers,
        )
        return CLIP(self.embed_dim, vision, text, quick_gelu=True, cast_dtype=dtype)


def _vit_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, _, patch = weights["visual.conv1.weight"].shape
    grid = _square_root(weights["visual.positional_embedding"].shape[0] - 1)
    layers = _count(weights, "visual.transformer.resblocks.")
    return {"vision_layers": layers, "vision_width": width, "patch_size": patch, "image_size": patch * grid}


def _resnet_sizes(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    grid = _square_root(weights["visual.attnpool.positional_embedding"].shape[0] - 1)
    layers = tuple(_count(weights, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
    width = weights["visual.layer1.0.conv1.weight"].shape[0]
    return {"vision_layers": layers, "vision_width": width, "patch_size": None, "image_size": grid * 32}


def _square_root(positions: int) -> int:
    side = round(positions**0.5)
    if side * side != positions:
        raise ValueError("a square grid of positions")
    return side


def _count(weights: Mapping[str, Tensor], prefix: str) -> int:
    """Number of numbered members under a prefix."""
    members = {key[len(prefix) :].split(".")[0] for key in weights if key.startswith(prefix)}
    if not members:
        raise KeyError(prefix.removesuffix("."))
    return len(members)
