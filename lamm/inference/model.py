"""What scores new images, from the folder of a run alone.

Letters: B images, N classes.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from yacs.config import CfgNode

from lamm.checkpoints.by_class_name import (
    EXTRA,
    MissingCheckpoint,
    checkpoint_file,
    final_checkpoint,
    load_learned,
    read_checkpoint,
)
from lamm.clip.architecture import undrawn_weights
from lamm.clip.model import ClipModel
from lamm.engine import TRAINER_REGISTRY, build_transform, get_cfg_default
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import BackboneError, CheckpointError, ConfigError, ResultsError
from lamm.reading import read_yaml
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.fingerprint import CONFIG_FILE
from lamm.run.record import RunClasses
from lamm.scoring import Scoring

# How far below a folder that is not a run itself runs are looked for.
LEVELS = ("*", "*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*")


@dataclass(frozen=True)
class RunFolder:
    """One run, as its folder tells it.

    Attributes:
        path: the folder.
        cfg: the run's config; not frozen. Its EVALUATION node says which model a run that only tests took.
        trainer_class: what is registered under the trainer's name.
        only_tests: whether the run was one of `--eval-only`.
        classes: names and templates; None in folders from before there was `classes.json`.
        results: the record; None where it is missing or can't be read.
    """

    path: Path
    cfg: CfgNode
    trainer_class: Any
    only_tests: bool
    classes: RunClasses | None
    results: RunResults | None

    @classmethod
    def open(cls, folder: str | os.PathLike[str], extensions: Sequence[Callable[[CfgNode], None]]) -> "RunFolder":
        """Read a folder.

        Args:
            folder: where `config.yaml` is.
            extensions: each adds the config keys of some trainers; in this order.

        Raises:
            ConfigError: not a run's folder, a config that can't be read, or one of a trainer that is not registered.
            CheckpointError: `classes.json` is damaged.
        """
        path = Path(folder)
        stored = _stored_config(path)
        section = stored.get("TRAINER")
        name = section.get("NAME") if isinstance(section, dict) else None
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{path / CONFIG_FILE} names no trainer: it is damaged")
        if name not in TRAINER_REGISTRY.registered_names():
            raise ConfigError(
                f'{path} is a run of trainer "{name}", which is not ours: give its code with --import FILE'
            )
        cfg = get_cfg_default()
        for extend in extensions:
            extend(cfg)
        cfg.EVALUATION = CfgNode({"MODEL_DIR": "", "LOAD_EPOCH": -1})
        if "UNSEEN_LABELS" in cfg.TRAINER.get("LAMM", ()):
            cfg.TRAINER.LAMM.UNSEEN_LABELS = "clip"  # what it was before runs had the key
        merge_config(cfg, [path / CONFIG_FILE], [])
        results = None
        with suppress(ResultsError):
            results = RunResults.read(path / RESULTS_FILE)
        return cls(path, cfg, TRAINER_REGISTRY.get(name), "EVALUATION" in stored, RunClasses.read(path), results)

    @property
    def finished(self) -> bool:
        """Whether the record says that the run came to its end."""
        return self.results is not None and self.results.finished


def _stored_config(path: Path) -> dict[str, Any]:
    """`config.yaml` as it is, before its keys are checked."""
    file = path / CONFIG_FILE
    if not path.is_dir():
        raise ConfigError(f"{path} is not a folder; give the output folder of a run, such as output/…/seed1")
    if not file.is_file():
        below: list[str] = []
        with suppress(OSError):  # of a folder that comes, goes, or is closed to us
            below = sorted(str(config.parent) for levels in LEVELS for config in path.glob(f"{levels}/{CONFIG_FILE}"))
        advice = f"give one of {', '.join(below[:3])}" if below else "give the output folder of a run"
        raise ConfigError(f"{path} holds no run: it has no {CONFIG_FILE}; {advice}")
    try:
        content = read_yaml(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} can't be read ({type(error).__name__}): it is damaged") from error
    return content if isinstance(content, dict) else {}


def _learned(run: RunFolder) -> tuple[str, dict[str, Any], list[str]]:
    """The checkpoint that a run tested at its end, or would test now: file, `state_dict`, and notes for the user."""
    if run.only_tests:
        path: str | None = _tested_file(run)
    else:
        path = final_checkpoint(str(run.path / run.trainer_class.registered_name), run.cfg.TEST.FINAL_MODEL)
    if path is None:
        raise CheckpointError(f"{run.path} has no checkpoint: it has not got that far; start it again to resume it")
    content = read_checkpoint(path)
    epoch, epochs = content.get("epoch"), run.cfg.OPTIM.MAX_EPOCH
    notes = []
    if run.only_tests:
        notes.append(f"the run only tested the model of {run.cfg.EVALUATION.MODEL_DIR}, which is used here")
    elif not run.finished and isinstance(epoch, int) and epoch < epochs:
        notes.append(f"the run is unfinished: this is its model after {epoch} of {epochs} epochs ({path})")
    return path, content["state_dict"], notes


def _tested_file(run: RunFolder) -> str:
    """The file that a run of `--eval-only` loaded."""
    evaluation = run.cfg.EVALUATION
    if not evaluation.MODEL_DIR:
        raise CheckpointError(f"{run.path} tested a model that had learned nothing: give the folder of a training run")
    epoch = None if evaluation.LOAD_EPOCH < 0 else evaluation.LOAD_EPOCH
    try:
        return checkpoint_file(str(Path(evaluation.MODEL_DIR) / run.trainer_class.registered_name), epoch)
    except MissingCheckpoint as error:
        raise CheckpointError(
            f"{run.path} tested the model of {evaluation.MODEL_DIR}, which is not there any more: "
            "give the training run's folder itself"
        ) from error


class TrainedModel(Scoring):
    """Scores images against classes with a CLIP and prompts.

    Args:
        clip: the frozen CLIP model.
        learner: the prompts; see `Scoring`.
        class_names: one per class, in label order.
        transform: of the test images, from an image file to a tensor (3, H, W); see `PhotoFiles`.
        cfg: the config that it was trained with.
        run: the run that it comes from, if any.
        notes: what a user should know about it, one line each.

    Attributes:
        upright: whether photos are turned as their EXIF orientation says: new photos are a user's own.
        strange: from scores (B, N) and image features (B, E) to whether a photo shows none of the classes, (B,); None:
            nothing tells.
        text: unit text features, (1, N, E); None: not encoded yet, or made for each image.
    """

    def __init__(
        self,
        clip: ClipModel,
        learner: Any,
        class_names: Sequence[str],
        transform: Callable[[Any], Tensor] | None = None,
        cfg: CfgNode | None = None,
        run: RunFolder | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.clip, self.learner, self.class_names = clip, learner.eval(), list(class_names)
        self.transform, self.cfg, self.run, self.notes = transform, cfg, run, list(notes)
        self.upright = cfg is None or cfg.INPUT.get("EXIF") != "ignore"
        self.strange: Callable[[Tensor, Tensor], Tensor] | None = None
        self.text: Tensor | None = None

    @classmethod
    def of_learner(
        cls,
        clip: ClipModel,
        learner: Any,
        class_names: Sequence[str],
        cfg: CfgNode,
        run: RunFolder | None = None,
        notes: Sequence[str] = (),
    ) -> "TrainedModel":
        """The model, which sees test images as the config says."""
        with redirect_stdout(StringIO()):
            transform = build_transform(cfg, is_train=False)
        return cls(clip, learner, class_names, transform, cfg, run, notes)

    @classmethod
    def from_run(
        cls,
        folder: str | os.PathLike[str],
        extensions: Sequence[Callable[[CfgNode], None]],
        device: torch.device | str = "cpu",
        precision: str = "",
        backbone_path: str = "",
    ) -> "TrainedModel":
        """The classifier that a run tested at its end; of an unfinished run, that of its last checkpoint.

        Args:
            folder: the run's; for a run that only tests, the model is read from the folder that it tested.
            extensions: the `extend_cfg` of `lamm_trainers`, and of the modules of other trainers: they add config keys.
            device: where to compute.
            precision: in place of the run's `PREC`.
            backbone_path: in place of the run's `MODEL.BACKBONE.PATH`.

        Raises:
            ConfigError: not a run's folder, or one of a trainer that is not built on `PromptTrainer`.
            CheckpointError: a run that has learned nothing yet, whose checkpoint is damaged, or whose classes are
                unknown.
            BackboneError: CLIP's weights are missing.
        """
        run = RunFolder.open(folder, extensions)
        trainer = run.trainer_class
        if not hasattr(trainer, "make_learner"):
            raise ConfigError(
                f"{run.path} is a run of {run.cfg.TRAINER.NAME}, which is not built on PromptTrainer: "
                "its model can't be made without its data"
            )
        if precision:
            run.cfg.TRAINER[trainer.config_node].PREC = precision
        if backbone_path:
            run.cfg.MODEL.BACKBONE.PATH = backbone_path
        try:
            trainer.require_weights(run.cfg)
            path, state, notes = _learned(run) if trainer.learner_class is not None else ("", {}, [])
            class_names = _class_names(run, state)
            templates = run.classes.templates if run.classes else _templates(state)
            with undrawn_weights():
                clip = trainer.make_clip(run.cfg, torch.device(device))
        except BackboneError as error:
            raise BackboneError(f"{error} (--backbone-path gives another place for the weights file)") from error
        learner = trainer.make_learner(run.cfg, clip, class_names, templates).to(device)
        if trainer.learner_class is not None:
            load_learned(learner, state, path)
        if run.results and run.results.precision != clip.precision:
            notes.append(f"the run used precision {run.results.precision}, here it is {clip.precision}")
        return cls.of_learner(clip, learner, class_names, run.cfg, run, notes)

    def logits(self, images: Tensor) -> Tensor:
        """cos(I, ψ) / τ of images (B, 3, H, W) on any device. Shape: (B, N), fp32, where the model is"""
        if self.text is None and not self.learner.per_image:
            with torch.no_grad():
                self.text = self.text_features()
        return self.scores(images.to(self.clip.logit_scale.device, non_blocking=True), self.text)

    @torch.no_grad()
    def judged(self, images: Tensor, unknown: bool, min_confidence: float) -> tuple[Tensor, Tensor]:
        """Probabilities (B, N) of images (B, 3, H, W), and whether they show none of the classes, (B,).

        Args:
            images: on any device.
            unknown: ask `strange`.
            min_confidence: the highest probability must be this high.
        """
        features = self.image_features(images.to(self.clip.logit_scale.device, non_blocking=True))
        scores = self.logits(features)
        probabilities = (scores / self.temperature).softmax(dim=-1)
        none = probabilities.max(dim=-1).values < min_confidence
        if unknown and self.strange is not None:
            none |= self.strange(scores, features).to(none.device)
        return probabilities, none

    def probabilities(self, images: Tensor) -> Tensor:
        """The softmax of `logits`, at the temperature. Shape: (B, N)"""
        return (self.logits(images) / self.temperature).softmax(dim=-1)


def _class_names(run: RunFolder, state: dict[str, Any]) -> list[str]:
    """Of a run that trained, those that its learned tensors belong to; of one that tested, those it tested on."""
    extra = None if run.only_tests else state.get(EXTRA)
    if isinstance(extra, dict) and "class_names" in extra:
        return list(extra["class_names"])
    if run.classes is None:
        raise CheckpointError(
            f"{run.path} does not say what its classes are called, since an older version made it (no classes.json): "
            "run it again" + (", or give the folder of the training run" if run.only_tests else "")
        )
    return run.classes.class_names


def _templates(state: dict[str, Any]) -> list[str]:
    """What a checkpoint of hand-written prompts says of them; no others say any."""
    extra = state.get(EXTRA)
    prompt = extra.get("prompt") if isinstance(extra, dict) else None
    texts = prompt.items() if isinstance(prompt, dict) else ()
    return [str(text) for name, text in texts if str(name).startswith("template ")]
