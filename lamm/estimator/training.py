"""Training in memory: the registered trainers on a user's photos, without a run's folder.

Letters: n photos, N classes, E embedding size.
"""

import importlib
import logging
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from yacs.config import CfgNode

from lamm.clip.model import ClipModel
from lamm.datasets import register_datasets
from lamm.engine import DATASET_REGISTRY, TRAINER_REGISTRY, set_random_seed
from lamm.errors import ConfigError, unknown_name
from lamm.estimator.names import require_names
from lamm.estimator.photos import PhotoList
from lamm.estimator.progress import Progress
from lamm.log import logger
from lamm.numbers import SEEDS, Range
from lamm.run.arguments import train_parser
from lamm.run.plan import plan_run, trainer_config
from lamm.scoring import Prompts

if TYPE_CHECKING:
    from lamm.engine import TrainerX as Trainer
else:
    Trainer = object

NOWHERE = "lamm-fit"
"""In place of a run's folder; `train` takes a temporary one."""


def register() -> Callable[[CfgNode], None]:
    """Offer our trainers and data sets to the engine; the function that adds the trainers' config keys."""
    register_datasets()
    DATASET_REGISTRY.offer(PhotoList)
    extend: Callable[[CfgNode], None] = importlib.import_module("lamm_trainers").extend_cfg
    return extend


def trainer_class(method: str) -> Any:
    """The trainer that is registered under a name.

    Raises:
        ConfigError: there is none, or it is not built on `PromptTrainer`.
    """
    register()
    names = TRAINER_REGISTRY.registered_names()

    def is_ours(name: str) -> bool:
        return hasattr(TRAINER_REGISTRY.get(name), "make_learner")

    if method not in names or not is_ours(method):
        raise ConfigError(unknown_name("method", method, list(filter(is_ours, names))))
    return TRAINER_REGISTRY.get(method)


def leaves_images_alone(trainer: Any) -> bool:
    """Whether a trainer scores CLIP's own image features, so that they can be encoded once."""
    learner = trainer.learner_class
    if learner is None:
        return True
    return learner.vision_prompts is Prompts.vision_prompts and learner.changes_images is Prompts.changes_images


def config_of(
    method: str,
    backbone: str,
    place: Sequence[str],
    weights: str = "",
    shots: int | None = None,
    seed: int = 1,
    views: int | None = None,
    settings: Mapping[str, Any] | None = None,
) -> CfgNode:
    """The config of a training, as `train.py` would have it.

    Args:
        method: name of the trainer.
        backbone: `MODEL.BACKBONE.NAME`; the embedded model takes the trainer's config for the demo data.
        place: the words of `train.py` that say where the photos are.
        weights: `MODEL.BACKBONE.PATH`.
        shots: training photos per class; None: all.
        seed: `SEED`.
        views: `INPUT.CACHE_VIEWS` of a trainer that leaves the image tower alone; None: what its config says.
        settings: further config keys and their values, as on the command line.

    Raises:
        ConfigError: an unknown name, key or value.
    """
    extend, trainer = register(), trainer_class(method)
    for name, value, numbers in (("seed", seed, SEEDS), ("shots", shots, Range(1)), ("views", views, Range(0))):
        if value is not None and (not isinstance(value, int | np.integer) or int(value) not in numbers):
            raise ConfigError(f"{name} {numbers.refuse(value)}")
    if not isinstance(settings or {}, Mapping):
        raise ConfigError("settings must be a dictionary of config keys and values")
    settings = dict(settings or {})
    file = trainer_config(method, trainer.tiny_config if backbone == "tiny" else trainer.default_config)
    words = ["--trainer", method, "--config-file", str(file), *place, "--output-dir", NOWHERE, "--seed", str(seed)]
    words += ["--backbone", backbone] + ([] if shots is None else ["--shots", str(shots)])
    usual = {"MODEL.BACKBONE.PATH": weights} if weights else {}
    if views is not None and leaves_images_alone(trainer) and trainer.learner_class is not None:
        usual["INPUT.CACHE_VIEWS"] = str(views)
    for key, value in {**usual, "TRAIN.CHECKPOINT_FREQ": 0, **settings}.items():
        words += [key, str(value)]
    return plan_run(train_parser().parse_args(words), extend).cfg


