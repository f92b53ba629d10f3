"""State dicts in the layout that the original CoOp, CoCoOp, MaPLe and LAMM code saves, with random numbers.

Letters: N classes, C context vectors, m label vectors a class, D text width, W image width, E embedding size.
"""

import torch
from torch import Tensor

from lamm.clip.model import ClipModel

CLASSES = 3
State = dict[str, Tensor]
GENERATOR = torch.Generator().manual_seed(0)


def random_half(*shape: int) -> Tensor:
    """Numbers that no other call gives."""
    return (torch.randn(*shape, generator=GENERATOR) * 0.1).half()


def buffers(clip: ClipModel, classes: int = CLASSES) -> State:
    """What CoOp, CoCoOp and MaPLe save beside what they learn."""
    width = clip.text.width
    start = clip.text.token_embedding.weight[clip.tokenizer.start].detach().half()
    return {"token_prefix": start.expand(classes, 1, width).clone(), "token_suffix": random_half(classes, 72, width)}


def coop_file(clip: ClipModel, classes: int = CLASSES, csc: bool = False, n_ctx: int = 4) -> State:
    shape = (classes, n_ctx) if csc else (n_ctx,)
    return {"ctx": random_half(*shape, clip.text.width), **buffers(clip, classes)}


def cocoop_file(clip: ClipModel) -> State:
    hidden = clip.embed_dim // 16
    return {
        **coop_file(clip),
        "meta_net.linear1.weight": random_half(hidden, clip.embed_dim),
        "meta_net.linear1.bias": random_half(hidden),
        "meta_net.linear2.weight": random_half(clip.text.width, hidden),
        "meta_net.linear2.bias": random_half(clip.text.width),
    }


def labels_file(clip: ClipModel, classes: int = CLASSES, m: int = 2) -> State:
    """What label alignment saves beside the base method's tensors."""
    width = clip.text.width
    return {
        "token_classes": random_half(classes, m, width),
        "fix_token": random_half(1, width),
        "token_suffix_test": random_half(classes, 70, width),
        **buffers(clip, classes),
    }


def lamm_file(clip: ClipModel, **sizes: int) -> State:
    """LAMM saves the frozen words before the class name as `ctx`, beside its labels."""
    words = torch.tensor(clip.tokenizer.encode("a photo of a"))
    return {"ctx": clip.text.token_embedding.weight[words].detach().half(), **labels_file(clip, **sizes)}


def maple_file(clip: ClipModel, depth: int = 2, n_ctx: int = 2, m: int = 0) -> State:
    """MaPLe saves CLIP too; `m` > 0: with the label vectors of LAMM."""
    width, vision = clip.text.width, clip.vision_sizes.width
    learned = {
        "ctx": random_half(n_ctx, width),
        "proj.weight": random_half(vision, width),
        "proj.bias": random_half(vision),
        **(labels_file(clip, m=m) if m else buffers(clip)),
    }
    for layer in range(depth - 1):
        learned[f"compound_prompts_text.{layer}"] = random_half(n_ctx, width)
        learned[f"compound_prompt_projections.{layer}.weight"] = random_half(vision, width)
        learned[f"compound_prompt_projections.{layer}.bias"] = random_half(vision)
    return {
        **{f"prompt_learner.{name}": value for name, value in learned.items()},
        "image_encoder.conv1.weight": random_half(vision, 3, 8, 8),
        "image_encoder.transformer.resblocks.0.ln_1.bias": random_half(vision),
        "text_encoder.positional_embedding": random_half(77, width),
        "logit_scale": torch.tensor(3.0),
    }
