"""What one run encodes: images and prompts, in a training step and in a test step. Memory and time follow from it."""

import math
from dataclasses import dataclass
from typing import Any

from lamm.run.plan import RunPlan
from lamm.sweep.backbone_sizes import BackboneSizes, sizes_of
from lamm.sweep.data_facts import DataFacts

LABEL_POSITIONS = 4
"""Positions of a class with the shared prefix: a name of 2 sub-tokens, the full stop, the end token."""
USUAL_CLASSES = 100
"""Stands for a number of classes that is not known."""
EVALUATION_CHUNK = 4096


@dataclass(frozen=True)
class RunSizes:
    """One run.

    Attributes:
        backbone: its model.
        classes: N.
        epochs: 0 for a method that learns nothing.
        train_images: of an epoch.
        test_images: of the test at the end.
        batch: images of a training step.
        test_batch: images of a test step.
        positions: text positions of one prompt.
        prefixes: prompt sets of a training step: 1, or one an image.
        test_prefixes: the same of a test step.
        chunk: prompts that training encodes at a time; 0: all.
        cached_views: views of each training image that are encoded once; 0: each step encodes its images.
        vision_prompts: whether gradients go through the image tower.
    """

    backbone: BackboneSizes
    classes: int
    epochs: int
    train_images: int
    test_images: int
    batch: int
    test_batch: int
    positions: int
    prefixes: int
    test_prefixes: int
    chunk: int
    cached_views: int
    vision_prompts: bool

    @property
    def steps(self) -> int:
        """Training steps of the whole run."""
        return self.epochs * max(1, self.train_images // self.batch)

    @property
    def prompts(self) -> int:
        """Prompts whose activations a training step holds at a time."""
        together = self.classes * self.prefixes
        return min(together, self.chunk) if self.chunk else together

    @property
    def test_prompts(self) -> int:
        """Prompts that a test step encodes at a time."""
        return min(self.classes * self.test_prefixes, EVALUATION_CHUNK)


def run_sizes(plan: RunPlan, facts: DataFacts) -> RunSizes:
    """Read the sizes off a run's config and its trainer's class."""
    cfg = plan.cfg
    learner = getattr(plan.trainer_class, "learner_class", plan.trainer_class)
    node: Any = cfg.TRAINER.get(getattr(plan.trainer_class, "config_node", ""), {})
    classes = facts.classes or USUAL_CLASSES
    if getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", "all") != "all":
        classes = math.ceil(classes / 2)
    shared = not node.get("CSC", False) and node.get("CLASS_TOKEN_POSITION", "end") == "end"
    batch, test_batch = cfg.DATALOADER.TRAIN_X.BATCH_SIZE, cfg.DATALOADER.TEST.BATCH_SIZE
    per_image = getattr(learner, "per_image", False)
    drawn = classes * cfg.DATASET.NUM_SHOTS
    return RunSizes(
        backbone=sizes_of(cfg.MODEL.BACKBONE.NAME),
        classes=classes,
        epochs=cfg.OPTIM.MAX_EPOCH if learner is not None else 0,
        train_images=min(drawn, facts.train_images or drawn),
        test_images=facts.test_images,
        batch=batch,
        test_batch=test_batch,
        positions=LABEL_POSITIONS + (0 if shared else 1 + node.get("N_CTX", 0)),
        prefixes=batch if per_image else 1,
        test_prefixes=test_batch if per_image else 1,
        chunk=getattr(cfg.TRAINER, "TEXT_CHUNK", 0),
        cached_views=getattr(cfg.INPUT, "CACHE_VIEWS", 0),
        vision_prompts="PROMPT_DEPTH" in node,
    )
