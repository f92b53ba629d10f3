"""Class-incremental learning (arXiv:2312.08212, Table 2): what a step takes from those before it, and how it is scored.

Step t learns the classes of set t, starting from the context that step t − 1 left. The labels of earlier sets stay what
their steps wrote. Every set is encoded and scored by itself, so that no set changes a bit of another.

Letters: B images, G prefixes (1, or one an image), N classes, E embedding size.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.datasets.seen_classes import SeenSet
from lamm.engine import build_data_loader
from lamm.errors import CheckpointError, ConfigError
from lamm.label_bank import FILE_NAME as LABEL_FILE
from lamm.label_bank import LabelBank
from lamm.log import logger
from lamm.results.incremental import own_metric, seen_metric
from lamm.run.incremental_steps import earlier_steps, step_of
from lamm.scores import scaled_scores

from .checkpoint_files import final_checkpoint, read_checkpoint
from .checkpoints import EXTRA, load_learned
from .original_checkpoints import LABELS


class IncrementalStep:
    """One step of a trainer.

    Args:
        trainer: a `PromptTrainer` whose learner, of this step's classes, is built.

    Attributes:
        sets: the sets of classes up to this step's, which is the last.
        earlier: prompts of the sets before it: their labels are buffers that hold what their steps wrote, what else
            they learn is the current learner's.

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
        if trainer.learner_class is not None and learner.per_class_tensors():
            raise ConfigError(
                f"{cfg.TRAINER.NAME} has class-specific context (CSC), which no later step can take over: "
                "INCREMENTAL.STEPS needs TRAINER.COOP.CSC False"
            )
        folders = earlier_steps(cfg.OUTPUT_DIR, step_of(cfg))
        if folders and any(value.requires_grad for value in learner.parameters()):
            _continue_from(folders[-1] / trainer.registered_name, learner, cfg.TEST.FINAL_MODEL)
        self.earlier = [
            self._learner_of(seen.class_names, folder) for seen, folder in zip(self.sets, folders, strict=False)
        ]
        self._frozen_text: dict[int, Tensor] = {}

    @classmethod
    def of(cls, trainer: Any) -> "IncrementalStep | None":
        """The step that the trainer's config asks for; None: it asks for none."""
        return cls(trainer) if step_of(trainer.cfg) else None

    def among_seen(
        self, parts: dict[str, Tensor], image: Tensor, logits: Tensor, labels: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The loss among all classes seen so far, where `INCREMENTAL.SEEN_AS_NEGATIVES` asks for it.

        What has a softmax over classes, the cross-entropy and L_KD (Eq. 7), then has it over this set's classes and the
        earlier ones. L_WC and L_COS (Eq. 5, 6) are about embeddings that move, and stay those of this set.

        Args:
            parts: of the loss among this set's own classes.
            image: unit image features, (B, E).
            logits: the learned scores of this set's classes, (B, N).
            labels: within this set, (B,).

        Returns:
            The parts, and the logits that the cross-entropy is over: this set's classes, then those of sets 1, 2, ….
        """
        if not (self.earlier and self._trainer.cfg.INCREMENTAL.SEEN_AS_NEGATIVES):
            return parts, logits
        scale = self._trainer.clip.logit_scale
        negatives = [scaled_scores(image, self._text(place, image), scale) for place in range(len(self.earlier))]
        logits = torch.cat([logits, *negatives], dim=1)
        parts = {**parts, "loss_ce": F.cross_entropy(logits, labels)}
        if "loss_kd" in parts:
            learner = self._trainer.learner
            teacher = torch.cat([one.teacher_features(image) for one in (learner, *self.earlier)], dim=1)
            parts["loss_kd"] = learner.distillation_loss(logits, image, teacher)
        return parts, logits

    @torch.no_grad()
    def metrics(self) -> dict[str, float]:
        """For every set so far its accuracy (a) among its own classes and (b) among all classes seen, in percent."""
        learners = [*self.earlier, self._trainer.learner]
        texts = [None if learner.per_image else learner.text_features() for learner in learners]
        found: dict[str, float] = {}
        for number, seen in enumerate(self.sets, start=1):
            own, among_all = self._accuracies(number - 1, learners, texts)
            found |= {own_metric(number): own, seen_metric(number): among_all}
            logger.info(
                "Set %d: %.1f%% among its own %d classes, %.1f%% among all %d seen so far",
                *(number, own, len(seen.class_names), among_all, sum(len(one.class_names) for one in self.sets)),
            )
        return found

    def _accuracies(self, place: int, learners: list[Any], texts: list[Tensor | None]) -> tuple[float, float]:
        trainer, total, own, among_all = self._trainer, 0, 0, 0
        before = sum(len(seen.class_names) for seen in self.sets[:place])
        for batch in self._images(place):
            images, labels = trainer.parse_batch_test(batch)
            image = trainer.image_features(images)
            blocks = [
                scaled_scores(image, learner.text_features(image) if text is None else text, trainer.clip.logit_scale)
                for learner, text in zip(learners, texts, strict=True)
            ]
            total += len(labels)
            own += int((blocks[place].argmax(dim=1) == labels).sum())
            among_all += int((torch.cat(blocks, dim=1).argmax(dim=1) == labels + before).sum())
        return 100.0 * own / total, 100.0 * among_all / total

    def _images(self, place: int) -> Any:
        """The loader of a set's images, as the trainer tests its own."""
        trainer, seen = self._trainer, self.sets[place]
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

    def _text(self, place: int, image: Tensor) -> Tensor:
        """Text features of an earlier set; encoded once where nothing that they depend on is learned. (G, N, E)"""
        learner = self.earlier[place]
        if any(value.requires_grad for value in learner.parameters()):
            return learner.text_features(image)
        if place not in self._frozen_text:
            with torch.no_grad():
                self._frozen_text[place] = learner.text_features(image)
        return self._frozen_text[place]

    def _learner_of(self, class_names: list[str], folder: Path) -> Any:
        """The prompts of an earlier set; the random generator is where it was."""
        trainer = self._trainer
        with torch.random.fork_rng(devices=[]):
            learner = trainer.build_learner(trainer.clip, class_names).eval()
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
    held, taken = ((one.class_names, one.counts, one.backbone) for one in (bank, learner.label_bank()))
    if held != taken:
        raise CheckpointError(
            f"{LABEL_FILE} of an earlier step ({len(bank.class_names)} labels for {bank.backbone}) does not fit its "
            f"{len(learner.class_names)} classes: remove that step and run it again"
        )
    device = learner.label_embeddings.device
    del learner.label_embeddings
    learner.register_buffer(LABELS, bank.embeddings.to(device), persistent=False)


def _continue_from(folder: Path, learner: Any, final_model: str) -> None:
    """Load what a step has learned beside its labels; those of this step's classes keep the values they start from."""
    path = final_checkpoint(str(folder), final_model)
    if path is None:
        raise CheckpointError(f"{folder} has no checkpoint to continue from: run that step first")
    state = dict(read_checkpoint(path)["state_dict"])
    if LABELS in state and hasattr(learner, LABELS):
        state[LABELS] = learner.label_embeddings.detach().clone()
    own = {key: value for key, value in learner.get_extra_state().items() if key in ("class_names", "label_counts")}
    load_learned(learner, {**state, EXTRA: {**state.get(EXTRA, {}), **own}}, path)
    logger.info('Continuing from "%s" with %d new classes', path, len(learner.class_names))
