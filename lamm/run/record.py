"""What is recorded of a run: `results.json`, `predictions.csv`, `classes.json`, and its few lines on the terminal."""

import math
import os
import platform
import resource
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from yacs.config import CfgNode

import lamm
from lamm.calibration import expected_calibration_error, right_from_wrong
from lamm.engine import ENGINE, TRAINER_REGISTRY
from lamm.engine.embedded.log import say
from lamm.engine.embedded.meters import fetched
from lamm.engine.foreign import refuse
from lamm.errors import CheckpointError, LammError
from lamm.files import write_json
from lamm.log import logger
from lamm.reading import json_value, read_bytes
from lamm.results.run_files import Prediction, write_predictions
from lamm.results.schema import FINISHED, METRICS, RESULTS_FILE, RUNNING, RunResults
from lamm.run.plan import RunPlan
from lamm.run.timing import Clock, StepTrace

if TYPE_CHECKING:
    from lamm.engine import TrainerX as Trainer
else:
    Trainer = object

CLASSES_FILE = "classes.json"
LONG_TRAINING = 10
"""Epochs; of a longer training every tenth epoch has a line on the terminal."""


def build_recorded(cfg: CfgNode) -> Any:
    """The trainer that `cfg.TRAINER.NAME` names, built as Dassl's `build_trainer` does, with `Recorded` in front.

    The class is made here, since the registry holds the trainer's own: it derives from `Recorded` and from the
    registered class, and has the name of the latter, so that logs, errors and results show that.
    """
    registered = TRAINER_REGISTRY.get(cfg.TRAINER.NAME)
    if not hasattr(registered, "config_node"):
        cfg = _with_precisions_of_the_family(cfg)
    if cfg.VERBOSE:
        logger.info("Loading trainer: %s", cfg.TRAINER.NAME)
    names = {
        "__module__": registered.__module__,
        "__qualname__": registered.__qualname__,
        "__doc__": registered.__doc__,
    }
    return type(registered.__name__, (Recorded, registered), names)(cfg)


def _with_precisions_of_the_family(cfg: CfgNode) -> CfgNode:
    """Without our `PREC auto`, which others' trainers refuse: fp16 on a GPU, as their own default, fp32 elsewhere."""
    cfg = cfg.clone()
    cfg.defrost()
    for node in cfg.TRAINER.values():
        if isinstance(node, CfgNode) and node.get("PREC") == "auto":
            node.PREC = "fp16" if cfg.USE_CUDA and torch.cuda.is_available() else "fp32"
    cfg.freeze()
    return cfg


