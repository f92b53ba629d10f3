"""Small random CLIP models of each make, and files of theirs in the real formats.

Every weight and statistic is random, norms and biases included, so that one in the wrong place shows.
"""

import importlib
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import packaging
import packaging.version
import pytest
import torch
from torch import Tensor, nn

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
