"""What all prompt trainers share: the training step, precision, evaluation, checkpoints, several processes.

Letters: B images, G prefixes (1, or one per image), N classes, E embedding size.
"""

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from yacs.config import CfgNode

from lamm.checkpoints.by_class_name import checkpoint_file, load_learned, read_checkpoint
from lamm.checkpoints.label_bank import LABEL_FILE
from lamm.clip.loading import load_clip
from lamm.clip.low_rank import LowRank
from lamm.clip.model import ClipModel, resolve_precision
from lamm.clip.sources import weights_of
from lamm.engine import ENGINE, TrainerX, build_lr_scheduler, build_optimizer, compute_accuracy
from lamm.engine.embedded.loader import EpochLoader
from lamm.errors import ConfigError, LammError
from lamm.features.ahead import AheadEncoder
from lamm.features.cache import FeatureCache, check_cache
from lamm.incremental.plan import step_of
from lamm.incremental.step import IncrementalStep
from lamm.log import logger
from lamm.parallel.ranks import current_ranks, generators_digest
from lamm.parallel.sharing import ImageShare, SharedOutTextEncoder, ShareLoader, average_gradients, gather_shares
from lamm.prompts import DEFAULT_CONTEXT
from lamm.results.run_files import ClassFeatures
from lamm.run.values import check_values
from lamm.scoring import Prompts, Scoring, TemplatePrompts, scaled_scores

from .config import completed
from .prompt_learner import PromptLearner
from .traits import Traits

# How far a learned value may drift between processes whose machines round differently, as a share of the largest.
DRIFT = 1e-3
AHEAD = 4  # threads at most that encode the images of coming batches


