"""TopLAMM: LAMM's labels (arXiv:2312.08212) on an image tower whose last K blocks are tuned with them.

    f  = the unit image feature that the tuned blocks make          f0 = the one that CLIP makes
    s  = [w cos(f, ψ(z)) + (1 − w) cos(f0, ψ(z))] / τ               w = TUNED_WEIGHT = 0.3
    L  = LAMM's loss with these scores, its teacher seeing f0, + GRAM · mean_ij |cos(f_i, f_j) − cos(f0_i, f0_j)|

The frozen feature stays in the score at a fixed weight, and the Gram matrix of a batch stays near the frozen one; both
are from MPS-Tuning (kaderxon/MPS-Tuning; w = 0.3, GRAM = 0.5). Departures from it: LAMM's labels are learned with the
blocks, frozen features are scored against the learned labels too, one view per step, the Gram matrix of class tokens
alone, no supervised contrast.

`INPUT.CACHE_VIEWS k` stores what the frozen part of the tower hands to block L − K for k views of each image, and f0:
a step then runs K blocks. K = 0 is LAMM.

Letters: B images, G prefixes (1), N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.clip.top import TowerTop
from lamm.features.cache import CutViews, check_cache
from lamm.incremental.plan import step_of
from lamm.parallel.sharing import ImageShare

from .base import PromptTrainer
from .lamm import LabelAlignmentMixin
from .prompt_learner import PromptLearner
from .traits import TRAITS


def gram_loss(tuned: Tensor, frozen: Tensor) -> Tensor:
    """mean_ij |cos(f_i, f_j) − cos(f0_i, f0_j)| of unit features (B, E) each. Shape: ()"""
    return (tuned @ tuned.T - frozen @ frozen.T).abs().mean()


class TopLearner(PromptLearner):
    """Fixed prompts, and an image tower whose last blocks are tuned.

    Its image features are f and f0 side by side, (B, 2 · E).

    Args:
        clip: the frozen CLIP model; its image tower is a vision transformer.
        class_names: one per class.
        blocks: K; -1: a third of the tower; 0: none, and the image features are CLIP's own, (B, E).
        tune: `blocks`, `lora` or `layernorm`; see `TowerTop`.
        rank: of `lora`.
        dropout: of `lora`'s branch.
        tuned_weight: w.
        gram: weight of the Gram term.
        **arguments: of `PromptLearner`.

    Attributes:
        top: the tuned blocks; None if there are none.
        frozen_top: the same blocks as they are in CLIP.
    """

    def __init__(
        self,
        clip: ClipModel,
        class_names: Sequence[str],
        blocks: int = -1,
        tune: str = "blocks",
        rank: int = 4,
        dropout: float = 0.0,
        tuned_weight: float = 0.3,
        gram: float = 0.5,
        **arguments: Any,
    ) -> None:
        super().__init__(clip, class_names, **arguments)
        self.tuned_weight, self.gram = tuned_weight, gram
        self.top = TowerTop(clip, blocks, tune, rank, dropout) if blocks else None
        self.frozen_top = TowerTop(clip, blocks) if blocks else None

    @classmethod
    def arguments(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read `TRAINER.TOPLAMM`."""
        node = cfg.TRAINER.TOPLAMM
        names = ("blocks", "tune", "rank", "dropout", "tuned_weight", "gram")
        return {**super().arguments(cfg), **{name: node[name.upper()] for name in names}}

    @property
    def changes_images(self) -> bool:
        """Whether there are tuned blocks."""
        return self.top is not None

    def image_features(self, images: Tensor | CutViews) -> Tensor:
        """f and f0, side by side, of images (B, 3, H, W) or of their tokens at the cut. Shape: (B, 2 · E)"""
        if self.top is None or self.frozen_top is None:
            assert isinstance(images, Tensor)  # nothing cuts the tower
            return super().image_features(images)
        if isinstance(images, CutViews):
            tokens, frozen = images
        else:
            tokens = self.top.cut(images)
            with torch.no_grad():
                frozen = self.frozen_top(tokens)
        return torch.cat([self.top(tokens), frozen], dim=1)

    def clip_features(self, image: Tensor) -> Tensor:
        """f0. Shape: (B, E)"""
        return image if self.top is None else image.chunk(2, dim=1)[1]

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """s; the score is linear in the image feature, so the two are mixed before. Shape: (B, N)"""
        if self.top is None:
            return super().scores(image, text)
        tuned, frozen = image.chunk(2, dim=1)
        return super().scores(self.tuned_weight * tuned + (1 - self.tuned_weight) * frozen, text)

    def loss_parts(self, text: Tensor, image: Tensor, *batch: Any, **further: Any) -> dict[str, Tensor]:
        """The base's parts and, while the blocks are trained, the Gram term."""
        parts = super().loss_parts(text, image, *batch, **further)
        if self.top is None or not self.gram or not any(value.requires_grad for value in self.top.parameters()):
            return parts
        return {**parts, "loss_gram": self.gram * gram_loss(*image.chunk(2, dim=1))}

    def get_extra_state(self) -> dict[str, Any]:
        """What a checkpoint says beside the learned tensors."""
        state = super().get_extra_state()
        if self.top is not None:
            state["prompt"] |= {"first_tuned_block": self.top.first, "tuned_weight": self.tuned_weight}
        return state


