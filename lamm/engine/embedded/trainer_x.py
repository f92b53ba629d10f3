"""The trainer for labelled images: one epoch is one pass over `train_loader_x`."""

import time
from datetime import timedelta
from typing import Any

from torch import Tensor

from lamm.engine.embedded.meters import AverageMeter, MetricMeter
from lamm.engine.embedded.simple_trainer import SimpleTrainer


class TrainerX(SimpleTrainer):
    """A trainer's base class: implement `forward_backward(batch)`, usually `build_model` too.

    `forward_backward` returns a dictionary of numbers to print, and calls `self.update_lr()` when
    `self.batch_idx + 1 == self.num_batches`.
    """

    def run_epoch(self) -> None:
        """Train on every batch; print and write the running means.

        Values are fetched from the device only when they are printed, so printing makes nothing wait in between.
        """
        self.set_model_mode("train")
        losses, batch_time, data_time = MetricMeter(), AverageMeter(), AverageMeter()
        self.num_batches = len(self.train_loader_x)
        waiting: list[tuple[int, float]] = []
        end = time.time()
        for batch_idx, batch in enumerate(self.train_loader_x):
            self.batch_idx = batch_idx
            data_time.update(time.time() - end)
            losses.update(self.forward_backward(batch))
            batch_time.update(time.time() - end)
            waiting.append((self.epoch * self.num_batches + batch_idx, self.get_current_lr()))
            due = (batch_idx + 1) % self.cfg.TRAIN.PRINT_FREQ == 0 or self.num_batches < self.cfg.TRAIN.PRINT_FREQ
            if due or batch_idx + 1 == self.num_batches:
                self._write(losses.settle(), waiting)
                waiting = []
            if due:
                print(self._progress(losses, batch_time, data_time))
            end = time.time()

    def _write(self, means: dict[str, list[float]], steps: list[tuple[int, float]]) -> None:
        """Running means and learning rate of several steps, each a (step, learning rate), into the event file."""
        for name, values in means.items():
            # A name that came later than the others has fewer values, the last ones.
            for (step, _), value in zip(steps[-len(values) :], values, strict=False):
                self.write_scalar(f"train/{name}", value, step)
        for step, rate in steps:
            self.write_scalar("train/lr", rate, step)

    def _progress(self, losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter) -> str:
        """The progress line; log readers rely on its form."""
        batches_left = self.num_batches - self.batch_idx - 1
        batches_left += (self.max_epoch - self.epoch - 1) * self.num_batches
        parts = [
            f"epoch [{self.epoch + 1}/{self.max_epoch}]",
            f"batch [{self.batch_idx + 1}/{self.num_batches}]",
            f"time {batch_time.val:.3f} ({batch_time.avg:.3f})",
            f"data {data_time.val:.3f} ({data_time.avg:.3f})",
            str(losses),
            f"lr {self.get_current_lr():.4e}",
            f"eta {timedelta(seconds=int(batch_time.avg * batches_left))}",
        ]
        return " ".join(part for part in parts if part)

    def parse_batch_train(self, batch: Any) -> tuple[Tensor, ...]:
        """Images, labels and domains, on the device; prompt learners return images and labels only."""
        return batch["img"].to(self.device), batch["label"].to(self.device), batch["domain"].to(self.device)
