"""MaPLe (Multi-modal Prompt Learning, arXiv:2210.03117): prompts in the first layers of both towers, coupled."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.clip.vision import VisionPrompts
from lamm.errors import ConfigError
from lamm.prompts import DEFAULT_CONTEXT, spoken_words

from .base import PromptTrainer
from .lamm import LabelAlignmentMixin
from .prompt_learner import CONTEXT_STD, PromptLearner
from .traits import TRAITS


class MaPLeLearner(PromptLearner):
    """Context vectors at the input of the text tower's first layers, and linear couplings that make them the image's.

    Letters: C context vectors, D width of the text tower, W width of the image tower.

    Args:
        clip: the frozen CLIP model; its image tower is a vision transformer.
        class_names: one per class.
        n_ctx: C, context vectors per layer; those of the first layer stand for the first C sub-tokens of
            `context_init`, and the words after these stay.
        context_init: words before the class name; empty: the first layer's vectors start normal, std 0.02, and no
            words stand beside them.
        prompt_depth: layers that get prompts, the input being the first: there are `prompt_depth` - 1 replacements.

    Attributes:
        ctx: the first layer's vectors, (C, D).
        proj: their coupling D → W.
        compound_prompts_text: the deeper layers' vectors, (C, D) each, normal, std 0.02.
        compound_prompt_projections: their couplings, which start as equal copies.

    Raises:
        BackboneError: the image tower is not a vision transformer.
        ConfigError: more context vectors than words, none at all, or a depth that a tower does not have.
    """

    def __init__(
        self,
        clip: ClipModel,
        class_names: Sequence[str],
        n_ctx: int = 2,
        context_init: str = DEFAULT_CONTEXT,
        prompt_depth: int = 9,
    ) -> None:
        words, vision = spoken_words(context_init), clip.vision_sizes
        check_prompts(clip, n_ctx, words, prompt_depth)
        super().__init__(clip, class_names, words, n_ctx)
        width = clip.text.width
        self.ctx = nn.Parameter(self.words[:n_ctx].clone() if words else torch.randn(n_ctx, width) * CONTEXT_STD)
        self.proj = nn.Linear(width, vision.width)
        deep = [nn.Parameter(torch.randn(n_ctx, width) * CONTEXT_STD) for _ in range(prompt_depth - 1)]
        self.compound_prompts_text = nn.ParameterList(deep)
        coupling = nn.Linear(width, vision.width)
        self.compound_prompt_projections = nn.ModuleList(copy.deepcopy(coupling) for _ in deep)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.MAPLE`."""
        node = cfg.TRAINER.MAPLE
        return {"n_ctx": node.N_CTX, "context_init": node.CTX_INIT, "prompt_depth": node.PROMPT_DEPTH}

    def context(self, image: Tensor | None = None) -> Tensor:
        """The first layer's vectors. Shape: (1, C, D)"""
        return self.ctx[None]

    def deep_prompts(self) -> Sequence[Tensor]:
        """The deeper layers' vectors, (C, D) each."""
        return tuple(self.compound_prompts_text)

    def vision_prompts(self) -> VisionPrompts:
        """Every layer's vectors through their couplings, (C, W) each."""
        pairs = zip(self.compound_prompt_projections, self.compound_prompts_text, strict=True)
        return VisionPrompts(self.proj(self.ctx), [coupling(prompt) for coupling, prompt in pairs])


def check_prompts(clip: ClipModel, n_ctx: int, words: str, prompt_depth: int) -> None:
    """Refuse more context vectors than words, none at all, or a depth that a tower does not have.

    Raises:
        BackboneError: the image tower is not a vision transformer.
        ConfigError: names the key.
    """
    text, image = len(clip.text.blocks), clip.vision_sizes.layers
    if not 1 <= prompt_depth <= min(text, image):
        raise ConfigError(
            f"PROMPT_DEPTH is {prompt_depth}: {clip.name} has {text} text layers and {image} image layers, so it must "
            f"be from 1 to {min(text, image)}"
        )
    count = len(clip.tokenizer.encode(words))
    if words and not 1 <= n_ctx <= count:
        raise ConfigError(f'N_CTX is {n_ctx}: it must be from 1 to {count}, the sub-tokens of CTX_INIT "{words}"')
    if n_ctx < 1:
        raise ConfigError(f"N_CTX is {n_ctx}: at least one context vector is needed")


class MaPLe(PromptTrainer):
    """Trains a `MaPLeLearner`; config node `TRAINER.MAPLE`."""

    learner_class: type[PromptLearner] = MaPLeLearner
    traits = TRAITS["MaPLe"]
    registered_name = "MultiModalPromptLearner"


class MaPLeLAMMLearner(LabelAlignmentMixin, MaPLeLearner):
    """MaPLe's prompts and couplings, aligned labels."""

    released_length = 1  # the authors' code learns one vector per class here, however long the names are


class MaPLe_LAMM(MaPLe):
    """Trains a `MaPLeLAMMLearner`; config nodes `TRAINER.MAPLE` and, for the labels, `TRAINER.LAMM`."""

    learner_class = MaPLeLAMMLearner
    traits = TRAITS["MaPLe_LAMM"]
