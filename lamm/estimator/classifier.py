"""`lamm.Classifier`: a classifier from a few photos per class, as a scikit-learn estimator that can grow.

Letters: n photos, N classes, E embedding size.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from lamm.datasets import DEFAULT_TEMPLATE
from lamm.engine import build_transform
from lamm.engine.embedded.loader import bounded_workers
from lamm.errors import ConfigError, DataError, unknown_name
from lamm.estimator.confidence import unknown_scores
from lamm.estimator.file import Knowledge, load_knowledge
from lamm.estimator.growing import Growing
from lamm.estimator.judgement import COMPARED, LIST, ZERO_SHOT, Judged
from lamm.estimator.model import (
    clip_of,
    config_from,
    knowledge_of,
    knowledge_of_run,
    trained_model,
    write_run,
)
from lamm.estimator.names import names_of, require_name, require_names, shown
from lamm.estimator.photos import as_files, class_folders, is_path
from lamm.estimator.progress import Progress, Shares, told
from lamm.estimator.training import (
    config_of,
    quiet,
    seeded,
    train,
    train_on_list,
    trainer_class,
)
from lamm.features.cache import FeatureCache
from lamm.features.encoding import View, ViewDataset
from lamm.inference.photos import UNKNOWN
from lamm.memory import usable_cores
from lamm.scoring import TemplatePrompts

ARGUMENTS = ("TRAINER.NAME", "SEED", "DATASET.NUM_SHOTS", "MODEL.BACKBONE.NAME", "INPUT.CACHE_VIEWS")
"""The config keys that `Classifier` has arguments for."""
BATCH = 64
WORKERS_FROM = 64
"""So many photos are worth the start of processes that decode them."""


class Classifier(Judged, Growing, ClassifierMixin, BaseEstimator):
    """A classifier of photos, learned from a few of each class.

    It stands on the trainers of this package: for the same settings it has the numbers of `lamm run METHOD main
    folder`. Photos may be paths, PIL images, or arrays. Features are cached on disk by the content of files, so that
    nothing is encoded twice.

    Args:
        backbone: name of the CLIP model; `tiny` is in the package.
        method: name of a trainer, such as `LAMM_GDA`, `LAMM`, `CoOp_LAMM`, `GDA`, `LinearProbe`.
        shots: training photos per class; None: all.
        seed: of training, and of the folds.
        views: augmented views of each photo that are trained on, where the method leaves the image tower alone.
        folds: classifiers that are trained beside, each without a part of the photos: they say how good this one is,
            how sure it may be, and when a photo shows none of its classes. 0: none, which is faster.
        settings: further config keys and values, as of `lamm train`: {"OPTIM.MAX_EPOCH": 20}.
        weights: file of the CLIP model's weights; empty: where they usually are.
        device: `cpu`, `cuda`; empty: a GPU if there is one.

    Attributes:
        classes_: names of the classes, in the order of the columns of `predict_proba`.
        comparison_: accuracy of this and other methods in percent, on photos that were left out: method → accuracy.
        comparison_by_: which photos these were.
        photos_: the training photos that were left out, each once, (n,): paths, or the numbers in X of those that are
            images or arrays. After a class was removed, those of the others.
        labels_: the place of each one's class in `classes_`, (n,).
        left_out_probabilities_: of these photos, by classifiers that have not seen them, (n, N); None without folds.
        text_features_: unit text features of the classes, (N, E).
        confidence_: temperature and threshold.

    Example:
        >>> import numpy as np, lamm
        >>> red, blue = np.zeros((4, 32, 32, 3), np.uint8), np.zeros((4, 32, 32, 3), np.uint8)
        >>> red[..., 0], blue[..., 2] = 255, 255
        >>> clf = lamm.Classifier(backbone="tiny", method="GDA", folds=0)
        >>> clf.fit([*red, *blue], ["red"] * 4 + ["blue"] * 4).predict([red[0], blue[0]]).tolist()
        ['red', 'blue']
    """

    def __init__(
        self,
        backbone: str = "ViT-B/16",
        method: str = "LAMM_GDA",
        shots: int | None = None,
        seed: int = 1,
        views: int = 8,
        folds: int = 3,
        settings: Mapping[str, Any] | None = None,
        weights: str = "",
        device: str = "",
    ) -> None:
        self.backbone = backbone
        self.method = method
        self.shots = shots
        self.seed = seed
        self.views = views
        self.folds = folds
        self.settings = settings
        self.weights = weights
        self.device = device

    _made: tuple[str, Any] | None = None

    # Learning.

    def fit(self, X: Any, y: Any = None, progress: Progress | None = None) -> "Classifier":
        """Learn from photos.

        Args:
            X: photos; or a folder with a folder for each class, some of whose photos are held out for the test, as
                `lamm run` does.
            y: the class of each photo; None for a folder.
            progress: is told the share that is done and what is being done; may raise an exception to stop. None: a bar
                on a terminal or in a notebook.

        Raises:
            ConfigError: an unknown method, backbone or setting.
            DataError: photos that can't be read, fewer than two classes, or names that don't fit the photos.
            BackboneError: CLIP's weights are missing.
        """
        if not isinstance(self.folds, int | np.integer) or self.folds < 0 or self.folds == 1:
            raise ConfigError(f"folds must be 0, or a whole number from 2 up, not {self.folds!r}")
        if y is None:
            if not is_path(X):
                raise DataError("fit(photos, names) needs a name for each photo; without names give a folder")
            with self._wholly(), told(progress) as progress:
                return self._fit_folder(os.fspath(X), progress)
        names, numbers = names_of(y)
        with self._wholly(), told(progress) as progress:
            with as_files(X) as files:
                if names.shape != (len(files),):
                    raise DataError(f"{len(files)} photos, but {names.shape} names: give one name for each photo")
                self._fit_files(files, names, numbers, progress)
            number_of = {file: number for number, file in enumerate(files)}
            photos = [file if os.path.exists(file) else number_of[file] for file in self.photos_.tolist()]
            if any(isinstance(photo, int) for photo in photos):  # images and arrays were files for a while only
                self.photos_ = np.array(photos, dtype=int if all(isinstance(one, int) for one in photos) else object)
            return self

    @contextmanager
    def _wholly(self) -> Iterator[None]:
        """A block that, if it fails, leaves the classifier as it was."""
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _fit_files(self, files: Sequence[str], names: np.ndarray, numbers: bool, progress: Progress) -> "Classifier":
        classes, labels = np.unique(names, return_inverse=True)
        texts = [str(name) for name in classes]
        if len(classes) < 2:
            raise DataError("all photos are of one class: a classifier needs two or more")
        require_names(texts)
        cfg = self._config(LIST)
        methods = tuple(dict.fromkeys((self.method, *COMPARED))) if self.folds else ()
        shares = Shares(progress, 1 + self.folds * len(methods))
        trainer = train_on_list(cfg, None, files, labels, texts, shares.next())
        self._clip, knowledge = trainer.clip, knowledge_of(trainer)
        accuracy = self._judge(files, labels, texts, methods, shares)
        knowledge = dataclasses.replace(knowledge, numbers=numbers)
        self._keep(self._measured(knowledge, accuracy, f"{self.folds}-fold cross-validation"))
        return self

    def _fit_folder(self, folder: str, progress: Progress) -> "Classifier":
        of_class = class_folders(folder)
        if all(len(files) == 1 for files in of_class.values()):  # nothing can be held out
            return self._fit_files([file for (file,) in of_class.values()], np.array(list(of_class)), False, progress)
        place = ["--dataset", "folder", "--root", os.path.abspath(os.path.expanduser(folder))]
        cfg = self._config(place)
        compared = [method for method in COMPARED if self.folds and method != self.method]
        shares = Shares(progress, 1 + len(compared) + self.folds)
        trainer = train(cfg, None, shares.next())
        self._clip, knowledge, dataset = trainer.clip, knowledge_of(trainer), trainer.dm.dataset
        accuracy = {self.method: trainer.accuracy}
        accuracy |= {
            method: train(self._config(place, method), self._clip, shares.next()).accuracy for method in compared
        }
        paths, labels = [item.impath for item in dataset.train_x], np.array([item.label for item in dataset.train_x])
        self._judge(paths, labels, knowledge.names, [self.method] if self.folds else [], shares)
        self._keep(self._measured(knowledge, accuracy, f"{len(dataset.test)} held-out photos"))
        return self

    def _config(self, place: Sequence[str], method: str = "") -> Any:
        if not isinstance(self.settings or {}, Mapping):
            raise ConfigError("settings must be a dictionary of config keys and values")
        if not all(isinstance(key, str) for key in self.settings or {}):
            raise ConfigError("settings: config keys are text, such as OPTIM.MAX_EPOCH")
        settings = dict(self.settings or {}) if not method or method == self.method else {}
        if _on_cpu(self.device):
            settings["USE_CUDA"] = False
        method = method or self.method
        if method == self.method and trainer_class(method).learner_class is None:
            raise ConfigError(f"{method} learns nothing: choose a method that does, such as LAMM_GDA or GDA")
        usual = self.weights, self.shots, self.seed, self.views
        return config_of(method, self.backbone, place, *usual, settings)

    def _keep(self, knowledge: Knowledge) -> None:
        """Take over what is known, as if it had come from a file."""
        with quiet():
            self._model = trained_model(knowledge, self._clip)
        self._transform(config_from(knowledge.settings))
        self._knowledge, self._original = knowledge, None
        self.classes_ = shown(knowledge.names, knowledge.numbers)

    # What it knows.

    @property
    def comparison_(self) -> dict[str, float]:
        """Method → accuracy in percent, on photos that were left out."""
        return dict(self._fitted().accuracy)

    @property
    def comparison_by_(self) -> str:
        """Which photos `comparison_` is of."""
        return self._fitted().accuracy_by

    @property
    def confidence_(self) -> Any:
        """Temperature, threshold and ECE; see `lamm.estimator.file.Confidence`."""
        return self._fitted().confidence

    @property
    def text_features_(self) -> np.ndarray:
        """Unit text features of the classes, (N, E)."""
        return self._fitted().text.numpy()

    def _fitted(self) -> Knowledge:
        check_is_fitted(self, "_knowledge")
        return self._knowledge

    # Predicting.

    def features(self, X: Any) -> np.ndarray:
        """Unit image features of photos, as CLIP has them. Shape: (n, E)"""
        knowledge = self._fitted()
        with as_files(X) as files:
            return self._features_of(files, config_from(knowledge.settings)).numpy()

    def decision_function(self, X: Any) -> np.ndarray:
        """Scores, before the temperature. Shape: (n, N)"""
        return self._of(X)[0].numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of the classes. Shape: (n, N)"""
        scores = self._of(X)[0]
        return (scores / self.confidence_.temperature).softmax(dim=1).numpy()

    def predict(self, X: Any, unknown: bool = False, min_confidence: float = 0.0) -> np.ndarray:
        """The class of each photo. Shape: (n,)

        Args:
            X: photos.
            unknown: say "unknown" where a photo shows none of the classes.
            min_confidence: say "unknown" where the probability is lower.

        Raises:
            ConfigError: `unknown` without left-out photos, by which to tell; a `min_confidence` that is no probability.
        """
        if not isinstance(min_confidence, int | float | np.number) or not 0 <= min_confidence <= 1:
            raise ConfigError(f"min_confidence must be a probability, from 0 to 1, not {min_confidence!r}")
        scores, features = self._of(X)
        probabilities = (scores / self.confidence_.temperature).softmax(dim=1)
        names = self.classes_[probabilities.argmax(dim=1).numpy()]
        strange = probabilities.max(dim=1).values < min_confidence
        if unknown:
            self._require_threshold()
            strange |= self._strangeness(scores, features) > self.confidence_.threshold
        if strange.any():
            names = names.astype(object if names.dtype.kind != "U" else f"U{max(7, names.dtype.itemsize // 4)}")
            names[strange.numpy()] = UNKNOWN
        return names

    def unknown_score(self, X: Any) -> np.ndarray:
        """How strange photos are to the classes; above `confidence_.threshold` they are unknown. Shape: (n,)"""
        return self._strangeness(*self._of(X)).numpy()

    def zero_shot(self, X: Any, names: Sequence[str]) -> np.ndarray:
        """Probabilities of classes by their names alone, which says what CLIP knows of each. Shape: (n, N)

        Needs no `fit`, and changes nothing.

        Args:
            X: photos.
            names: of N classes.

        Raises:
            DataError: names that no class can have.
        """
        if isinstance(names, str) or len(names) == 0:
            raise DataError("names must be a list of class names, of one or more")
        for name in names:
            require_name(name)
        cfg = self._config(LIST, ZERO_SHOT)
        if not hasattr(self, "_clip"):
            device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
            with quiet():
                self._clip = trainer_class(ZERO_SHOT).make_clip(cfg, device)
        with as_files(X) as files, torch.no_grad():
            learner = TemplatePrompts(self._clip, list(names), [DEFAULT_TEMPLATE])
            return self._scores(learner, learner.text_features(), cfg, files)[0].softmax(dim=1).numpy()

    def _require_threshold(self) -> None:
        if not self.confidence_.photos:
            raise ConfigError("unknown needs photos that were left out of training: fit with folds=3, and 2 of a class")

    def _strangeness(self, scores: Tensor, features: Tensor | None) -> Tensor:
        return unknown_scores(scores, features, self.confidence_.temperature, self._fitted().statistics)

    def _of(self, X: Any) -> tuple[Tensor, Tensor | None]:
        """Scores (n, N) of photos and, where the tower runs as it is, their features (n, E)."""
        knowledge = self._fitted()
        model = self._model
        with as_files(X) as files:
            return self._scores(model.learner, model.text, config_from(knowledge.settings), files)

    @torch.no_grad()
    def _scores(
        self, learner: Any, text: Tensor | None, cfg: Any, files: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        learner.eval()
        device = self._clip.logit_scale.device
        if not learner.changes_images:
            features = self._features_of(files, cfg)
            parts = []
            for part in features.split(BATCH):
                there = part.to(device)
                parts.append(learner.scores(there, learner.text_features(there) if text is None else text).cpu())
            return torch.cat(parts).float(), features
        transform = self._transform(cfg)
        views = [View(file, 0, b"") for file in files]
        images = ViewDataset(views, transform, cfg.INPUT.get("EXIF") != "ignore")
        loader: Any = torch.utils.data.DataLoader(images, batch_size=BATCH, num_workers=_workers(len(files)))
        scores = [
            learner.scores(learner.image_features(batch.to(device)), learner.text_features() if text is None else text)
            for batch in loader
        ]
        return torch.cat(scores).float().cpu(), None

    def _features_of(self, files: Sequence[str], cfg: Any, views: int = 0) -> Tensor:
        """CLIP's own unit features of photos, (n, E); or of their augmented views, (n, k, E)."""
        if views:
            with seeded(-1):
                transform: Any = build_transform(cfg, is_train=True)
                return FeatureCache(cfg, self._clip).photos(files, transform, views, _workers(len(files)))
        return FeatureCache(cfg, self._clip).photos(files, self._transform(cfg), 0, _workers(len(files)))[:, 0]

    def _transform(self, cfg: Any) -> Any:
        """Of test images. Made once: making it prints, which must not be silenced while others predict in threads."""
        text = str(cfg.INPUT)
        if self._made is None or self._made[0] != text:
            with quiet():
                self._made = text, build_transform(cfg, is_train=False)
        return self._made[1]

    # Files.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all that was learned into one file; see docs/python.md for what is in it.

        Raises:
            ConfigError: the place has a file of another kind.
        """
        self._fitted().save(path)

    def to_run(self, folder: str | os.PathLike[str]) -> None:
        """Write the folder that a run would have left, for `lamm predict`, `--model-dir` and what else reads runs.

        Classes have the names that CLIP reads, also where they were renamed.

        Raises:
            ConfigError: the folder is there and not empty.
        """
        with quiet():
            write_run(self._fitted(), folder)

    @classmethod
    def load(cls, path: str | os.PathLike[str], weights: str = "", device: str = "") -> "Classifier":
        """Read a file that `save` wrote, or a run's folder.

        Args:
            path: of the file or folder.
            weights: file of the CLIP model's weights; empty: where they usually are.
            device: see `Classifier`.

        Raises:
            CheckpointError: it is missing, damaged, or of other weights.
            BackboneError: CLIP's weights are missing.
        """
        folder = Path(os.path.expanduser(path)).is_dir()
        knowledge = knowledge_of_run(os.path.expanduser(path), weights) if folder else load_knowledge(path)
        cfg = config_from(knowledge.settings)
        shots = cfg.DATASET.NUM_SHOTS
        classifier = cls(
            knowledge.backbone["name"],
            knowledge.trainer,
            shots if shots > 0 else None,
            cfg.SEED,
            knowledge.views,
            settings={key: value for key, value in knowledge.settings.items() if key not in ARGUMENTS},
            weights=weights,
            device=device,
        )
        place = torch.device("cpu" if _on_cpu(device) or not torch.cuda.is_available() else "cuda")
        with quiet():
            classifier._clip = clip_of(knowledge, place, weights)
        classifier.photos_, classifier.labels_ = np.zeros(0, dtype=str), np.zeros(0, dtype=int)
        classifier.left_out_probabilities_ = None
        classifier._keep(knowledge)
        return classifier

    @classmethod
    def from_run(cls, folder: str | os.PathLike[str], weights: str = "", device: str = "") -> "Classifier":
        """The classifier that a run has trained; see `load`."""
        return cls.load(folder, weights, device)


def _workers(photos: int) -> int:
    """Processes that decode so many photos."""
    return bounded_workers(usable_cores()) if photos >= WORKERS_FROM else 0


def _on_cpu(device: str) -> bool:
    """Whether a device is the CPU; False: a GPU, if there is one.

    Raises:
        ConfigError: neither.
    """
    if device not in ("", "cpu", "cuda"):
        raise ConfigError(unknown_name("device", str(device), ("cpu", "cuda")))
    return device == "cpu"