class PromptTrainer(Scoring, TrainerX):
    """A frozen CLIP with a prompt learner.

    A subclass names its learner class and its traits; that is usually all. Several processes (torchrun) do the
    same steps, each with its share of the images and classes; the first one writes.

    Attributes:
        learner_class: its `from_config` makes the learner. None: nothing is learned, and `make_learner` is overridden.
        traits: of a trainer of ours, its line in `traits.py`: what a plan asks for without importing the class. Each
            trait is an attribute of the class, such as `config_nodes`; a trainer of others sets these themselves.
        config_node: key below `cfg.TRAINER` where its `PREC` stands.
        config_nodes: all keys below `cfg.TRAINER` whose values it reads. A class without such a line may read any.
        registered_name: folder of its checkpoints.
        templates: of a trainer whose prompts are hand-written, one or more with `{}` for the class name.
        serves_other_classes: what it has learned can be tested on classes that it has no images of.
        several_processes: such a trainer can share its work out over processes.
        further_metrics: what a run records beside its evaluator's metrics, by name.
        part: times a part of the run, `with self.part(name)`; a run of our commands puts its clock there.
        zero_shot_accuracy: of CLIP as it is with "a photo of a {}.", on the images tested after training, in percent.
            None: it was not computed, because the prompts change the image tower, or nothing was trained or tested.
    """

    learner_class: type[Prompts] | None = None
    traits: Traits | None = None
    config_node = ""
    config_nodes: tuple[str, ...] = ()
    default_config = ""
    tiny_config = ""
    registered_name = "prompt_learner"
    templates: Sequence[str] = ()

    has_templates = False
    serves_other_classes = True
    closed_form = False
    learns_in_steps = True
    several_processes = True
    incremental: IncrementalStep | None = None
    scaler: Any = None
    further_metrics: Mapping[str, float] = MappingProxyType({})
    zero_shot_accuracy: float | None = None
    part: Callable[[str], AbstractContextManager[Any]] = nullcontext
    _bar = tqdm(disable=True)
    _all_finite: Tensor | bool = True
    _spare_threads = 0
    _evaluated_text: Tensor | None = None

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        traits: Traits | None = vars(cls).get("traits")
        for name, value in ({} if traits is None else traits.attributes()).items():
            setattr(cls, name, value)

    def __init__(self, cfg: CfgNode) -> None:
        self.ranks = current_ranks()
        self.with_others = self.ranks.many
        super().__init__(completed(cfg))

    # The training step.

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update: features → text → logits → loss → update.

        Returns:
            The numbers of the progress line, as tensors on the device: fetching them is left to whoever prints.
        """
        images, labels = self.parse_batch_train(batch)
        with self.part("loss"):
            parts, logits = self.loss_parts(images, labels)
            loss = torch.stack(list(parts.values())).sum()
            self._check_loss(loss.detach())
        with self.part("backward"):
            self.model_zero_grad()
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            if self.with_others:
                average_gradients(self._learned(), self.ranks)
        with self.part("update"):
            if self.scaler is None:
                self.model_update()
            else:
                self.scaler.step(self.optim)
                self.scaler.update()
            if self.batch_idx + 1 == self.num_batches:
                self.update_lr()

        self._bar.update()
        shown = {"loss": loss.detach(), "acc": compute_accuracy(logits.detach(), labels)[0]}
        return shown if len(parts) == 1 else {**shown, **{name: part.detach() for name, part in parts.items()}}

    def loss_parts(self, images: Tensor | ImageShare, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The parts whose sum is the loss, by the name they are printed under, and the logits (B, N)."""
        return self.parts_of(self.image_features(images), labels)

    def parts_of(self, image: Tensor, labels: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The same, given image features (B, E)."""
        with self.part("text"):
            text = self.text_features(image)  # (G, N, E)
        logits = self.learner.scores(image, text)  # (B, N)
        if self.incremental is None or not self.incremental.negatives:
            return self.learner.loss_parts(text, image, logits, labels, self.shots), logits
        # The classes of the steps before are in the softmax too: (B, N, and theirs).
        logits = torch.cat([logits, *self.incremental.negative_scores(image)], dim=1)
        return self.learner.loss_parts(text, image, logits, labels, self.shots, self.incremental.negatives), logits

    def parse_batch_train(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W), or their cached features (B, E), and labels (B,), on the device."""
        return batch["img"].to(self.device, non_blocking=True), batch["label"].to(self.device, non_blocking=True)

    def image_features(self, images: Tensor | ImageShare) -> Tensor:
        """Image features of the learner, fp32; see `Prompts.image_features`. Shape: (B, E)

        Args:
            images: (B, 3, H, W), or a process's share of them. Cached features, (B, E), are returned as they are.
        """
        with self.part("encode"):
            return self.encoded(images, super().image_features)

    def encoded(self, images: Any, encode: Callable[[Any], Tensor]) -> Tensor:
        """What `encode` makes of a batch, (B, …); of a process's share of it, what all processes make together."""
        if isinstance(images, ImageShare):
            return gather_shares(encode(images.images), images.whole, self.ranks)
        return encode(images)

    def _check_loss(self, loss: Tensor) -> None:
        """Refuse a loss that is not a number.

        On a GPU it is looked at only when numbers are fetched anyway, since looking makes the host wait.
        """
        self._all_finite = torch.isfinite(loss) & self._all_finite
        done = self.batch_idx + 1
        fetched = done == self.num_batches or done % self.cfg.TRAIN.PRINT_FREQ == 0
        if (loss.device.type == "cpu" or fetched) and not self._all_finite:
            raise LammError(
                f"the loss is infinite or not a number in epoch {self.epoch + 1}: lower OPTIM.LR "
                f"(now {self.cfg.OPTIM.LR}), or set TRAINER.{self.config_node}.PREC fp32"
            )

    # Building: CLIP, the learner, the optimizer.

    def check_cfg(self, cfg: CfgNode) -> None:
        """Refuse values out of range, and ways of loading images that do not give one tensor per image."""
        check_values(cfg, self.config_nodes)
        resolve_precision(cfg.TRAINER[self.config_node].PREC, torch.device("cpu"))
        if cfg.DATALOADER.K_TRANSFORMS != 1:
            raise ConfigError(f"DATALOADER.K_TRANSFORMS is {cfg.DATALOADER.K_TRANSFORMS}: prompt trainers take 1 view")
        if cfg.INPUT.NO_TRANSFORM:
            raise ConfigError("INPUT.NO_TRANSFORM gives no tensors, which prompt trainers need: set it to False")

    def build_model(self) -> None:
        """Load CLIP, build the learner, and register what it trains."""
        cfg = self.cfg
        if not hasattr(self, "record"):  # not in a run of our commands, whose log says it already
            logger.info("%s", ENGINE.line())
        self.clip = self.make_clip(cfg, self.device)
        self.precision = self.clip.precision
        logger.info("CLIP %s, precision %s, on %s", self.clip.name, self.precision, self.device)
        self.learner = self.build_learner(self.clip, self.dm.dataset.classnames)
        self.model = self.learner
        self.incremental = IncrementalStep(self) if step_of(cfg) else None
        self.check_cache()
        self.shots = float(cfg.DATASET.NUM_SHOTS)
        if self.shots < 1:
            self.shots = len(self.dm.dataset.train_x) / self.num_classes
        trained = [p for p in self.learner.parameters() if p.requires_grad]
        logger.info("Trained parameters: %s", f"{sum(p.numel() for p in trained):,}")
        if not trained:
            self.max_epoch = 0
            return
        self.optim = build_optimizer(self.learner, cfg.OPTIM, self.parameter_groups())
        optimized = {id(p) for group in self.optim.param_groups for p in group["params"]}
        if not all(id(p) in optimized for p in trained):
            raise ConfigError("OPTIM.STAGED_LR leaves out what this trainer learns: set it to False")
        self.sched = build_lr_scheduler(self.optim, cfg.OPTIM)
        self.register_model(self.registered_name, self.learner, self.optim, self.sched)
        if self.precision == "amp" and self.device.type == "cuda":
            # Each process's gradients are `size` times as large before they are averaged.
            self.scaler = torch.amp.GradScaler("cuda", init_scale=2.0**16 / self.ranks.size)

    def check_cache(self) -> None:
        """Refuse cached views where image features change, or more of them than there is room for."""
        options = self.cfg.INPUT
        if options.CACHE_VIEWS > 0 and self.learner.changes_images:
            raise ConfigError(
                f"INPUT.CACHE_VIEWS is {options.CACHE_VIEWS}, but {type(self).__name__} changes the image tower: "
                "its features change with every step, set it to 0"
            )
        check_cache(options, len(self.dm.dataset.train_x), self.clip.embed_dim)

    def parameter_groups(self) -> list[dict[str, Any]] | None:
        """The optimizer's groups where what is learned has several rates. None: all has `OPTIM.LR`."""
        return None

    def build_learner(self, clip: ClipModel, class_names: Sequence[str]) -> Any:
        """The prompts, on the device."""
        learner = self.make_learner(self.cfg, clip, class_names, self.templates).to(self.device)
        if self.with_others and isinstance(learner, PromptLearner):
            learner.encode_with(SharedOutTextEncoder(learner.text_encoder, self.ranks))
            for layer in learner.modules():
                if isinstance(layer, LowRank):
                    layer.part = self.ranks.rank  # each process has images of its own
        return learner

    @classmethod
    def require_weights(cls, cfg: CfgNode) -> None:
        """Have the weights of the CLIP that a config names on this machine, before anything else takes time.

        Raises:
            BackboneError: they are not there and can't be downloaded; the message says what to put where.
        """
        weights_of(cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.PATH)

    @classmethod
    def make_clip(cls, cfg: CfgNode, device: torch.device) -> ClipModel:
        """The CLIP that a config names, in its precision, which is resolved for the device.

        Raises:
            BackboneError: the model can't be loaded, or takes images of another size.
        """
        precision = resolve_precision(cfg.TRAINER[cls.config_node].PREC, device)
        dtype = torch.float16 if precision == "fp16" else torch.float32
        clip = load_clip(cfg.MODEL.BACKBONE.NAME, cfg.MODEL.BACKBONE.PATH, dtype, device)
        clip.precision = precision
        clip.check_image_size(cfg.INPUT.SIZE)
        return clip

    @classmethod
    def make_learner(
        cls, cfg: CfgNode, clip: ClipModel, class_names: Sequence[str], templates: Sequence[str] = ()
    ) -> Any:
        """The prompts that a config asks for; what `Scoring` needs."""
        learner_class = cls.learner_class
        assert learner_class is not None, f"{cls.__name__} has no learner_class and no make_learner of its own"
        assert issubclass(learner_class, PromptLearner), f"{cls.__name__} has no make_learner of its own"
        return learner_class.from_config(completed(cfg), clip, class_names)

    # Training and evaluation as a whole.

    def train(self) -> None:  # type: ignore[override]
        """Train, and test, with as many threads as suit the model."""
        with self.clip.suited_threads() as self._spare_threads:
            try:
                super().train()
            finally:
                if getattr(self.train_loader_x, "through", None) is not None:
                    self.train_loader_x.through = None

    def before_train(self) -> None:
        """Resume, all processes from the same checkpoint, and prepare the loader; without a learner only the clock."""
        if not self.get_model_names():
            self.init_writer(os.path.join(self.output_dir, "tensorboard"))
            self.time_start = time.time()
            return
        super().before_train()
        if self.with_others:
            sums = [f"{value.double().sum().item():.4e}" for value in self._learned()]
            self.ranks.require_same(
                "what they start from", [self.start_epoch, *sums], "the output folder must be on a disk that all share"
            )
        self.train_loader_x = self.training_loader(self.train_loader_x)
        if self._spare_threads and self._reads_only_features:
            threads = min(self._spare_threads + 1, AHEAD)  # one more than are free: a step waits for its batch
            encode = self.learner.image_features
            self.train_loader_x.through = functools.partial(AheadEncoder, encode=encode, threads=threads)
        steps = len(self.train_loader_x)
        done, total = self.start_epoch * steps, self.max_epoch * steps
        self._bar = tqdm(desc="training", unit="step", initial=done, total=total, leave=False, disable=None)

    def training_loader(self, loader: Any) -> Any:
        """A loader of training images as this process trains on them: of features, with `INPUT.CACHE_VIEWS`."""
        return (
            self.feature_cache.training_loader(loader) if self.cfg.INPUT.CACHE_VIEWS else self.share_of_batches(loader)
        )

    @property
    def _reads_only_features(self) -> bool:
        """Whether a step reads nothing of its images but the features of the frozen tower, on a CPU."""
        return (
            self.device.type == "cpu"
            and type(self.train_loader_x) is EpochLoader  # whose random numbers don't depend on when it loads
            and type(self.learner).image_features is Prompts.image_features
            and type(self).loss_parts is PromptTrainer.loss_parts
            and not self.learner.changes_images
        )

    def after_epoch(self) -> None:
        """Check that the processes have stayed together, then what the engine does."""
        if self.with_others:
            self._require_together()
        super().after_epoch()

    @torch.no_grad()
    def after_train(self) -> None:
        """Test the model that the config asks for, and write its labels and its class features."""
        self._bar.close()
        super().after_train()
        names = list(self.dm.dataset.classnames)
        original = TemplatePrompts(self.clip, names, [f"{DEFAULT_CONTEXT} {{}}."]).text_features()  # (1, N, E)
        if self.get_model_names() and not (self.learner.changes_images or self.cfg.TEST.NO_TEST):
            scores = functools.partial(scaled_scores, logit_scale=self.clip.logit_scale)
            self.zero_shot_accuracy = self.accuracy_of(original, scores)
        features, bank = ClassFeatures(names, self.text_features()[0], original[0]), self.learner.label_bank()
        if self.ranks.first:
            features.save(self.output_dir)
            if bank is not None:
                bank.save(os.path.join(self.output_dir, LABEL_FILE))

    def test(self, split: str | None = None) -> float:
        """Evaluate; image features of a tower without prompts are cached, text features encoded once if they can be."""
        if (split or self.cfg.TEST.SPLIT) == "val" and self.val_loader is not None:
            self.val_loader = self.prepared_for_test(self.val_loader)
        else:
            self.test_loader = self.prepared_for_test(self.test_loader)
        if not self.learner.per_image:
            with torch.no_grad():
                self._evaluated_text = self.text_features()
        try:
            result = super().test(split)
        finally:
            self._evaluated_text = None
        if split is None and self.incremental is not None:
            self.further_metrics = {**self.further_metrics, **self.incremental.metrics()}
        return result

    def prepared_for_test(self, loader: Any) -> Any:
        """A loader of test images as this process tests them: of features, where the tower runs as it is."""
        return self.share_of_batches(loader) if self.learner.changes_images else self.feature_cache.test_loader(loader)

    def model_inference(self, input: Tensor) -> Tensor:
        """Logits of images. Shape: (B, N)"""
        return self.scores(input, self._evaluated_text)

    @torch.no_grad()
    def accuracy_of(self, text: Tensor, scores: Callable[[Tensor, Tensor], Tensor]) -> float:
        """Accuracy in percent of other scores than the learner's on the images that were tested.

        Args:
            text: (G, N, E).
            scores: from image features and `text` to logits (B, N).
        """
        on_val = self.cfg.TEST.SPLIT == "val" and self.val_loader is not None
        batches = [self.parse_batch_test(batch) for batch in (self.val_loader if on_val else self.test_loader)]
        correct = 0
        for images, labels in batches:
            correct += int((scores(self.image_features(images), text).argmax(dim=1) == labels).sum())
        return 100.0 * correct / sum(len(labels) for _, labels in batches)

    @functools.cached_property
    def feature_cache(self) -> FeatureCache:
        """Image features of the frozen tower, encoded once."""
        return FeatureCache(self.cfg, self.clip)

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load learned tensors; labels go by class name where the class list is another one.

        Args:
            directory: of the training run, or a classifier file; empty: nothing is loaded.
            epoch: of the file `model.pth.tar-<epoch>`; None: the best model, else the last.

        Raises:
            CheckpointError: a missing or damaged file, or one of another backbone or method.
        """
        if not directory:
            logger.info("Note that load_model() is skipped as no pretrained model is given")
            return
        if os.path.isfile(directory):
            from lamm.estimator.model import read_state  # it stands on the trainers' names in the registry

            self._take(read_state(directory), directory)
            return
        for name in self.get_model_names():
            path = checkpoint_file(os.path.join(directory, name), epoch)
            checkpoint = read_checkpoint(path)
            logger.info('Loading weights to %s from "%s" (epoch = %s)', name, path, checkpoint.get("epoch"))
            self._take(checkpoint["state_dict"], path)

    def _take(self, state: dict[str, Any], path: str) -> None:
        """Load learned tensors, and record how many classes they know."""
        known = load_learned(self.learner, state, path)
        if known is not None and os.path.dirname(os.path.dirname(path)) != self.output_dir:
            counts = {"labels_learned": known, "labels_from_clip": len(self.learner.class_names) - known}
            self.further_metrics = {**self.further_metrics, **counts}

    # Several processes.

    def init_writer(self, log_dir: str) -> None:
        """Open the TensorBoard writer, in the first process."""
        if self.ranks.first:
            super().init_writer(log_dir)

    def save_model(self, *positional: Any, **named: Any) -> None:
        """Save, in the first process; the others go on when that is done, since they may load the file."""
        if self.ranks.first:
            super().save_model(*positional, **named)
        self.ranks.barrier()

    def share_of_batches(self, loader: Any) -> Any:
        """The loader as this process needs it: of its share of the images. One of features stays as it is."""
        shared_out = not isinstance(loader, EpochLoader) or isinstance(loader, ShareLoader)
        return loader if shared_out or not self.with_others else ShareLoader(loader, self.ranks)

    def _learned(self) -> Sequence[Tensor]:
        modules = [self._models[name] for name in self.get_model_names()]
        return [value for module in modules for value in module.parameters() if value.requires_grad]

    def _require_together(self) -> None:
        """Refuse to save what the processes do not agree on: random generators, learned tensors."""
        advice = f"epoch {self.epoch + 1} can't be trusted; report it, and train with one process"
        self.ranks.require_same("their random generators", generators_digest(), advice)
        with torch.no_grad():
            own = torch.cat([value.flatten() for value in self._learned()])
            away = (own - self.ranks.sum(own.clone()) / self.ranks.size).abs().max()
            drifted = (away > DRIFT * own.abs().max()).float()
        if self.ranks.sum(drifted).item() > 0:
            raise LammError(f"the processes' learned tensors have drifted apart: {advice}")
