"""The record of one run, `results.json`: begun, kept while it runs, finished."""

import json
import os
import platform
import resource
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import lamm
from lamm.engine import ENGINE
from lamm.errors import CheckpointError
from lamm.files import write_json
from lamm.results.run_files import Prediction, write_predictions
from lamm.results.schema import FINISHED, METRICS, RESULTS_FILE, RUNNING, RunResults
from lamm.run.plan import RunPlan


class RunRecord:
    """Writes `results.json` of a run.

    Args:
        plan: the run.
        trainer: the trainer object; its evaluator is listened to, its optimizers are counted. `further_metrics`, if it
            has them, are recorded beside the evaluator's.
        config_hash: the run's fingerprint.
        earlier: the record of the part that ran before, when resuming.
    """

    def __init__(self, plan: RunPlan, trainer: Any, config_hash: str, earlier: RunResults | None = None) -> None:
        self._plan, self._trainer, self._hash = plan, trainer, config_hash
        self._metrics: dict[str, float] = {}
        self._seconds_before = (earlier.seconds_train or 0.0) if earlier else 0.0
        self._began = time.monotonic()
        self._seconds_test = 0.0
        self._listen()
        self.write_running()

    def write_running(self) -> None:
        """Write what is known before the end; results are not among it."""
        self._write(RUNNING, {})

    def finish(self) -> dict[str, float]:
        """Write the file for the last time, as finished if the run was tested; its metrics."""
        metrics = {name: float(self._metrics[name]) for name in METRICS if name in self._metrics}
        if metrics:
            metrics |= getattr(self._trainer, "further_metrics", {})
        whole = all(name in metrics for name in METRICS)
        self._write(FINISHED if whole else RUNNING, metrics)
        return metrics

    def _write(self, status: str, metrics: dict[str, float]) -> None:
        plan, cfg = self._plan, self._plan.cfg
        RunResults(
            trainer=plan.trainer,
            dataset=plan.dataset,
            shots=cfg.DATASET.NUM_SHOTS,
            seed=cfg.SEED,
            cfg=plan.cfg_name,
            protocol=plan.protocol,
            split=cfg.TEST.SPLIT,
            metrics=metrics,
            trainable_parameters=trained_scalars(self._trainer),
            seconds_train=round(self._seconds_before + time.monotonic() - self._began - self._seconds_test, 3),
            peak_memory_mb=round(peak_memory_mb(), 1),
            precision=getattr(self._trainer, "precision", "unknown"),
            config_hash=self._hash,
            versions=versions(),
            status=status,
        ).write(plan.output_dir / RESULTS_FILE)

    def _listen(self) -> None:
        """Keep the results, leave the time of testing out of that of training, and write with each checkpoint."""
        evaluator, test, save = self._trainer.evaluator, self._trainer.test, self._trainer.save_model
        evaluate = evaluator.evaluate

        def kept() -> Any:
            results = evaluate()
            self._metrics = {key: value for key, value in results.items() if isinstance(value, int | float)}
            return results

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.monotonic()
            result = test(*arguments, **named)
            self._seconds_test += time.monotonic() - began
            return result

        def recorded(*arguments: Any, **named: Any) -> None:
            save(*arguments, **named)
            self.write_running()

        evaluator.evaluate = kept
        self._trainer.test = timed
        self._trainer.save_model = recorded


def trained_scalars(trainer: Any) -> int:
    """Number of scalars that the trainer's optimizers move."""
    optimizers = [optimizer for optimizer in trainer._optims.values() if optimizer is not None]
    parameters = {id(p): p for o in optimizers for group in o.param_groups for p in group["params"]}
    return sum(p.numel() for p in parameters.values() if p.requires_grad)


def peak_memory_mb() -> float:
    """Peak memory in MiB: of the GPU's tensors where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    return {
        "lamm": lamm.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "engine": f"{ENGINE.name} {ENGINE.version}",
    }


class PredictionRecord:
    """The predictions of a trainer's last test.

    Args:
        trainer: the trainer object; its evaluator is listened to. One whose outputs are no logits (B, N) is heard out,
            but nothing is kept.
    """

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._said: list[tuple[int, int, float]] = []
        self._listen()

    def write(self, folder: Path, split: str, root: str) -> None:
        """Write `predictions.csv`, if there is a prediction for every image of the split that was tested, in its order.

        Args:
            folder: of the run.
            split: `test` or `val`.
            root: the data root.
        """
        dataset = self._trainer.dm.dataset
        items = (getattr(dataset, split, None) or dataset.test) if split == "val" else dataset.test
        in_order = self._trainer.cfg.DATALOADER.TEST.SAMPLER == "SequentialSampler"
        if in_order and self._said and [item.label for item in items] == [label for label, _, _ in self._said]:
            images = [_shown(item.impath, os.path.abspath(root)) for item in items]
            write_predictions(
                folder, [Prediction(image, *said) for image, said in zip(images, self._said, strict=True)]
            )

    def _listen(self) -> None:
        evaluator = self._trainer.evaluator
        reset, process = evaluator.reset, evaluator.process

        def forgotten() -> None:
            self._said.clear()
            reset()

        def kept(output: Any, labels: Any) -> None:
            process(output, labels)
            if isinstance(output, Tensor) and output.ndim == 2:
                confidence, predicted = torch.softmax(output.detach().float(), dim=1).max(dim=1)
                self._said += zip(labels.tolist(), predicted.tolist(), confidence.tolist(), strict=True)

        evaluator.reset = forgotten
        evaluator.process = kept


def _shown(path: str, root: str) -> str:
    """A file below the data root without it, any other one as it is."""
    path = os.path.abspath(path)
    return Path(os.path.relpath(path, root)).as_posix() if path.startswith(os.path.join(root, "")) else path


CLASSES_FILE = "classes.json"


@dataclass(frozen=True)
class RunClasses:
    """The classes of a run.

    Attributes:
        class_names: in label order; two classes may have the same name.
        templates: of a trainer whose prompts are hand-written, with `{}` for the class name.
        split_made_here: whether the data set was split by us, for want of the published split.
    """

    class_names: list[str]
    templates: list[str]
    split_made_here: bool = False

    @classmethod
    def of_trainer(cls, trainer: Any) -> "RunClasses":
        """What a built trainer tells; one that others wrote may tell less."""
        dataset = trainer.dm.dataset
        told = (getattr(dataset, "classnames", ()), getattr(trainer, "templates", ()))
        names, templates = (list(texts) if _are_texts(texts) else [] for texts in told)
        return cls(names, templates, getattr(dataset, "split_made_here", False) is True)

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
            content = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{file} can't be read ({type(error).__name__}): run that seed again") from error
        held = content if isinstance(content, dict) else {}
        names, templates = held.get("class_names") or [], held.get("templates", ())
        if not (names and _are_texts(names) and isinstance(templates, list) and _are_texts(templates)):
            raise CheckpointError(f"{file} is damaged: it must hold lists of class_names and templates")
        return cls(names, templates, held.get("split_made_here") is True)


def _are_texts(values: Any) -> bool:
    return isinstance(values, list | tuple) and all(isinstance(value, str) for value in values)
