"""How a class-incremental step is scored: every set among its own classes, and among all classes seen so far.

Every set is encoded and scored by itself, so that no set changes a bit of another.
"""

from collections.abc import Sequence
from typing import Any

import torch

from lamm.datasets.seen_classes import SeenSet
from lamm.engine import build_data_loader
from lamm.log import logger
from lamm.results.incremental import own_metric, seen_metric
from lamm.scores import scaled_scores


@torch.no_grad()
def incremental_metrics(trainer: Any, sets: Sequence[SeenSet], learners: Sequence[Any]) -> dict[str, float]:
    """For every set its accuracy (a) among its own classes and (b) among all classes seen, in percent.

    Args:
        trainer: a `PromptTrainer`.
        sets: of classes and their images.
        learners: the prompts of each set.
    """
    texts = [None if learner.per_image else learner.text_features() for learner in learners]
    found: dict[str, float] = {}
    for place, seen in enumerate(sets):
        before = sum(len(one.class_names) for one in sets[:place])
        total, own, among_all = 0, 0, 0
        for batch in _images(trainer, seen):
            images, labels = trainer.parse_batch_test(batch)
            image = trainer.image_features(images)
            blocks = [
                scaled_scores(image, learner.text_features(image) if text is None else text, trainer.clip.logit_scale)
                for learner, text in zip(learners, texts, strict=True)
            ]
            total += len(labels)
            own += int((blocks[place].argmax(dim=1) == labels).sum())
            among_all += int((torch.cat(blocks, dim=1).argmax(dim=1) == labels + before).sum())
        shares = 100.0 * own / total, 100.0 * among_all / total
        found |= {own_metric(place + 1): shares[0], seen_metric(place + 1): shares[1]}
        logger.info(
            "Set %d: %.1f%% among its own %d classes, %.1f%% among all %d seen so far",
            *(place + 1, shares[0], len(seen.class_names), shares[1], sum(len(one.class_names) for one in sets)),
        )
    return found


def _images(trainer: Any, seen: SeenSet) -> Any:
    """The loader of a set's images, as the trainer tests its own."""
    cfg = trainer.cfg
    loader = build_data_loader(
        cfg,
        sampler_type=cfg.DATALOADER.TEST.SAMPLER,
        data_source=seen.val if cfg.TEST.SPLIT == "val" and seen.val else seen.test,
        batch_size=cfg.DATALOADER.TEST.BATCH_SIZE,
        tfm=trainer.test_loader.dataset.transform,
        is_train=False,
    )
    return trainer.prepared_for_test(loader)