class Recorded(Trainer):
    """What a run hears of its trainer. Stands in front of the trainer's own class, whoever wrote that.

    Attributes:
        record: is written with each checkpoint; None, as in all processes but the first: nothing is written or told.
        evaluator: the trainer's, in a wrapper that remembers the last test.
        seconds_test: that tests took so far; training is timed without them.
        clock: counts the seconds of the run's parts.
        trace_folder: of the trace of a few steps; None: there is none.
    """

    record: "RunRecord | None" = None
    seconds_test = 0.0
    trace_folder: Path | None = None
    _trace: StepTrace | None = None

    def __init__(self, cfg: CfgNode) -> None:
        self._values: list[Mapping[str, Any]] = []
        self.clock = Clock()
        super().__init__(cfg)
        self.evaluator: Any = RecordedEvaluator(self.evaluator)

    def part(self, name: str) -> AbstractContextManager[None]:
        """Count what runs inside as a part of the run."""
        return self.clock.part(name)

    def check_cfg(self, cfg: CfgNode) -> None:
        """Turn an assertion, by which others' trainers refuse a config, into one line."""
        try:
            super().check_cfg(cfg)
        except AssertionError as error:
            refuse(f"trainer {type(self).__name__} refuses the config", error)

    def before_train(self) -> None:
        """Say where a resumed training goes on."""
        super().before_train()
        if self.record is not None and self.start_epoch > 0:
            say(f"resuming after epoch {self.start_epoch} of {self.max_epoch}")

    def run_epoch(self) -> None:
        """What an epoch takes besides its steps is mostly waiting for images."""
        with self.part("data"):
            super().run_epoch()

    def forward_backward(self, *batches: Any, **named: Any) -> Any:
        """Keep the numbers of a step whose epoch has a line; they stay on the device until its end."""
        if self.trace_folder is not None and self._trace is None:
            self._trace = StepTrace(self.trace_folder, (self.max_epoch - self.start_epoch) * self.num_batches)
        if self._trace is not None:
            self._trace.begin_step()
        try:
            with self.part("step"):
                values = super().forward_backward(*batches, **named)
        except FloatingPointError as error:  # Dassl's `detect_anomaly`
            raise LammError(self._diverged("the loss is")) from error
        if self._trace is not None:
            self._trace.end_step()
        if self._has_line() and isinstance(values, Mapping):
            self._values.append(values)
        return values

    def after_train(self) -> None:
        """Write the trace of a training with fewer steps than it should have."""
        if self._trace is not None:
            self._trace.close()
        super().after_train()

    def after_epoch(self) -> None:
        """Tell the means of an epoch, fetched at once."""
        if self._has_line():
            means = {name: self._mean(name) for name in ("loss", "acc")}
            texts = [f"loss {means['loss']:.4f}"] if means["loss"] is not None else []
            texts += [f"training accuracy {means['acc']:.1f}%"] if means["acc"] is not None else []
            say(f"epoch {self.epoch + 1}/{self.max_epoch}" + (f": {', '.join(texts)}" if texts else ""))
        self._values = []
        super().after_epoch()

    def test(self, *positional: Any, **named: Any) -> Any:
        """Test what has not diverged; leave the time of testing out of that of training."""
        self._require_finite()
        began = time.monotonic()
        with self.part("test"):
            result = super().test(*positional, **named)
        self.seconds_test += time.monotonic() - began
        return result

    def save_model(self, *positional: Any, **named: Any) -> None:
        """Save what has not diverged, and write the record with it."""
        self._require_finite()
        with self.part("write"):
            super().save_model(*positional, **named)
            if self.record is not None:
                self.record.write_running()

    def _require_finite(self) -> None:
        """Look once at all learned tensors, so that no run ends and no checkpoint is replaced with infinite ones.

        Raises:
            LammError: one of them holds an infinity or NaN.
        """
        learned = [value for model in self._models.values() for value in model.parameters() if value.requires_grad]
        if learned and not torch.stack([torch.isfinite(value.detach()).all() for value in learned]).all():
            raise LammError(self._diverged("learned tensors are"))

    def _diverged(self, what: str) -> str:
        if "EVALUATION" in self.cfg:
            return f"{what} infinite or not a number: the checkpoint is of a training that diverged, take another"
        key = f"TRAINER.{node}.PREC" if (node := getattr(self, "config_node", "")) else "PREC"
        return (
            f"{what} infinite or not a number after epoch {self.epoch + 1}, the training has diverged: "
            f"lower OPTIM.LR (now {self.cfg.OPTIM.LR}), or set {key} fp32"
        )

    def _has_line(self) -> bool:
        done = self.epoch + 1
        due = self.max_epoch <= LONG_TRAINING or done % 10 == 0 or done == self.max_epoch
        return self.record is not None and due

    def _mean(self, name: str) -> float | None:
        values = fetched([step[name] for step in self._values if isinstance(step.get(name), int | float | Tensor)])
        return sum(values) / len(values) if values else None