def config_for_list(cfg: CfgNode, file: Path) -> CfgNode:
    """The same config for photos of a list that `PhotoList.write` wrote."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATASET.NAME, cfg.DATASET.CSV, cfg.TEST.NO_TEST = PhotoList.__name__, str(file), True
    if cfg.INPUT.EXIF == "auto":
        cfg.INPUT.EXIF = "apply"
    cfg.freeze()
    return cfg


def clip_of(cfg: CfgNode, trainer: Any, device: torch.device) -> ClipModel:
    """The CLIP model of a config; see `PromptTrainer.make_clip`."""
    clip: ClipModel = trainer.make_clip(cfg, device)
    return clip


class InMemory(Trainer):
    """Stands in front of a trainer's class: a CLIP model that is there already, and nothing but the model in the end.

    Attributes:
        given_clip: the CLIP model; None: it is loaded, as in a run, whose random numbers are then the same.
        progress: see `Progress`.
        accuracy: of the last test, in percent.
    """

    given_clip: ClipModel | None = None
    progress: Progress | None = None
    accuracy: float | None = None

    @classmethod
    def make_clip(cls, cfg: CfgNode, device: torch.device) -> ClipModel:
        """The model that is there, or the one that the config names."""
        if cls.given_clip is not None:
            return cls.given_clip
        clip: ClipModel = super().make_clip(cfg, device)  # type: ignore[misc]
        return clip

    def init_writer(self, log_dir: str) -> None:
        """Nobody looks at the curves."""

    def test(self, split: str | None = None) -> float:
        """Test, and remember the accuracy."""
        self.accuracy = super().test(split)
        return self.accuracy

    def before_train(self) -> None:
        """Refuse names that no class can have, and tell that photos are encoded, where they are."""
        require_names(self.dm.dataset.classnames)
        self._tell(0.0, "encoding")
        super().before_train()

    def after_epoch(self) -> None:
        """Tell how far it is."""
        super().after_epoch()
        self._tell((self.epoch + 1) / self.max_epoch, "training")

    def _tell(self, share: float, what: str) -> None:
        if self.progress is not None:
            self.progress(share, what)


def train(cfg: CfgNode, clip: ClipModel | None, progress: Progress | None = None) -> Any:
    """Train, and test if the config says so.

    Args:
        cfg: the config.
        clip: the model that it names, if it is there already.
        progress: see `Progress`.

    Returns:
        The trainer; its learner has learned.
    """
    registered = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
    told = staticmethod(progress) if progress is not None else None
    if clip is None:
        registered.require_weights(cfg)
    cfg = cfg.clone()
    cfg.defrost()
    with seeded(cfg.SEED), tempfile.TemporaryDirectory(prefix="lamm-fit-") as folder:
        cfg.OUTPUT_DIR = folder
        cfg.freeze()
        trainer = type(registered.__name__, (InMemory, registered), {"given_clip": clip, "progress": told})(cfg)
        trainer.train()
    trainer.learner.eval()
    return trainer


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which the log tells warnings alone, and the engine prints nothing."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with redirect_stdout(StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A `quiet` block with random generators of its own."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(), quiet():
        if seed >= 0:
            set_random_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def train_on_list(
    cfg: CfgNode,
    clip: ClipModel | None,
    paths: Sequence[str],
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str],
    progress: Progress | None = None,
) -> Any:
    """Train on all photos of a list; see `train`.

    Args:
        cfg: of `config_of`.
        clip: the model that it names, if it is there already.
        paths: absolute, (n,).
        labels: (n,).
        names: one per class.
        progress: see `Progress`.
    """
    with tempfile.TemporaryDirectory(prefix="lamm-list-") as folder:
        file = Path(folder, "photos.json")
        PhotoList.write(file, paths, labels, names)
        return train(config_for_list(cfg, file), clip, progress)


def folds_of(labels: Sequence[int] | np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each photo, from 0; −1 for the only photo of a class, which is never left out. Shape: (n,)

    No fold has all photos of a class.
    """
    generator, of_photo = np.random.default_rng(seed), np.full(len(labels), -1)
    start = 0
    for label in np.unique(labels):
        places = generator.permutation(np.flatnonzero(np.asarray(labels) == label))
        if len(places) > 1:
            of_photo[places] = (start + np.arange(len(places))) % folds
            start += len(places)  # small classes don't all go to the first folds
    return of_photo
