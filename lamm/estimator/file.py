"""What a classifier knows, and the one file that hands it over: `animals.lamm`.

The file is a safetensors file: nothing in it is executed. Its header has the description as JSON (`Knowledge`), the
tensors are the learned ones, the classes' text features, and sums over image features (`lamm.gda.ClassStatistics`).
It holds no photo, no path, and no code; what it has of a photo is the first half of a hash of its bytes.

Letters: N classes, E embedding size, n photos.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lamm.errors import CheckpointError, DataError
from lamm.estimator.names import require_name, require_names
from lamm.files import atomic_path, has_mark, require_place, with_sorted_metadata
from lamm.gda import ClassStatistics
from lamm.reading import json_value

FORMAT = "lamm-classifier-file"
VERSION = 1
SUFFIX = ".lamm"
PHOTO_BYTES = 8
LEARNED = "learned."
KEPT = ("TRAINER.", "INPUT.", "OPTIM.", "DATALOADER.", "MODEL.BACKBONE.NAME", "DATASET.TEMPLATE", "DATASET.NUM_SHOTS")
"""The config keys, or how they begin, that say how a classifier was trained and sees images."""
PLACES = ("INPUT.CACHE_DIR", "INPUT.CACHE_GB")
LARGEST = 1 << 31
"""Bytes of a file that is read."""
MOST_VIEWS, MOST_PHOTOS = 10_000, 10_000_000
"""What a file may say: views of a photo, and photos in all."""


@dataclass(frozen=True)
class Confidence:
    """How sure a classifier may be; from photos that were left out of training.

    Attributes:
        temperature: scores are divided by it before the softmax.
        threshold: of the out-of-class score, above which a photo shows none of the classes.
        coverage: the share of left-out photos of the classes that stay below the threshold.
        photos: how many were left out; 0: nothing was measured, and the temperature is 1.
        ece: expected calibration error of these photos, in percent, with the temperature.
        ece_before: the same without.
        auroc: how often a right prediction of these photos is surer than a wrong one, in percent; NaN: all are right,
            or all wrong.
        classes: the names of the classes that this was measured with; others may have come or gone since.
    """

    temperature: float = 1.0
    threshold: float = math.inf
    coverage: float = 1.0
    photos: int = 0
    ece: float = math.nan
    ece_before: float = math.nan
    auroc: float = math.nan
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where a class came from.

    Attributes:
        how: `fit`, `add`, `merge`, …
        date: in ISO form, of the day.
        photos: that it was learned from.
    """

    how: str
    date: str
    photos: int