class RecordedEvaluator:
    """An evaluator that remembers what it was given and what it said since its last `reset`.

    Attributes:
        metrics: the numbers among the results of the last `evaluate`.
        predictions: label, predicted label and confidence of each image; of a model whose outputs are not logits
            (B, N) none.

    Args:
        evaluator: does the work; any other attribute is its own.
    """

    def __init__(self, evaluator: Any) -> None:
        self._evaluator = evaluator
        self.metrics: dict[str, float] = {}
        self.predictions: list[tuple[int, int, float]] = []

    def reset(self) -> None:
        """Forget all batches."""
        self.predictions = []
        self._evaluator.reset()

    def process(self, output: Any, labels: Any) -> None:
        """Take in one batch."""
        self._evaluator.process(output, labels)
        if isinstance(output, Tensor) and output.ndim == 2:
            confidence, predicted = torch.softmax(output.detach().float(), dim=1).max(dim=1)
            self.predictions += zip(labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True)

    def evaluate(self) -> Any:
        """The evaluator's results.

        Raises:
            LammError: scores of images are not numbers, so that there is nothing to evaluate.
        """
        if not all(math.isfinite(confidence) for _, _, confidence in self.predictions):
            raise LammError(
                "scores of test images are infinite or not a number: set PREC fp32, or check INPUT.PIXEL_STD"
            )
        results = self._evaluator.evaluate()
        self.metrics = {name: float(value) for name, value in results.items() if isinstance(value, int | float)}
        return results

    def __getattr__(self, name: str) -> Any:
        if name == "_evaluator":  # not set yet, as while it is unpickled
            raise AttributeError(name)
        return getattr(self._evaluator, name)


class RunRecord:
    """Writes what a run leaves beside its checkpoints.

    Args:
        plan: the run.
        trainer: a `Recorded` one. Counted is what its optimizers train, and `fitted_parameters`, if it has them;
            `further_metrics`, if it has them, are recorded beside the evaluator's.
        config_hash: the run's fingerprint.
        earlier: the record of the part that ran before, when resuming.
    """

    def __init__(self, plan: RunPlan, trainer: Any, config_hash: str, earlier: RunResults | None = None) -> None:
        self._plan, self._trainer, self._hash = plan, trainer, config_hash
        self._seconds_before = (earlier.seconds_train or 0.0) if earlier else 0.0
        self._began = time.monotonic()
        self.write_running()

    def write_running(self) -> None:
        """Write what is known before the end, without results."""
        self._write(RUNNING, {})

    def finish(self) -> RunResults:
        """Write the file for the last time, as finished if the run was tested."""
        metrics = {name: value for name, value in self._trainer.evaluator.metrics.items() if name in METRICS}
        tested = all(name in metrics for name in METRICS)
        if metrics:
            metrics |= getattr(self._trainer, "further_metrics", {})
            metrics |= self._calibration()
        return self._write(FINISHED if tested else RUNNING, metrics)

    def _calibration(self) -> dict[str, float]:
        """ECE and AUROC of the images tested, where there are probabilities; see `lamm.calibration`."""
        told = self._trainer.evaluator.predictions
        if not told:
            return {}
        labels, predicted, confidence = (torch.tensor(column) for column in zip(*told, strict=True))
        correct = labels == predicted
        auroc = right_from_wrong(confidence, correct)
        measured = {"ece": expected_calibration_error(confidence, correct)}
        return measured if auroc is None else {**measured, "auroc": auroc}

    def write_predictions(self) -> None:
        """Write `predictions.csv`, if there is a prediction for every image of the split that was tested, in order."""
        cfg, dataset = self._plan.cfg, self._trainer.dm.dataset
        items = (getattr(dataset, "val", None) or dataset.test) if cfg.TEST.SPLIT == "val" else dataset.test
        said = self._trainer.evaluator.predictions
        in_order = cfg.DATALOADER.TEST.SAMPLER == "SequentialSampler"
        if in_order and said and [item.label for item in items] == [label for label, _, _ in said]:
            root = os.path.join(os.path.abspath(cfg.DATASET.ROOT), "")
            paths = [os.path.abspath(item.impath) for item in items]
            shown = [Path(path.removeprefix(root)).as_posix() if path.startswith(root) else path for path in paths]
            names = dict(enumerate(getattr(dataset, "classnames", ())))
            rows = [
                Prediction(image, label, best, sure, names.get(label, ""), names.get(best, ""))
                for image, (label, best, sure) in zip(shown, said, strict=True)
            ]
            write_predictions(self._plan.output_dir, rows)

    def _write(self, status: str, metrics: dict[str, float]) -> RunResults:
        plan, cfg, trainer = self._plan, self._plan.cfg, self._trainer
        optimizers = [optimizer for optimizer in trainer._optims.values() if optimizer is not None]
        trained = {id(p): p for o in optimizers for group in o.param_groups for p in group["params"] if p.requires_grad}
        if torch.cuda.is_available():
            peak_bytes = torch.cuda.max_memory_allocated()
        else:
            peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
        trainer.clock.settle()
        seconds = self._seconds_before + time.monotonic() - self._began - trainer.seconds_test
        results = RunResults(
            trainer=plan.trainer,
            dataset=plan.dataset,
            shots=cfg.DATASET.NUM_SHOTS,
            seed=cfg.SEED,
            cfg=plan.cfg_name,
            protocol=plan.protocol,
            split=cfg.TEST.SPLIT,
            metrics=metrics,
            trainable_parameters=sum(p.numel() for p in trained.values()) + getattr(trainer, "fitted_parameters", 0),
            seconds_train=round(seconds, 3),
            peak_memory_mb=round(peak_bytes / 2**20, 1),
            precision=getattr(trainer, "precision", "unknown"),
            config_hash=self._hash,
            versions=versions(),
            status=status,
            seconds_by_part={name: round(value, 3) for name, value in trainer.clock.seconds.items()},
        )
        results.write(plan.output_dir / RESULTS_FILE)
        return results


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    return {
        "lamm": lamm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "engine": f"{ENGINE.name} {ENGINE.version}",
    }


