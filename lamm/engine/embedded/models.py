"""The models that a trainer registers: their modes, updates and checkpoints."""

import os
import random
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamm.engine.embedded.checkpoint import (
    MissingCheckpointError,
    checkpoints_to_resume,
    load_checkpoint,
    load_weights,
    misfit_as_error,
    model_file,
    restore,
    save_checkpoint,
)

Names = str | Sequence[str] | None


class RegisteredModels:
    """Modules with their optimizers and schedulers, by name."""

    best_result: float
    scaler: Any

    def __init__(self) -> None:
        self._models: OrderedDict[str, nn.Module] = OrderedDict()
        self._optims: OrderedDict[str, Any] = OrderedDict()
        self._scheds: OrderedDict[str, Any] = OrderedDict()

    def register_model(self, name: str = "model", model: Any = None, optim: Any = None, sched: Any = None) -> None:
        """Have a module switched between training and evaluation, saved and loaded in the folder `name`.

        `optim` and `sched` are its optimizer and scheduler, or None.
        """
        if "_models" not in vars(self):
            raise AssertionError("Cannot register a model before TrainerBase.__init__() was called")
        if name in self._models:
            raise AssertionError("Found duplicate model names")
        self._models[name] = model
        self._optims[name] = optim
        self._scheds[name] = sched

    def get_model_names(self, names: Names = None) -> list[str]:
        """`names` as a list, each of them registered; None: all."""
        if names is None:
            return list(self._models)
        chosen = [names] if isinstance(names, str) else list(names)
        for name in chosen:
            if name not in self._models:
                raise AssertionError(f'No model is registered as "{name}"; there are {list(self._models)}')
        return chosen

    def set_model_mode(self, mode: str = "train", names: Names = None) -> None:
        """Put registered modules in `train`, or in `test` or `eval`, mode."""
        if mode not in ("train", "test", "eval"):
            raise KeyError(f'unknown mode "{mode}"; choose train, test or eval')
        for name in self.get_model_names(names):
            self._models[name].train(mode == "train")

    def update_lr(self, names: Names = None) -> None:
        """Step the schedulers: one epoch is done."""
        for name in self.get_model_names(names):
            if self._scheds[name] is not None:
                self._scheds[name].step()

    def _optimizers(self, names: Names) -> Iterator[Any]:
        return (self._optims[name] for name in self.get_model_names(names) if self._optims[name] is not None)

    def get_current_lr(self, names: Names = None) -> float:
        """The learning rate of group 0 of the first model that has an optimizer."""
        optimizer = next(self._optimizers(names), None)
        return 0.0 if optimizer is None else float(optimizer.param_groups[0]["lr"])

    # One update.

    def model_zero_grad(self, names: Names = None) -> None:
        """Clear the gradients."""
        for optimizer in self._optimizers(names):
            optimizer.zero_grad()

    def detect_anomaly(self, loss: Tensor) -> None:
        """Refuse a loss that is infinite or not a number.

        Raises:
            FloatingPointError: It is.
        """
        if not torch.isfinite(loss).all():
            raise FloatingPointError("Loss is infinite or NaN!")

    def model_backward(self, loss: Tensor) -> None:
        """Check the loss and compute the gradients."""
        self.detect_anomaly(loss)
        loss.backward()

    def model_update(self, names: Names = None) -> None:
        """Step the optimizers."""
        for optimizer in self._optimizers(names):
            optimizer.step()

    def model_backward_and_update(self, loss: Tensor, names: Names = None) -> None:
        """Clear the gradients, go backward, step."""
        self.model_zero_grad(names)
        self.model_backward(loss)
        self.model_update(names)

    # Checkpoints.

    def save_model(
        self, epoch: int, directory: str, is_best: bool = False, val_result: float | None = None, model_name: str = ""
    ) -> None:
        """Save each registered model in `directory/<name>/`.

        Args:
            epoch: Index of the epoch just done, from 0.
            directory: Of the run.
            is_best: Also write it to `model-best.pth.tar`.
            val_result: Result on the validation set that the file stands for.
            model_name: The file's name, in place of `model.pth.tar-<epoch + 1>`.
        """
        for name in self.get_model_names():
            optimizer, scheduler = self._optims[name], self._scheds[name]
            state = {
                "state_dict": self._models[name].state_dict(),
                "epoch": epoch + 1,
                "optimizer": None if optimizer is None else optimizer.state_dict(),
                "scheduler": None if scheduler is None else scheduler.state_dict(),
                "val_result": val_result,
                "best_result": getattr(self, "best_result", -float("inf")),
                "rng_state": rng_states(),
            }
            if getattr(self, "scaler", None) is not None:
                state["scaler"] = self.scaler.state_dict()
            save_checkpoint(state, os.path.join(directory, name), is_best=is_best, model_name=model_name)

    def resume_model_if_exist(self, directory: str) -> int:
        """Continue from the checkpoints in `directory` if each model has one there; the epochs done."""
        names = self.get_model_names()
        folders = [os.path.join(directory, name) for name in names]
        paths = checkpoints_to_resume(folders) if all(map(os.path.exists, folders)) else []
        if not paths:
            print("No checkpoint found, train from scratch")
            return 0
        print(f"Found checkpoint at {directory} (will resume training)")
        epoch = 0
        for name, path in zip(names, paths, strict=True):
            checkpoint = restore(path, self._models[name], self._optims[name], self._scheds[name])
            epoch = checkpoint.get("epoch", 0)
            # What makes a resumed run continue exactly; files of other engines lack it.
            if checkpoint.get("best_result") is not None:
                self.best_result = checkpoint["best_result"]
            with misfit_as_error("random state", path):
                if getattr(self, "scaler", None) is not None and checkpoint.get("scaler"):
                    self.scaler.load_state_dict(checkpoint["scaler"])
                if checkpoint.get("rng_state"):
                    restore_rng_states(checkpoint["rng_state"])
        return epoch

    def load_model(self, directory: str, epoch: int | None = None) -> None:
        """Load the weights of each registered model from the file of an epoch; None: the best one.

        Nothing is loaded if `directory`, the run's, is empty.

        Raises:
            CheckpointError: A file that is missing (also a FileNotFoundError), damaged, or does not fit.
        """
        if not directory:
            note = "no pretrained model is given (ignore this if it's done on purpose)"
            print(f"Note that load_model() is skipped as {note}")
            return
        for name in self.get_model_names():
            path = os.path.join(directory, name, model_file(epoch))
            if not os.path.exists(path):
                raise MissingCheckpointError(f"No model at {path}")
            checkpoint = load_checkpoint(path)
            result = checkpoint.get("val_result")
            shown = "None" if result is None else f"{result:.1f}"
            print(f"Load {path} to {name} (epoch={checkpoint.get('epoch')}, val_result={shown})")
            load_weights(self._models[name], checkpoint, path)


def rng_states() -> dict[str, Any]:
    """The states of all generators, those of CUDA devices too, as tensors and plain data for a checkpoint."""
    version, internal, gauss_next = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, cached = numpy_state
    return {
        "python": [version, list(internal), gauss_next],
        "numpy": [str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng_states(states: dict[str, Any]) -> None:
    """Continue all generators from what `rng_states` gave; CUDA devices as far as both sides have them."""
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"].cpu())
    if torch.cuda.is_available():
        for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), device)
