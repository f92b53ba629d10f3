"""Between what a classifier knows (`Knowledge`) and what scores images: a trainer, a run's folder, a learner.

Letters: n photos, k views, N classes, E embedding size.
"""

import dataclasses
import datetime
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from yacs.config import CfgNode

from lamm.checkpoints.by_class_name import EXTRA, load_learned
from lamm.clip.architecture import undrawn_weights
from lamm.clip.catalogue import licence_of
from lamm.clip.model import ClipModel
from lamm.engine import get_cfg_default, save_checkpoint
from lamm.engine.embedded.config_merge import merge_config
from lamm.errors import CheckpointError, ConfigError
from lamm.estimator.confidence import unknown_scores
from lamm.estimator.file import (
    PHOTO_BYTES,
    Confidence,
    Knowledge,
    Origin,
    is_classifier_file,
    is_kept,
    load_knowledge,
    no_photos,
    rounded,
)
from lamm.estimator.names import alike, require_names
from lamm.estimator.training import register, trainer_class
from lamm.features.store import tower_identity
from lamm.files import sha256_of_file
from lamm.gda import NEVER, ClassStatistics, head
from lamm.images import image_errors
from lamm.inference.model import RunFolder, TrainedModel
from lamm.run.fingerprint import flat, store_config
from lamm.run.record import RunClasses

FROM_STATISTICS = tuple(f"head.{name}" for name in ("count", "sum", "outer", "rows", "offsets"))


def settings_of(cfg: CfgNode) -> dict[str, str]:
    """What of a config is not as by default, as text; no place on a disk is in it."""
    defaults = get_cfg_default()
    register()(defaults)
    usual = flat(defaults)
    values = flat(cfg)
    if values["INPUT.EXIF"] == "auto":
        values["INPUT.EXIF"] = "apply"  # new photos are a user's own
    return {key: repr(value) for key, value in sorted(values.items()) if is_kept(key) and usual.get(key) != value}


def config_from(settings: dict[str, str], weights: str = "") -> CfgNode:
    """The config again.

    Raises:
        ConfigError: a key that there is not, or a value that it does not take.
    """
    cfg = get_cfg_default()
    register()(cfg)
    merge_config(cfg, [], [word for pair in settings.items() for word in pair])
    if weights:
        cfg.MODEL.BACKBONE.PATH = weights
    return cfg


def fingerprint(clip: ClipModel) -> str:
    """Tells a CLIP model's weights from others; 32 hexadecimal digits."""
    towers = tower_identity(clip.visual) + tower_identity(clip.text)
    return hashlib.sha256(towers.encode()).hexdigest()[:32]


def photo_hashes(paths: Sequence[str]) -> Tensor:
    """The first half of what tells a file's bytes. Shape: (n, PHOTO_BYTES), uint8"""
    rows = []
    for path in paths:
        with image_errors(path):
            rows.append(list(bytes.fromhex(sha256_of_file(path)[: 2 * PHOTO_BYTES])))
    return torch.tensor(rows, dtype=torch.uint8).view(len(rows), PHOTO_BYTES)


def today() -> str:
    """The date, in ISO form."""
    return datetime.date.today().isoformat()


def backbone_of(clip: ClipModel) -> dict[str, Any]:
    """What the file says of the CLIP model."""
    return {
        "name": clip.name,
        "weights": fingerprint(clip),
        "image_size": clip.image_size,
        "embedding_size": clip.embed_dim,
        "precision": clip.precision,
        "licence_of_weights": licence_of(clip.name),
    }


@torch.no_grad()
def knowledge_of(trainer: Any, how: str = "fit") -> Knowledge:
    """What a trainer has learned.

    Args:
        trainer: a `PromptTrainer` that has trained.
        how: of the classes' `Origin`.
    """
    learner, names = trainer.learner, list(trainer.dm.dataset.classnames)
    require_names(names)
    photos = trainer.dm.dataset.train_x
    paths: list[list[str]] = [[] for _ in names]
    for item in photos:
        paths[item.label].append(item.impath)
    statistics, views = statistics_of(trainer)
    origins = [Origin(how, today(), len(of_class)) for of_class in paths]
    hashes = [photo_hashes(of_class) for of_class in paths]
    text = trainer.text_features()[0]
    knowledge = _knowledge(trainer, learner, trainer.cfg, names, origins, text, statistics, views, hashes)
    if trainer.cfg.TEST.NO_TEST:
        return knowledge
    held_out = [item.impath for part in (trainer.dm.dataset.val, trainer.dm.dataset.test) for item in part or ()]
    return dataclasses.replace(knowledge, passed=photo_hashes(held_out))


