"""Tip-Adapter (ECCV 2022, arXiv:2111.03930): a cache of the training images beside the zero-shot scores.

    logits = cos(I, ψ(y)) / τ + α exp(−β (1 − I Fᵀ)) L
    F: a key per training image, the mean of its views' features, of unit length        L: its label, one-hot

α and β are those of the least log-loss on the training images, each without its own key (`lamm_trainers.heads`). One
image per class says nothing about them: β is 1 then, and the cache weighs as much as the zero-shot scores.

Published (`CHOICE val`): α and β of the highest accuracy on the validation images, on a grid for each data set.

Tip-Adapter-F trains the keys: cross-entropy, AdamW with ε = 1e-4, α and β as they are. Published, α and β are the start
values in training, and are searched for when it is over. Ours are chosen before: trained keys have seen all images, so
that leaving an image's own out would say nothing any more.

Not as published: the mean is over unit features, for those are what the cache of features holds; keys are fp32; the
learning rate falls by epochs; training takes cached views where there are such.

Letters: n training images, k views of each, N classes, E embedding size.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.clip.model import ClipModel
from lamm.scoring import scaled_scores

from .heads import Head, HeadTrainer, Images, OnTemplates, weight_of_least_loss
from .traits import TRAITS

BETAS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
START_BETA = 1.0
# Data set → (largest β, largest α) of the published grid, and the α to start from.
PUBLISHED = {
    "Caltech101": (12.0, 5.0, 3.0),
    "DescribableTextures": (13.0, 13.0, 2.0),
    "EuroSAT": (12.0, 10.0, 2.0),
    "FGVCAircraft": (30.0, 30.0, 5.0),
    "Food101": (10.0, 10.0, 1.17),
    "OxfordFlowers": (50.0, 50.0, 10.0),
    "StanfordCars": (20.0, 10.0, 3.0),
    "SUN397": (12.0, 10.0, 1.17),
    "UCF101": (7.0, 3.0, 3.0),
}
USUAL = (7.0, 3.0, 1.17)  # ImageNet and Oxford Pets; any other data set
EPSILON = 1e-4
# Affinities that are computed at a time, to bound the memory.
AT_ONCE = 20_000_000


class TipAdapterLearner(Head):
    """The cache.

    Attributes:
        keys: F, (n, E).
        key_labels: (n, 1), as floating-point numbers.
        alpha, beta: α and β, (1,) each.
        published: of `PUBLISHED`.
    """

    trains_keys = False
    keys: nn.Parameter
    key_labels: Tensor
    alpha: Tensor
    beta: Tensor
    published = USUAL

    def __init__(self, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str]) -> None:
        super().__init__(clip, class_names, templates)
        self.make_room(0)
        self.register_buffer("alpha", torch.zeros(1))
        self.register_buffer("beta", torch.ones(1))

    def make_room(self, images: int) -> None:
        """Have so many keys, all zero."""
        device = self.clip.logit_scale.device
        self.keys = nn.Parameter(torch.zeros(images, self.clip.embed_dim, device=device), self.trains_keys)
        self.register_buffer("key_labels", torch.zeros(images, 1, device=device))

    def make_room_for(self, state: dict[str, Any]) -> None:
        """As many keys as a checkpoint has."""
        if "keys" in state and state["keys"].ndim == 2:
            self.make_room(len(state["keys"]))

    def fit(self, features: Tensor, labels: Tensor, val: Images | None = None) -> None:
        """See `Head.fit`."""
        self.fill(features, labels)
        if val is None:
            self.choose_by_training_images(features, labels)
        else:
            self.choose_by(val)

    @torch.no_grad()
    def fill(self, features: Tensor, labels: Tensor) -> None:
        """Put the training images into the cache, with α and β to start from."""
        self.keys.copy_(F.normalize(features.mean(dim=1), dim=-1))
        self.key_labels.copy_(labels[:, None])
        self._set(self.published[2], START_BETA)

    def scores(self, image: Tensor, text: Tensor) -> Tensor:
        """Logits. Shape: (B, N)"""
        affinities = (-self.beta * (1 - image.float() @ self.keys.T)).exp()  # (B, n)
        return scaled_scores(image, text, self.clip.logit_scale) + self.alpha * (affinities @ self._values())

    def loss_parts(
        self, text: Tensor, image: Tensor, logits: Tensor, labels: Tensor, shots: float
    ) -> dict[str, Tensor]:
        """The cross-entropy; see `PromptLearner.loss_parts`."""
        return {"loss_ce": F.cross_entropy(logits, labels)}

    def exported(self) -> tuple[dict[str, Tensor], str]:
        """See `Prompts.exported`."""
        tensors, formula = super().exported()
        tensors |= {"keys": self.keys, "values": self._values(), "alpha": self.alpha[0], "beta": self.beta[0]}
        return tensors, f"{formula} + alpha * exp(-beta * (1 - image_features @ keys.T)) @ values"

    def chosen(self) -> dict[str, float]:
        """α and β."""
        return {"alpha": self.alpha.item(), "beta": self.beta.item()}

    def per_class_tensors(self) -> tuple[str, ...]:
        """See `Prompts.per_class_tensors`."""
        return ("keys", "key_labels")

    def _values(self) -> Tensor:
        """L, (n, N)"""
        classes = torch.arange(len(self.class_names), device=self.key_labels.device)
        return (self.key_labels == classes).float()

    def _set(self, alpha: float, beta: float) -> None:
        self.alpha.fill_(alpha)
        self.beta.fill_(beta)

    # The two ways of choosing.

    @torch.no_grad()
    def choose_by_training_images(self, features: Tensor, labels: Tensor) -> None:
        """α and β of the least log-loss, each image without its own key.

        Args:
            features: of the images whose keys the cache holds, (n, k, E).
            labels: (n,).
        """
        zero_shot = self.zero_shot(features)
        found = {}
        for beta in BETAS:
            scores = torch.cat([self._without_own(features, labels, part, beta) for part in self._parts(features)])
            found[beta] = weight_of_least_loss(zero_shot, scores, labels)
        beta = min(found, key=lambda beta: found[beta][1])  # the first of equals
        self._set(found[beta][0], beta)

    def _parts(self, features: Tensor) -> Sequence[Tensor]:
        images, views, _ = features.shape
        return torch.arange(images, device=features.device).split(max(1, AT_ONCE // (views * images)))

    def _without_own(self, features: Tensor, labels: Tensor, part: Tensor, beta: float) -> Tensor:
        """What the cache says of some images without their own keys; −inf of a class without another. (part, k, N)"""
        cosines = features[part] @ self.keys.T  # (part, k, n)
        cosines[torch.arange(len(part)), :, part] = -torch.inf  # exp(−∞) adds nothing
        scores = self._cached(cosines.flatten(0, 1), labels, beta).view(*cosines.shape[:2], -1)
        alone = torch.bincount(labels)[labels[part]] == 1
        scores[alone, :, labels[part][alone]] = -torch.inf
        return scores

    @torch.no_grad()
    def choose_by(self, val: Images) -> None:
        """α and β of the highest accuracy on the validation images, the first of equals, on the published grid."""
        largest_beta, largest_alpha, _ = self.published
        zero_shot, cosines = self.zero_shot(val.features), val.features @ self.keys.T
        key_labels, best = self.key_labels[:, 0].long(), -1
        for beta in (0.1 + i * (largest_beta - 0.1) / 200 for i in range(200)):
            cache = self._cached(cosines, key_labels, beta)
            for alpha in (0.1 + j * (largest_alpha - 0.1) / 20 for j in range(20)):
                correct = int(((zero_shot + alpha * cache).argmax(dim=1) == val.labels).sum())
                if correct > best:
                    best = correct
                    self._set(alpha, beta)

    def _cached(self, cosines: Tensor, key_labels: Tensor, beta: float) -> Tensor:
        """exp(−β (1 − I Fᵀ)) L, of cosines (m, n). Shape: (m, N)"""
        affinities = (-beta * (1 - cosines)).exp()
        return affinities.new_zeros(len(cosines), len(self.class_names)).index_add_(1, key_labels, affinities)


class TipAdapterFLearner(TipAdapterLearner):
    """The cache with keys that are trained."""

    trains_keys = True


class OnCache(OnTemplates):
    """A cache as large as the training set."""

    def build_learner(self, clip: ClipModel, class_names: Sequence[str]) -> Any:
        """The cache, with zeros for keys."""
        learner = super().build_learner(clip, class_names)
        learner.make_room(len(self.dm.dataset.train_x))
        learner.published = PUBLISHED.get(self.cfg.DATASET.NAME, USUAL)
        return learner


class TipAdapter(OnCache, HeadTrainer):
    """Trains a `TipAdapterLearner`; config node `TRAINER.TIPADAPTER`."""

    learner_class = TipAdapterLearner
    traits = TRAITS["TipAdapter"]


class TipAdapterF(OnCache):
    """Trains a `TipAdapterFLearner` by gradient; config node `TRAINER.TIPADAPTER`."""

    learner_class = TipAdapterFLearner
    traits = TRAITS["TipAdapterF"]

    def build_model(self) -> None:
        """The cache and its optimizer."""
        super().build_model()
        if self.cfg.OPTIM.NAME == "adamw":
            for group in self.optim.param_groups:
                group["eps"] = EPSILON

    def before_train(self) -> None:
        """Resume, or fill the cache."""
        super().before_train()
        if self.start_epoch > 0:
            return
        loader = self.train_loader_x
        if not self.cfg.INPUT.CACHE_VIEWS:  # as test images are, since training makes new views each time
            loader = self.feature_cache.training_images(self.dm.train_loader_x, self.test_loader.dataset.transform)
        self.learner.fill(loader.features, loader.labels)
        if self.images_to_choose_by() is None:
            self.learner.choose_by_training_images(loader.features, loader.labels)

    def after_epoch(self) -> None:
        """Search for α and β when the last epoch is over, if the config chooses by validation images."""
        val = self.images_to_choose_by() if self.epoch + 1 == self.max_epoch else None
        if val is not None:
            self.learner.choose_by(val)
        super().after_epoch()
