"""What the suite `gpu` measures: equality with the CPU, training steps, and a whole training on random features.

It runs on a CPU too, which is how it is tried.

Letters: B images per batch, n images in all, N classes, E embedding size.
"""

import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamm.benchmark.comparison import Row, compare
from lamm.benchmark.measure import CPU, MEGABYTE, seconds_of, wait_for
from lamm.benchmark.steps import TrainingStep, class_names
from lamm.benchmark.suite import Part
from lamm.clip.loading import wrap_clip
from lamm.clip.model import resolve_precision
from lamm.engine import DATASET_REGISTRY
from lamm.estimator.judgement import LIST
from lamm.estimator.photos import PhotoList
from lamm.estimator.training import InMemory, config_for_list, config_of, leaves_images_alone, seeded, trainer_class
from lamm.features.cache import FeatureLoader

METHOD = "LAMM"
"""The trainer of the whole training."""
LOSS_SCALE = 2.0**10
"""Of the loss under amp where gradients are compared: small ones would be lost in fp16."""
QUEUED = 10  # steps in a row that nothing waits for, on a GPU; a CPU queues nothing
WARM_UP = 2  # steps of a training that are not counted: they encode the teacher and measure memory
TRAINING_SHARE = 0.5  # of the time that is left


class StepMaker(Protocol):
    """Makes training steps of one trainer with N classes."""

    def fast(self, precision: str, cached: bool = False) -> TrainingStep:
        """Our path."""

    def plain(self, classes: int) -> TrainingStep:
        """The original code's path with fewer classes, or as many."""


