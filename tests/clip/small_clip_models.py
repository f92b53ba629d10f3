"""Small CLIP models of every make, and their text sides: encoders, prompts, one run forward and back."""

import importlib
import sys
import types
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import packaging
import packaging.version
import pytest
import torch
from torch import Tensor, nn

from lamm.clip.text_tower import TextTower

VOCABULARY = 49408
START, END = 49406, 49407
VIT = {"vision_layers": 2, "vision_width": 64, "vision_patch_size": 8, "image_resolution": 32}
RESNET = {"vision_layers": (1, 2, 1, 1), "vision_width": 32, "vision_patch_size": None, "image_resolution": 64}
TEXT = {"context_length": 77, "transformer_width": 128, "transformer_heads": 2, "transformer_layers": 2}


def randomise(model: nn.Module, seed: int = 0) -> nn.Module:
    """Fills parameters and batch statistics with values that depend on the seed only; evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if not tensor.is_floating_point():
            continue
        values = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            values = 1 + values.abs()
        elif tensor.ndim == 1 and name.endswith("weight"):
            values = 1 + 0.1 * values
        else:
            values = values * (0.1 if tensor.ndim < 2 else max(tensor[0].numel(), 64) ** -0.5)
        tensor.copy_(values)
    return model.eval()


def clip_package() -> Any:
    """The module `clip.model` of the `clip` package; its import needs `pkg_resources.packaging`."""
    stub = types.ModuleType("pkg_resources")
    stub.packaging = packaging
    before = sys.modules.get("pkg_resources")
    sys.modules["pkg_resources"] = stub
    try:
        return importlib.import_module("clip.model")
    except ImportError:
        return pytest.skip("the clip package is not installed")
    finally:
        del sys.modules["pkg_resources"]
        if before is not None:
            sys.modules["pkg_resources"] = before


def clip_package_model(vision: dict[str, Any] = VIT, vocabulary: int = VOCABULARY, **text: int) -> nn.Module:
    """A `CLIP` of the `clip` package, fp32."""
    model = clip_package().CLIP(embed_dim=64, vocab_size=vocabulary, **vision, **{**TEXT, **text})
    return randomise(model)


def open_clip_model(custom_text: bool = False, vocabulary: int = VOCABULARY, vision: Any = None, **text: Any) -> Any:
    """An open_clip `CLIP`, or `CustomTextCLIP`, fp32; `text` overrides entries of its text config."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg, CustomTextCLIP

    vision_cfg = CLIPVisionCfg(**(vision or {"layers": 2, "width": 64, "patch_size": 8, "image_size": 32}))
    text_cfg = CLIPTextCfg(**{"vocab_size": vocabulary, "width": 128, "heads": 2, "layers": 2, **text})
    return randomise((CustomTextCLIP if custom_text else CLIP)(64, vision_cfg, text_cfg, quick_gelu=True))


def openai_state_dict(model: nn.Module, half: bool = True) -> dict[str, Tensor]:
    """The state dict in OpenAI's released form: fp16 where `clip` has it, and three entries that are no weights."""
    if half:
        clip_package().convert_weights(model)
    visual: Any = model.visual
    sizes = {
        "input_resolution": visual.input_resolution,
        "context_length": model.context_length,
        "vocab_size": model.vocab_size,
    }
    return {**model.state_dict(), **{key: torch.tensor(value) for key, value in sizes.items()}}


def save_jit_archive(model: nn.Module, path: Path) -> Path:
    """Writes a `clip` package model as OpenAI released theirs: a traced archive with fp16 weights.

    The three sizes are tensors of the state dict.
    """
    size = model.visual.input_resolution
    image, text = torch.zeros(1, 3, size, size), torch.tensor([[START, 320, END] + [0] * 74])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sizes = {"input_resolution": size, "context_length": model.context_length, "vocab_size": model.vocab_size}
        for key, value in sizes.items():
            if hasattr(model, key):
                delattr(model, key)
            model.register_buffer(key, torch.tensor(value))
        inputs = {"forward": (image, text), "encode_image": image, "encode_text": text}
        traced = torch.jit.trace_module(model, inputs, check_trace=False)
        clip_package().convert_weights(model)
        torch.jit.save(traced, str(path))
    return path


def prompts(count: int = 3, words: int = 5, context_length: int = 77) -> Tensor:
    """Token ids [count, context_length]; row i has `words + i` random words between start and end, then padding."""
    generator = torch.Generator().manual_seed(7)
    ids = torch.zeros(count, context_length, dtype=torch.long)
    for row in range(count):
        length = words + row
        ids[row, 0] = START
        ids[row, 1 : 1 + length] = torch.randint(1, START, (length,), generator=generator)
        ids[row, 1 + length] = END
    return ids