def _knowledge(
    trainer: Any,
    learner: Any,
    cfg: CfgNode,
    names: list[str],
    origins: list[Origin],
    text: Tensor,
    statistics: ClassStatistics | None,
    views: int,
    photos: list[Tensor],
    templates: Sequence[str] = (),
) -> Knowledge:
    state = dict(learner.state_dict())
    extra = dict(state.pop(EXTRA, {}) or {})
    return Knowledge(
        trainer=cfg.TRAINER.NAME,
        settings=settings_of(cfg),
        backbone=backbone_of(learner.clip),
        names=list(names),
        words=list(names),
        origins=origins,
        learned={name: value.detach().clone().cpu() for name, value in state.items() if name not in FROM_STATISTICS},
        extra=extra,
        text=text.detach().float().cpu().clone(),
        statistics=None if statistics is None else rounded(statistics),
        views=views,
        photos=photos,
        templates=list(templates or getattr(trainer, "templates", ())),
    )


def statistics_of(trainer: Any) -> tuple[ClassStatistics | None, int]:
    """The statistics of the views that a trainer was trained on, and how many there are of each photo.

    None: it changes the image tower, and has no head that they belong to.
    """
    loader, learner = trainer.train_loader_x, trainer.learner
    if learner.changes_images:
        return head_statistics(learner), max(1, trainer.cfg.INPUT.CACHE_VIEWS)
    if not hasattr(loader, "features"):
        loader = trainer.feature_cache.training_images(loader, trainer.test_loader.dataset.transform)
    features = loader.features.cpu()
    return ClassStatistics.of(features, loader.labels.cpu(), len(learner.class_names)), features.shape[1]


def head_statistics(learner: Any) -> ClassStatistics | None:
    """Those that a learner's Gaussian head keeps; None: it has no such head."""
    own = getattr(learner, "head", None)
    return own.statistics if own is not None and hasattr(own, "keep") else None


def knowledge_of_run(folder: str | os.PathLike[str], weights: str = "") -> Knowledge:
    """What a run has learned; of its photos it has statistics where the trainer has a Gaussian head.

    Raises:
        ConfigError: not a run's folder.
        CheckpointError: it has learned nothing.
        DataError: its classes can't be told apart by name.
    """
    model = TrainedModel.from_run(folder, [register()], backbone_path=weights)
    run, learner = model.run, model.learner
    assert run is not None, "it was made from a run"
    require_names(model.class_names)
    statistics = head_statistics(learner)
    views = max(1, run.cfg.INPUT.CACHE_VIEWS)
    counts = [0] * len(model.class_names)
    if statistics is not None:
        counts = (statistics.count / views).round().int().tolist()
    date = datetime.date.fromtimestamp(os.path.getmtime(folder)).isoformat()
    origins = [Origin("run", date, count) for count in counts]
    nothing = [no_photos() for _ in counts]
    templates = run.classes.templates if run.classes else ()
    with torch.no_grad():
        text = model.text_features()[0]
    parts = (model.class_names, origins, text, statistics, views, nothing, templates)
    return _knowledge(run.trainer_class, learner, run.cfg, *parts)


def clip_of(knowledge: Knowledge, device: torch.device, weights: str = "") -> ClipModel:
    """The CLIP model that a classifier belongs to.

    Raises:
        BackboneError: its weights are missing.
        CheckpointError: they are others.
    """
    cfg = config_from(knowledge.settings, weights)
    with undrawn_weights():
        clip: ClipModel = trainer_class(knowledge.trainer).make_clip(cfg, device)
    require_same_weights(knowledge, clip)
    return clip


def require_same_weights(knowledge: Knowledge, clip: ClipModel) -> None:
    """Refuse a CLIP model that the classifier does not belong to.

    Raises:
        CheckpointError: it is another one.
    """
    if (knowledge.backbone["name"], knowledge.backbone["weights"]) != (clip.name, fingerprint(clip)):
        raise CheckpointError(
            f"the classifier belongs to other weights of {knowledge.backbone['name']} than those that are loaded here "
            f"({clip.name}): give the file that it was made with"
        )