@dataclass(frozen=True)
class Measurements:
    """What is measured, on one device.

    Attributes:
        device: the device.
        backbone: name of the models.
        model: the open_clip model with random weights, on a device.
        steps: makes a trainer's steps on a device with N classes.
        rounds: runs of the plain path.
        plain_at_most: classes that the plain path gets at most; None: as many as fit into memory.
    """

    device: torch.device
    backbone: str
    model: Callable[[torch.device], nn.Module]
    steps: Callable[[str, torch.device, int], StepMaker]
    rounds: int = 1
    plain_at_most: int | None = None

    def parts(
        self, trainers: Sequence[str], classes: Sequence[int], precisions: Sequence[str], shots: int, epochs: int
    ) -> list[Part]:
        """All parts, the most valuable first.

        Args:
            trainers: the first one's steps are measured with cached image features too, if it leaves the tower alone.
            classes: numbers of classes of a step; the largest is that of the training.
            precisions: of our path.
            shots: images per class of the training.
            epochs: of the training.
        """
        first, *others = trainers
        fewest, most = min(classes), max(classes)

        def step(trainer: str, count: int, precision: str, cached: bool) -> Part:
            name = f"{trainer}, {count} classes, {precision}" + ", cached features" * cached
            return Part("step", name, count, lambda _: self.step(trainer, count, precision, cached))

        def equality(trainer: str) -> Part:
            return Part("equality", trainer, fewest, lambda _: self.equality(trainer, fewest, precisions))

        ways = (False, True) if leaves_images_alone(trainer_class(first)) else (False,)
        name = f"{METHOD}, {most} classes of {shots} images, {epochs} epochs"
        return [
            *map(equality, trainers),
            *(step(first, count, one, cached) for count in classes for one in precisions for cached in ways),
            Part("training", name, 0, partial(self.training, most, shots, epochs)),
            *(step(trainer, count, one, False) for count in classes for trainer in others for one in precisions),
        ]

    def step(self, trainer: str, classes: int, precision: str, cached: bool) -> list[Row]:
        """Both paths through a training step, as `compare` has it, and `queued_s`: seconds of ours in a row of steps
        between which nothing waits for the device.
        """
        steps = self.steps(trainer, self.device, classes)
        fast = steps.fast(precision, cached)
        row = compare(trainer, classes, fast, steps.plain, self.device, self.rounds, self.plain_at_most)

        queued = QUEUED if self.device.type == "cuda" else 1

        def in_a_row() -> None:
            for _ in range(queued):
                fast.whole()

        return [{**row, "queued_s": seconds_of(in_a_row, self.device) / queued}]

    def equality(self, trainer: str, classes: int, precisions: Sequence[str]) -> list[Row]:
        """How far one step on the device is from the same step on the CPU in fp32, for each precision.

        Returns:
            Rows with trainer, classes, precision, and of features of text and image (unit, N or B of them), loss and
            gradient (all parameters in one vector):

            - text_difference, image_difference: the largest, absolute.
            - loss_difference, gradient_difference: relative; of the gradient that of norms.
            - text_cosine, image_cosine: the lowest of a feature; gradient_cosine.
        """
        with without_tf32():
            reference = self.steps(trainer, CPU, classes).fast("fp32")
            expected = values_of(reference)
            rows = []
            for precision in precisions:
                step = self.steps(trainer, self.device, classes).fast(precision)
                with torch.no_grad():
                    for own, other in zip(step.learner.parameters(), reference.learner.parameters(), strict=True):
                        own.copy_(other)
                named = {"trainer": trainer, "classes": classes, "precision": precision}
                rows.append({**named, **distances(values_of(step), expected)})
        return rows

    def training(self, classes: int, shots: int, epochs: int, seconds: float) -> list[Row]:
        """LAMM's own trainer and config on random unit features in place of cached ones, from its data set's list to
        the files that it writes, without a test.

        Args:
            classes: N.
            shots: images per class.
            epochs: of the training.
            seconds: that the suite has left; the training stops after a share of them.

        Returns:
            A row: trainer, classes, images, epochs, precision; `epochs_done`; `start_s` until the first step; `step_s`
            of the steps after the first two; `seconds` of all epochs, and whether they are `extrapolated` from the
            steps that were done; `cuda_peak_mb`, all that torch allocated, or on a CPU `process_peak_mb`, the largest
            resident size that the process ever had.
        """
        device = self.device
        DATASET_REGISTRY.offer(PhotoNames)
        clip = wrap_clip(self.model(device), self.backbone)
        settings = {"OPTIM.MAX_EPOCH": epochs, "USE_CUDA": device.type == "cuda", "INPUT.CACHE_VIEWS": 1}
        cfg = config_of(METHOD, self.backbone, LIST, settings={**settings, "DATALOADER.NUM_WORKERS": 0})
        clip.precision = resolve_precision(cfg.TRAINER[METHOD].PREC, device)
        labels = [number // shots for number in range(classes * shots)]
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with seeded(cfg.SEED), tempfile.TemporaryDirectory(prefix="lamm-suite-") as folder:
            file, photo = Path(folder, "photos.json"), Path(folder, "photo.jpg")
            photo.touch()
            PhotoList.write(file, [str(photo)] * len(labels), labels, class_names(clip.tokenizer, classes))
            cfg = config_for_list(cfg, file)
            cfg.defrost()
            cfg.DATASET.NAME, cfg.OUTPUT_DIR = PhotoNames.__name__, folder
            cfg.freeze()
            features = F.normalize(torch.randn(len(labels), 1, clip.embed_dim), dim=-1)
            began = time.perf_counter()
            deadline = began + TRAINING_SHARE * seconds
            of_class = {"given_clip": clip, "features": features, "deadline": deadline, "step_starts": []}
            trainer: Any = type(METHOD, (OnRandomFeatures, trainer_class(METHOD)), of_class)(cfg)
            stopped = False
            try:
                trainer.train()
            except TimeIsUp:
                stopped = True
            wait_for(device)
            whole = time.perf_counter() - began
        starts, steps = trainer.step_starts, len(trainer.train_loader_x)  # of an epoch
        first = min(WARM_UP, len(starts) - 2)
        step_s = (starts[-1] - starts[first]) / (len(starts) - 1 - first)
        return [
            {
                **{"trainer": METHOD, "classes": classes, "images": len(labels), "epochs": epochs},
                **{"precision": clip.precision, "epochs_done": (len(starts) - 1) / steps, "start_s": starts[0] - began},
                **{"step_s": step_s, "extrapolated": stopped},
                "seconds": starts[first] - began + step_s * (epochs * steps - first) if stopped else whole,
                **peak_memory(device),
            }
        ]


class PhotoNames(PhotoList):
    """Photos of which there are only names, and one empty file: all that is read is their features."""

    def check_photos(self) -> None:
        """There are none."""


class TimeIsUp(Exception):
    """A training has had the time that it was given."""


class OnRandomFeatures(InMemory):
    """Stands in front of a trainer's class: random unit features in place of cached ones, and an end to its time.

    Attributes:
        features: one per image, (n, 1, E).
        deadline: of `time.perf_counter`; a step that would start later is not taken.
        step_starts: when each step started, and when the last one was done.
    """

    features: Tensor
    deadline: float
    step_starts: list[float]

    def training_loader(self, loader: Any) -> FeatureLoader:
        """A loader of features of the same images in the same order."""
        return FeatureLoader(loader, self.features, self.device)

    def forward_backward(self, batch: dict[str, Any]) -> dict[str, Any]:
        """One update, unless the time is up."""
        if time.perf_counter() > self.deadline and len(self.step_starts) > WARM_UP:
            self._note()
            raise TimeIsUp
        self.step_starts.append(time.perf_counter())
        shown: dict[str, Any] = super().forward_backward(batch)
        return shown

    def after_train(self) -> None:
        """Note when the last step was done; then what the trainer does."""
        self._note()
        super().after_train()

    def _note(self) -> None:
        wait_for(self.device)
        self.step_starts.append(time.perf_counter())


@contextmanager
def without_tf32() -> Iterator[None]:
    """fp32 on a GPU is fp32 within the block, in products and convolutions."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    finally:
        matmul.allow_tf32 = before


def values_of(step: TrainingStep) -> dict[str, Tensor]:
    """Features of text (N, E) and image (B, E), the loss, and the gradient as one vector, on the CPU in float64."""
    scale = LOSS_SCALE if step.precision == "amp" else 1.0
    image = step.image_features()
    loss = step.forward(image)
    (scale * loss).backward()
    gradients = [value.grad for value in step.learner.parameters() if value.grad is not None]
    with torch.no_grad():
        text = step.learner.text_features(image).flatten(0, -2)
    gradient = torch.cat([one.flatten().double() for one in gradients]) / scale
    values = {"text": text, "image": image, "loss": loss, "gradient": gradient}
    return {name: value.detach().to(CPU, torch.float64) for name, value in values.items()}


def distances(values: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """How far a step's values are from others; see `Measurements.equality`."""
    away = {name: value - expected[name] for name, value in values.items()}
    cosines = {
        name: F.cosine_similarity(value, expected[name], dim=-1) for name, value in values.items() if value.dim()
    }
    return {
        **{f"{name}_difference": away[name].abs().max().item() for name in ("text", "image")},
        **{f"{name}_difference": (away[name].norm() / expected[name].norm()).item() for name in ("loss", "gradient")},
        **{f"{name}_cosine": cosine.min().item() for name, cosine in cosines.items()},
    }


def peak_memory(device: torch.device) -> dict[str, float]:
    """MiB: on a GPU what torch had allocated at most since its counter was set back; on a CPU that of the process."""
    if device.type == "cuda":
        return {"cuda_peak_mb": torch.cuda.max_memory_allocated(device) / MEGABYTE}
    return {"process_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