def images(size: int, count: int = 2) -> Tensor:
    """Random images [count, 3, size, size]."""
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(3))


class Sides(NamedTuple):
    """What a text encoder is given; every tensor but `end` wants a gradient."""

    prefix: Tensor
    labels: Tensor
    end: Tensor
    deep: tuple[Tensor, ...] = ()

    @property
    def learned(self) -> list[Tensor]:
        """What gradients are taken of."""
        return [tensor for tensor in (self.prefix, self.labels, *self.deep) if tensor.requires_grad]


def random_sides(
    width: int, lengths: Sequence[int], *, groups: int = 1, prefix_length: int = 5, deep: int = 0, deep_length: int = 3
) -> Sides:
    """Normal values of about the size of token embeddings.

    Args:
        width: D.
        lengths: label positions of each class, end token included.
        groups: G.
        prefix_length: P, start token included.
        deep: how many layers after the first have prompts.
        deep_length: C.
    """
    generator = torch.Generator().manual_seed(0)

    def values(*shape: int) -> Tensor:
        return (0.2 * torch.randn(*shape, generator=generator)).requires_grad_()

    replaced = tuple(values(deep_length, width) for _ in range(deep))
    prefix, labels = values(groups, prefix_length, width), values(len(lengths), max(lengths), width)
    return Sides(prefix, labels, torch.tensor(lengths) - 1, replaced)


def run(encoder: Any, sides: Sides) -> tuple[Tensor, ...]:
    """Features (G, N, E) in fp32, and the gradients of everything learned under a fixed random direction of them."""
    return with_gradients(encoder.encode(*sides), sides.learned)


def with_gradients(features: Tensor, learned: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Features and the gradients of `learned` under a direction that depends on the features' shape alone."""
    direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(features.device)
    gradients = torch.autograd.grad((features.float() * direction).sum(), learned)
    return (features.detach().float(), *(gradient.float() for gradient in gradients))


def assert_agree(
    found: Sequence[Tensor], expected: Sequence[Tensor], features: float = 1e-5, gradients: float = 1e-4
) -> None:
    """Every feature within `features` of its norm, every gradient within `gradients` of its norm."""
    assert len(found) == len(expected) > 1
    off = (found[0] - expected[0]).norm(dim=-1) / expected[0].norm(dim=-1)
    assert off.max() <= features, f"a feature is off by {off.max():.1e}"
    for number, (one, other) in enumerate(zip(found[1:], expected[1:], strict=True)):
        assert other.norm() > 0
        off = (one - other).norm() / other.norm()
        assert off <= gradients, f"gradient {number} is off by {off:.1e}"


def halve(tower: TextTower) -> TextTower:
    """The tower with all weights in fp16; where the `clip` package made it, all but norms and embeddings."""
    if not tower.batch_first:
        clip_package().convert_weights(tower)
        return tower
    return tower.half()


def encode_whole(model: Any, sides: Sides) -> Tensor:
    """Features (G, N, E) of all 77 positions, by the library's own blocks under the library's own full mask.

    What stands behind a class's end token is random.
    """
    text = model.text if isinstance(getattr(model, "text", None), nn.Module) else model
    room, blocks = text.positional_embedding.shape[0], text.transformer.resblocks
    filling = torch.randn(room, sides.labels.shape[2], generator=torch.Generator().manual_seed(2))
    rows, at = [], []
    for prefix in sides.prefix:
        for label, end in zip(sides.labels, sides.end.tolist(), strict=True):
            row = torch.cat([prefix, label[: end + 1], filling])[:room]
            rows.append(row + text.positional_embedding)
            at.append(len(prefix) + end)
    x = torch.stack(rows)
    for number, block in enumerate(blocks):
        if 0 < number <= len(sides.deep):
            prompt = sides.deep[number - 1]
            kept = [x[:, 0:1], prompt.repeat(len(x), 1, 1), x[:, len(prompt) + 1 :]]
            x = torch.cat(kept, dim=1)
        if getattr(text.transformer, "batch_first", False):
            x = block(x, attn_mask=text.attn_mask)
        else:
            x = block(x.permute(1, 0, 2)).permute(1, 0, 2)
    features = torch.stack([text.ln_final(row)[place] @ text.text_projection for row, place in zip(x, at, strict=True)])
    return features.view(len(sides.prefix), len(sides.labels), -1)