@dataclass(frozen=True)
class Knowledge:
    """All that a classifier knows beside CLIP.

    Attributes:
        trainer: registered name.
        settings: config keys that differ from the defaults, and their values as text.
        backbone: name, fingerprint of the weights (`weights`), image and embedding size, precision, licence.
        names: what the classes are called, N.
        words: what CLIP reads in their place; another text where a class was renamed.
        origins: one per class.
        learned: the learner's tensors, without those that follow from `statistics`.
        extra: what its checkpoint says beside the tensors.
        text: unit text features, (N, E), fp32.
        statistics: of the training photos' views; None: the trainer changes the image tower, or they are not known.
        views: how many there are of each photo.
        photos: for each class, (n, PHOTO_BYTES) uint8.
        passed: the same of photos that were seen and not learned: held out for the test, or of removed classes.
        confidence: of left-out photos.
        templates: of hand-written prompts.
        accuracy: in percent, of this and other methods, on photos that were left out: method → accuracy.
        accuracy_by: which photos these were.
        numbers: whether the classes are whole numbers, which a classifier gives as such.
    """

    trainer: str
    settings: dict[str, str]
    backbone: dict[str, Any]
    names: list[str]
    words: list[str]
    origins: list[Origin]
    learned: dict[str, Tensor]
    extra: dict[str, Any]
    text: Tensor
    statistics: ClassStatistics | None
    views: int
    photos: list[Tensor]
    passed: Tensor = field(default_factory=lambda: no_photos())
    confidence: Confidence = Confidence()
    templates: list[str] = field(default_factory=list)
    accuracy: dict[str, float] = field(default_factory=dict)
    accuracy_by: str = ""
    numbers: bool = False

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file in one step.

        Raises:
            ConfigError: the place is a folder, or has a file that is not such a file.
        """
        require_place(path, FORMAT)
        described = {
            "trainer": self.trainer,
            "settings": self.settings,
            "backbone": self.backbone,
            "classes": [
                {"name": name, "words": words, **vars(origin)}
                for name, words, origin in zip(self.names, self.words, self.origins, strict=True)
            ],
            "extra": {key: value for key, value in self.extra.items() if key != "class_names"},
            "views": self.views,
            "confidence": {key: _finite(value) for key, value in vars(self.confidence).items() if key != "classes"},
            "confidence_of": self.confidence.classes,
            "templates": self.templates,
            "accuracy": self.accuracy,
            "accuracy_by": self.accuracy_by,
            "numbers": self.numbers,
        }
        tensors = {f"{LEARNED}{name}": value for name, value in self.learned.items()}
        tensors |= {"text": self.text, "photos": torch.cat(self.photos), "passed": self.passed}
        tensors |= {"photo_counts": torch.tensor([len(one) for one in self.photos], dtype=torch.int32)}
        if self.statistics is not None:
            tensors |= packed(self.statistics)
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        metadata = {
            "format": FORMAT,
            "version": str(VERSION),
            "knowledge": json.dumps(described, ensure_ascii=False, sort_keys=True, allow_nan=False),
        }
        with atomic_path(path) as temporary:
            temporary.write_bytes(with_sorted_metadata(save(tensors, metadata)))


def no_photos() -> Tensor:
    """The hashes of no photo. Shape: (0, PHOTO_BYTES)"""
    return torch.zeros(0, PHOTO_BYTES, dtype=torch.uint8)


def is_kept(key: str) -> bool:
    """Whether a file may hold a config key: none that names a place on a disk."""
    return (key == "SEED" or key.startswith(KEPT)) and key not in PLACES


def rounded(statistics: ClassStatistics) -> ClassStatistics:
    """Statistics as a file has them, in fp32; the classifier that was saved and the one that is loaded are the same."""
    return unpacked(packed(statistics))


def packed(statistics: ClassStatistics) -> dict[str, Tensor]:
    """Statistics as tensors of a file: of the symmetric matrix the upper half."""
    size = len(statistics.outer)
    upper = statistics.outer[tuple(torch.triu_indices(size, size))]
    return {
        "statistics.count": statistics.count.float(),
        "statistics.sum": statistics.sum.float(),
        "statistics.outer": upper.float(),
    }


def unpacked(tensors: dict[str, Tensor]) -> ClassStatistics:
    """Statistics from the tensors of a file."""
    count, total, upper = (tensors[f"statistics.{name}"].double() for name in ("count", "sum", "outer"))
    size = total.shape[1]
    if upper.shape != (size * (size + 1) // 2,):
        raise ValueError("its statistics don't fit each other")
    outer = total.new_zeros(size, size)
    outer[tuple(torch.triu_indices(size, size))] = upper
    return ClassStatistics(count, total, outer + outer.triu(diagonal=1).T)


def is_classifier_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file that `Knowledge.save` has written, or is called like one, be it there or not."""
    file = Path(path)
    return not file.is_dir() and (file.suffix == SUFFIX or has_mark(file, FORMAT))


def load_knowledge(path: str | os.PathLike[str]) -> Knowledge:
    """Read a file.

    Raises:
        CheckpointError: it is missing, damaged, of a later version, or something else.
    """
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise CheckpointError(f"{file} is not there; give a classifier file, such as animals{SUFFIX}")
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError("it is too large")
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError("it is a safetensors file of another kind")
            version = int(metadata["version"])
            if version > VERSION:
                raise CheckpointError(f"{file} is of a later version of this program ({version}): update it")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        return _checked(json_value(metadata["knowledge"]), tensors)
    except (
        SafetensorError,
        DataError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
        RuntimeError,
        OSError,
        OverflowError,
    ) as error:
        if isinstance(error, CheckpointError):
            raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise CheckpointError(f"{file} is damaged or not a classifier file: {reason}") from error


