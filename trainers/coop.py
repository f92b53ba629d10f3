"""CoOp (Learning to Prompt for Vision-Language Models, arXiv:2109.01134): learned context on the text side."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.errors import ConfigError, unknown_name
from lamm.log import logger
from lamm.prompt_layout import POSITIONS
from lamm.prompts import spoken_words

from .base import PromptTrainer
from .lamm import LabelAlignmentMixin
from .prompt_learner import CONTEXT_STD, PromptLearner
from .traits import TRAITS


class CoOpLearner(PromptLearner):
    """Context vectors in place of the words around the class name.

    Args:
        clip: the frozen CLIP model.
        class_names: one per class.
        n_ctx: number of context vectors, where `context_init` is empty.
        context_init: words that the vectors start from, one vector per sub-token; empty: normal, std 0.02.
        class_specific: each class has vectors of its own (CSC).
        position: where the class name stands: `end`, `middle` or `front`.

    Attributes:
        ctx: the vectors, (n_ctx, D), or (N, n_ctx, D) if class-specific.

    Raises:
        ConfigError: no context at all, words for class-specific vectors, or an unknown position.
    """

    def __init__(
        self,
        clip: ClipModel,
        class_names: Sequence[str],
        n_ctx: int = 16,
        context_init: str = "",
        class_specific: bool = False,
        position: str = "end",
    ) -> None:
        words = spoken_words(context_init)
        if position not in POSITIONS:
            raise ConfigError(unknown_name("CLASS_TOKEN_POSITION", position, POSITIONS))
        if class_specific and words:
            raise ConfigError(f'CSC gives each class random vectors, so CTX_INIT "{words}" has no place: set it to ""')
        if not words and n_ctx < 1:
            raise ConfigError(f"N_CTX is {n_ctx}: without CTX_INIT at least one context vector is needed")
        count = len(clip.tokenizer.encode(words)) or n_ctx
        super().__init__(clip, class_names, words, count, position=position, class_specific=class_specific)
        if class_specific or position == "front":
            key = "CSC" if class_specific else "CLASS_TOKEN_POSITION front"
            logger.info("All classes share the start token alone, because of %s", key)
        if words and n_ctx != count:
            logger.info('N_CTX is %d, but CTX_INIT "%s" has %d sub-tokens: those count', n_ctx, words, count)
        start = self.words.clone()  # (C, D)
        if not words:
            shape = (len(class_names), count) if class_specific else (count,)
            start = torch.randn(*shape, clip.text.width).to(self.words.device) * CONTEXT_STD
        self.ctx = nn.Parameter(start)

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.COOP`."""
        node = cfg.TRAINER.COOP
        return {
            "n_ctx": node.N_CTX,
            "context_init": node.CTX_INIT,
            "class_specific": node.CSC,
            "position": node.CLASS_TOKEN_POSITION,
        }

    def per_class_tensors(self) -> tuple[str, ...]:
        """Class-specific context can't serve another class list."""
        return ("ctx",) if self.ctx.ndim == 3 else ()

    def context(self, image: Tensor | None = None) -> Tensor:
        """The context vectors, class after class if class-specific. Shape: (1, C, D)"""
        return self.ctx.flatten(0, -2)[None]


class CoOp(PromptTrainer):
    """Trains a `CoOpLearner`; config node `TRAINER.COOP`."""

    learner_class: type[PromptLearner] = CoOpLearner
    traits = TRAITS["CoOp"]


class CoOpLAMMLearner(LabelAlignmentMixin, CoOpLearner):
    """CoOp's context, aligned labels."""


class CoOp_LAMM(CoOp):
    """Trains a `CoOpLAMMLearner`; config nodes `TRAINER.COOP` and, for the labels, `TRAINER.LAMM`."""

    learner_class = CoOpLAMMLearner
    traits = TRAITS["CoOp_LAMM"]