@dataclass(frozen=True)
class RunClasses:
    """The classes of a run.

    Attributes:
        class_names: in label order; two classes may have the same name.
        templates: of a trainer whose prompts are hand-written, with `{}` for the class name.
        split_made_here: whether the data set was split by us, for want of the published split.
        images: of a user's own images: class name → how many there were.
    """

    class_names: list[str]
    templates: list[str]
    split_made_here: bool = False
    images: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_trainer(cls, trainer: Any) -> "RunClasses":
        """What a built trainer tells; one that others wrote may tell less."""
        dataset = trainer.dm.dataset
        told = (getattr(dataset, "classnames", ()), getattr(trainer, "templates", ()))
        names, templates = (list(texts) if _are_texts(texts) else [] for texts in told)
        images = getattr(dataset, "images_per_class", {})
        made_here = getattr(dataset, "split_made_here", False) is True
        return cls(names, templates, made_here, images if isinstance(images, dict) else {})

    def write(self, folder: Path) -> None:
        """Write the file into a run's folder, unless no class is known."""
        if self.class_names:
            write_json(folder / CLASSES_FILE, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "RunClasses | None":
        """The classes of a run's folder; None: it has no such file.

        Raises:
            CheckpointError: the file is damaged.
        """
        file = folder / CLASSES_FILE
        try:
            content = json_value(read_bytes(file))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file} can't be read ({type(error).__name__}): run that seed again") from error
        fields = content if isinstance(content, dict) else {}
        names, templates = fields.get("class_names") or [], fields.get("templates", ())
        if not (names and _are_texts(names) and isinstance(templates, list) and _are_texts(templates)):
            raise CheckpointError(f"{file} is damaged: it must hold lists of class_names and templates")
        images = fields.get("images")
        counts = images if isinstance(images, dict) and all(type(n) is int for n in images.values()) else {}
        return cls(names, templates, fields.get("split_made_here") is True, counts)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)