class TopLAMMLearner(LabelAlignmentMixin, TopLearner):
    """Tuned blocks, aligned labels."""

    def alignment_loss(self, text: Tensor, image: Tensor, *batch: Any, **further: Any) -> dict[str, Tensor]:
        """LAMM's terms; the teacher is CLIP, so it sees f0."""
        return super().alignment_loss(text, self.clip_features(image), *batch, **further)


class TopLAMM(PromptTrainer):
    """Trains a `TopLAMMLearner`; config nodes `TRAINER.LAMM` and, for the blocks, `TRAINER.TOPLAMM`.

    Of classes that are learned set by set, the first set tunes the blocks; later ones learn labels on them.
    """

    learner_class = TopLAMMLearner
    traits = TRAITS["TopLAMM"]

    def build_learner(self, clip: ClipModel, class_names: Sequence[str]) -> Any:
        """The learner; its blocks are not trained after the first set of classes."""
        learner = super().build_learner(clip, class_names)
        if step_of(self.cfg) > 1 and learner.top is not None:
            learner.top.requires_grad_(False)
        return learner

    def parameter_groups(self) -> list[dict[str, Any]] | None:
        """Labels at `OPTIM.LR`, blocks at `TRAINER.TOPLAMM.BLOCKS_LR`; both follow the schedule."""
        top = self.learner.top
        if top is None:
            return None
        labels = [value for name, value in self.learner.named_parameters() if not name.startswith("top.")]
        return [{"params": labels}, {"params": list(top.parameters()), "lr": self.cfg.TRAINER.TOPLAMM.BLOCKS_LR}]

    def check_cache(self) -> None:
        """Refuse more cached views than there is room for; tokens at the cut are stored with them."""
        if self.learner.top is None:
            super().check_cache()
            return
        top, images = self.learner.top, len(self.dm.dataset.train_x)
        check_cache(self.cfg.INPUT, images, self.clip.embed_dim, top.positions * top.width)

    def training_loader(self, loader: Any) -> Any:
        """A loader of training images; with `INPUT.CACHE_VIEWS` of their tokens at the cut."""
        top = self.learner.top
        if top is None or not self.cfg.INPUT.CACHE_VIEWS:
            return super().training_loader(loader)
        return self.feature_cache.cut_loader(loader, top.cut, f"block {top.first}")

    def image_features(self, images: Tensor | ImageShare | CutViews) -> Tensor:
        """f and f0, side by side, fp32; without tuned blocks as ever. Shape: (B, 2 · E)"""
        if self.learner.top is None:
            assert not isinstance(images, CutViews)  # nothing cuts the tower
            return super().image_features(images)
        return self.encoded(images, self.learner.image_features)
