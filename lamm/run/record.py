"""The record of one run, `results.json`: begun, kept while it runs, finished."""

import platform
import resource
import time
from typing import Any

import torch

import lamm
from lamm.engine import ENGINE
from lamm.results.schema import FILE_NAME, FINISHED, METRICS, RUNNING, RunResults
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
        ).write(plan.output_dir / FILE_NAME)

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