def _checked(described: dict[str, Any], tensors: dict[str, Tensor]) -> Knowledge:
    """The knowledge; an exception of any kind where something does not fit."""
    classes, confidence = described["classes"], described["confidence"]
    names = [_text(one["name"]) for one in classes]
    count = len(names)
    text, backbone = tensors["text"], described["backbone"]
    kinds = {"name": str, "weights": str, "precision": str, "image_size": int, "embedding_size": int}
    if not all(type(backbone[key]) is kind for key, kind in kinds.items()):
        raise ValueError("what it says of its backbone is not of the right kind")
    if not names or text.shape != (count, backbone["embedding_size"]) or text.dtype != torch.float32:
        raise ValueError("its text features don't fit its classes")
    numbers = described.get("numbers", False)
    if type(numbers) is not bool:
        raise ValueError("it does not say whether its classes are numbers")
    require_names(names, numbers)
    for name, value in tensors.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f'"{name}" holds numbers that are not finite')
    statistics = unpacked(tensors) if "statistics.sum" in tensors else None
    if statistics is not None and (
        statistics.sum.shape != text.shape or len(statistics.count) != count or statistics.count.min() < 0
    ):
        raise ValueError("its statistics don't fit its classes")
    photos = list(tensors["photos"].split(tensors["photo_counts"].tolist()))
    hashes = [tensors["photos"], tensors["passed"]]
    if len(photos) != count or any(one.shape[1:] != (PHOTO_BYTES,) or one.dtype != torch.uint8 for one in hashes):
        raise ValueError("its photos don't fit its classes")
    settings = {_text(key): _text(value) for key, value in described["settings"].items()}
    foreign = next((key for key in settings if not is_kept(key)), None)
    if foreign is not None:
        raise ValueError(f"it sets {foreign[:60]}, which no such file does")
    views, accuracy = described["views"], {_text(key): value for key, value in described["accuracy"].items()}
    if type(views) is not int or views < 1 or not all(math.isfinite(value) for value in accuracy.values()):
        raise ValueError("its numbers are out of range")
    if views > MOST_VIEWS or (statistics is not None and statistics.count.sum() > MOST_PHOTOS * views):
        raise ValueError("its numbers of photos are out of range")
    words = [_text(one["words"]) for one in classes]
    for read in words:
        require_name(read)
    told = {key: math.nan if value is None else float(value) for key, value in confidence.items()}
    threshold = math.inf if confidence["threshold"] is None else told["threshold"]
    measured = tuple(_text(name) for name in list(described.get("confidence_of", [])))
    sure = Confidence(
        **{**told, "threshold": threshold, "photos": int(told["photos"]), "classes": measured}  # type: ignore[arg-type]
    )
    if not 0 < sure.temperature < math.inf or math.isnan(sure.threshold) or sure.photos < 0:
        raise ValueError("its confidence is out of range")
    return Knowledge(
        trainer=_text(described["trainer"]),
        settings=settings,
        backbone=backbone,
        names=names,
        words=words,
        origins=[Origin(_text(one["how"]), _text(one["date"]), int(one["photos"])) for one in classes],
        learned={name[len(LEARNED) :]: value for name, value in tensors.items() if name.startswith(LEARNED)},
        extra={**dict(described["extra"]), "class_names": words},
        text=text,
        statistics=statistics,
        views=views,
        photos=photos,
        passed=tensors["passed"],
        confidence=sure,
        templates=[_text(one) for one in described["templates"]],
        accuracy=accuracy,
        accuracy_by=_text(described["accuracy_by"]),
        numbers=numbers,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]} is not text")
    return value


def _finite(value: float) -> float | None:
    """JSON has no infinities."""
    return value if math.isfinite(value) else None
