"""What a step of class-incremental learning takes from those before it: labels, bit for bit, context, and statistics.

A learner's persistent buffers are what is computed from images in closed form. They stay those of a step's own images;
the head over all sets is computed from all of them (`Prompts.join`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lamm.checkpoints.by_class_name import EXTRA, final_checkpoint, load_learned, read_checkpoint
from lamm.checkpoints.label_bank import LABEL_FILE, LabelBank
from lamm.checkpoints.original_code import LABELS
from lamm.datasets.splits import SeenSet
from lamm.engine import build_data_loader
from lamm.errors import CheckpointError, ConfigError
from lamm.incremental.plan import earlier_steps, step_of
from lamm.log import logger
from lamm.results.schema import STAGE, own_metric, seen_metric


def continue_from(folder: Path, learner: Any, final_model: str) -> None:
    """Load what a step has learned beside its labels and statistics, which stay those of this step's classes.

    Args:
        folder: of the step's checkpoints.
        learner: of this step's classes.
        final_model: `cfg.TEST.FINAL_MODEL`, which says what checkpoint the step has left.

    Raises:
        CheckpointError: the step has left none.
    """
    path = last_checkpoint(folder, final_model)
    state = dict(read_checkpoint(path)["state_dict"])
    if LABELS in state and hasattr(learner, LABELS):
        state[LABELS] = learner.label_embeddings.detach().clone()
    state |= statistics_of(learner)
    own = {key: value for key, value in learner.get_extra_state().items() if key in ("class_names", "label_counts")}
    load_learned(learner, {**state, EXTRA: {**state.get(EXTRA, {}), **own}}, path)
    logger.info('Continuing from "%s" with %d new classes', path, len(learner.class_names))


def last_checkpoint(folder: Path, final_model: str) -> str:
    """The checkpoint that a step has left; see `final_checkpoint`.

    Raises:
        CheckpointError: there is none.
    """
    path = final_checkpoint(str(folder), final_model)
    if path is None:
        raise CheckpointError(f"{folder} has no checkpoint to continue from: run that step first")
    return path


def statistics_of(learner: Any) -> dict[str, Tensor]:
    """The persistent buffers of a learner."""
    parameters = dict(learner.named_parameters())
    return {name: value for name, value in learner.state_dict().items() if name not in (*parameters, EXTRA)}


def earlier_learner(trainer: Any, class_names: Sequence[str], folder: Path) -> Any:
    """The prompts of an earlier step's classes; the random generator is where it was.

    Args:
        trainer: a `PromptTrainer`, whose learner's context they share.
        class_names: of that step.
        folder: of that step, where its labels and statistics are.

    Raises:
        CheckpointError: they are missing, or don't fit.
    """
    with torch.random.fork_rng(devices=[]):
        learner = trainer.build_learner(trainer.clip, class_names).eval()
    if statistics_of(learner):
        path = last_checkpoint(folder / trainer.registered_name, trainer.cfg.TEST.FINAL_MODEL)
        load_learned(learner, read_checkpoint(path)["state_dict"], path)
    share_context(learner, trainer.learner)
    if hasattr(learner, LABELS):
        freeze_labels(learner, LabelBank.load(folder / LABEL_FILE))
    return learner


def share_context(learner: Any, other: Any) -> None:
    """Give a learner what another one learns beside its labels: the very same tensors, not copies."""
    for name, parameter in list(other.named_parameters(recurse=False)):
        if name != LABELS:
            setattr(learner, name, parameter)
    for name, module in list(other.named_children()):
        if next(module.parameters(), None) is not None:
            setattr(learner, name, module)


def freeze_labels(learner: Any, bank: LabelBank) -> None:
    """Make a learner's labels a buffer with the vectors of a label file, bit for bit.

    Raises:
        CheckpointError: the file is of other classes, or of another backbone.
    """
    saved, expected = ((one.class_names, one.counts, one.backbone) for one in (bank, learner.label_bank()))
    if saved != expected:
        raise CheckpointError(
            f"{LABEL_FILE} of an earlier step ({len(bank.class_names)} labels for {bank.backbone}) does not fit its "
            f"{len(learner.class_names)} classes: remove that step and run it again"
        )
    device = learner.label_embeddings.device
    del learner.label_embeddings
    learner.register_buffer(LABELS, bank.embeddings.to(device), persistent=False)


@torch.no_grad()
def incremental_metrics(trainer: Any, sets: Sequence[SeenSet], learners: Sequence[Any]) -> dict[str, float]:
    """For every set its accuracy (a) among its own classes and (b) among all classes seen; (b) over all images.

    In percent.

    Args:
        trainer: a `PromptTrainer`.
        sets: of classes and their images.
        learners: the prompts of each set.
    """
    texts = [None if learner.per_image else learner.text_features() for learner in learners]
    found: dict[str, float] = {}
    images_so_far, right_so_far = 0, 0
    for place, seen in enumerate(sets):
        before = sum(len(one.class_names) for one in sets[:place])
        total, own, among_all = 0, 0, 0
        for batch in _images(trainer, seen):
            images, labels = trainer.parse_batch_test(batch)
            image = trainer.image_features(images)
            blocks = [
                learner.scores(image, learner.text_features(image) if text is None else text)
                for learner, text in zip(learners, texts, strict=True)
            ]
            total += len(labels)
            own += int((blocks[place].argmax(dim=1) == labels).sum())
            among_all += int((torch.cat(blocks, dim=1).argmax(dim=1) == labels + before).sum())
        images_so_far, right_so_far = images_so_far + total, right_so_far + among_all
        shares = 100.0 * own / total, 100.0 * among_all / total
        found |= {own_metric(place + 1): shares[0], seen_metric(place + 1): shares[1]}
        logger.info(
            "Set %d: %.1f%% among its own %d classes, %.1f%% among all %d seen so far",
            *(place + 1, shares[0], len(seen.class_names), shares[1], sum(len(one.class_names) for one in sets)),
        )
    return {**found, STAGE: 100.0 * right_so_far / images_so_far}


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


class IncrementalStep:
    """One step of a trainer.

    Args:
        trainer: a `PromptTrainer` whose learner, of this step's classes, is built.

    Attributes:
        sets: the sets of classes up to this step's, which is the last.
        earlier: prompts of the sets before it: their labels are buffers that hold what their steps wrote, what else
            they learn is the current learner's.
        negatives: those whose classes stand in the softmax of this step too (`INCREMENTAL.SEEN_AS_NEGATIVES`).

    Raises:
        ConfigError: a data set that can't be cut, or context that belongs to the classes of one step.
        CheckpointError: a step before has not left what this one needs.
    """

    def __init__(self, trainer: Any) -> None:
        cfg, learner = trainer.cfg, trainer.learner
        self._trainer = trainer
        self.sets: list[SeenSet] = list(getattr(trainer.dm.dataset, "seen_sets", ()))
        if not self.sets:
            raise ConfigError(f"data set {cfg.DATASET.NAME} can't be learned step by step: leave INCREMENTAL.STEPS out")
        if {*learner.per_class_tensors()}.intersection(dict(learner.named_parameters())):
            raise ConfigError(
                f"{cfg.TRAINER.NAME} has class-specific context (CSC), which no later step can take over: "
                "INCREMENTAL.STEPS needs TRAINER.COOP.CSC False"
            )
        folders = earlier_steps(cfg.OUTPUT_DIR, step_of(cfg))
        if folders and any(value.requires_grad for value in learner.parameters()):
            continue_from(folders[-1] / trainer.registered_name, learner, cfg.TEST.FINAL_MODEL)
        self.earlier = [
            earlier_learner(trainer, seen.class_names, folder) for seen, folder in zip(self.sets, folders, strict=False)
        ]
        learner.earlier = self.earlier
        self.negatives = self.earlier if cfg.INCREMENTAL.SEEN_AS_NEGATIVES else []
        self._frozen_text: dict[int, Tensor] = {}

    def negative_scores(self, image: Tensor) -> list[Tensor]:
        """The scores of the classes of earlier sets, for the softmax over all classes seen so far.

        Their text features are constants: the context does not move in order to push them away.

        Args:
            image: unit image features, (B, E).

        Returns:
            (B, classes of the set), for each set in `negatives`.
        """
        # As the current learner scores in training: without a head.
        return [learner.train().scores(image, self._text(place, image)) for place, learner in enumerate(self.negatives)]

    def metrics(self) -> dict[str, float]:
        """The numbers of this step, see `incremental_metrics`."""
        for learner in self.earlier:
            learner.eval()
        self._trainer.learner.join()  # heads of earlier sets are in no checkpoint, from which this run may be resumed
        return incremental_metrics(self._trainer, self.sets, [*self.earlier, self._trainer.learner])

    @torch.no_grad()
    def _text(self, place: int, image: Tensor) -> Tensor:
        """Constant text features of an earlier set, encoded once where nothing in them is learned. Shape: (G, N, E)"""
        learner = self.earlier[place]
        if place in self._frozen_text:
            return self._frozen_text[place]
        text: Tensor = learner.text_features(image)
        if not any(value.requires_grad for value in learner.parameters()):
            self._frozen_text[place] = text
        return text