def learner_of(knowledge: Knowledge, clip: ClipModel, file: str = "the classifier") -> Any:
    """The learner as it was.

    Raises:
        CheckpointError: the tensors don't fit.
    """
    cfg, trainer = config_from(knowledge.settings), trainer_class(knowledge.trainer)
    learner = trainer.make_learner(cfg, clip, knowledge.words, knowledge.templates).to(clip.logit_scale.device)
    if trainer.learner_class is None:
        return learner.eval()
    try:
        load_learned(learner, state_dict(knowledge), file)
    except (RuntimeError, ValueError, KeyError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{file} is damaged: {' '.join(str(error).split())[:160]}") from error
    return learner.eval()


def state_dict(knowledge: Knowledge) -> dict[str, Any]:
    """The learner's `state_dict`, as a checkpoint would have it.

    Raises:
        CheckpointError: it has a head, but not the statistics that the head follows from.
    """
    state: dict[str, Any] = {**knowledge.learned, EXTRA: {**knowledge.extra, "class_names": knowledge.words}}
    if "head.alpha" in state:
        statistics = knowledge.statistics
        if statistics is None:
            raise CheckpointError("the classifier has a head, but not the statistics that it follows from")
        weight, bias = head(statistics, state["head.shrinkage"].item() or None)
        state |= {"head.count": statistics.count[:, None], "head.sum": statistics.sum, "head.outer": statistics.outer}
        state["head.rows"] = (state["head.alpha"] * weight).float()
        state["head.offsets"] = (state["head.alpha"] * bias[:, None]).clamp(min=NEVER).float()
    return state


def read_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The `state_dict` in a classifier file.

    Raises:
        CheckpointError: it is damaged, or not such a file.
    """
    return state_dict(load_knowledge(path))


def write_run(knowledge: Knowledge, folder: str | os.PathLike[str]) -> None:
    """A run's folder as training would have left it, without results; classes have the names that CLIP reads.

    Raises:
        ConfigError: the folder is there and not empty, or two classes have the same words.
    """
    place, cfg = Path(os.path.expanduser(folder)), config_from(knowledge.settings)
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ConfigError(f"{place} is there already: give a new folder")
    if len({alike(one) for one in knowledge.words}) < len(knowledge.words):
        raise ConfigError(
            "a run's folder has classes by the words that CLIP reads, and two of these have the same: use the file"
        )
    trainer = trainer_class(knowledge.trainer)
    cfg.TRAINER.NAME, cfg.OUTPUT_DIR = knowledge.trainer, os.path.abspath(place)
    place.mkdir(parents=True, exist_ok=True)
    store_config(cfg, place)
    RunClasses(list(knowledge.words), list(knowledge.templates)).write(place)
    content = {"state_dict": state_dict(knowledge), "epoch": cfg.OPTIM.MAX_EPOCH, "optimizer": None, "scheduler": None}
    save_checkpoint(content, place / trainer.registered_name)


def trained_model(knowledge: Knowledge, clip: ClipModel, file: str = "the classifier") -> TrainedModel:
    """What scores images; its text features are those of `knowledge`, to the last bit."""
    learner, cfg = learner_of(knowledge, clip, file), config_from(knowledge.settings)
    cfg.TRAINER.NAME = knowledge.trainer
    run = RunFolder(Path(file), cfg, trainer_class(knowledge.trainer), False, None, None)
    model = TrainedModel.of_learner(clip, learner, knowledge.names, cfg, run)
    if not learner.per_image:
        model.text = knowledge.text[None].to(clip.logit_scale.device)
    model.temperature = knowledge.confidence.temperature
    if knowledge.confidence.photos:
        statistics = None if learner.changes_images else knowledge.statistics
        model.strange = partial(_strange, knowledge.confidence, statistics)
    return model


def _strange(confidence: Confidence, statistics: ClassStatistics | None, scores: Tensor, features: Tensor) -> Tensor:
    """Whether photos show none of the classes; see `TrainedModel.strange`. Shape: (B,)"""
    own = None if statistics is None else features.cpu()
    return unknown_scores(scores.cpu(), own, confidence.temperature, statistics) > confidence.threshold


def model_of(
    place: str | os.PathLike[str],
    extensions: Sequence[Callable[[CfgNode], None]],
    device: torch.device | str = "cpu",
    precision: str = "",
    weights: str = "",
) -> TrainedModel:
    """What scores images, from a classifier file or the folder of a run; see `TrainedModel.from_run`.

    Raises:
        CheckpointError: the file or folder is damaged.
        BackboneError: CLIP's weights are missing.
    """
    if not is_classifier_file(place):
        return TrainedModel.from_run(place, extensions, device, precision, weights)
    knowledge = load_knowledge(place)
    if precision:
        key = f"TRAINER.{trainer_class(knowledge.trainer).config_node}.PREC"
        knowledge = dataclasses.replace(knowledge, settings={**knowledge.settings, key: repr(precision)})
    model = trained_model(knowledge, clip_of(knowledge, torch.device(device), weights), str(place))
    if model.clip.precision != knowledge.backbone["precision"]:
        model.notes.append(
            f"the classifier was made with precision {knowledge.backbone['precision']}, "
            f"here it is {model.clip.precision}"
        )
    return model
