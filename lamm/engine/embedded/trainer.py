"""The loop over epochs: what a trainer derives from, and the hooks that it may override.

`TrainerBase` has the loop, `SimpleTrainer` the data, the evaluation and when to save, `TrainerX` an epoch.
"""

import os
import time
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from yacs.config import CfgNode

from lamm.engine.embedded.checkpoint import BEST_MODEL
from lamm.engine.embedded.data_manager import DataManager
from lamm.engine.embedded.evaluation import build_evaluator
from lamm.engine.embedded.meters import AverageMeter, MetricMeter
from lamm.engine.embedded.models import RegisteredModels
from lamm.errors import EngineError


class TrainerBase(RegisteredModels):
    """The loop over epochs, with a hook before and after each part.

    `train` calls `before_train`; for each epoch `before_epoch`, `run_epoch`, `after_epoch`; then `after_train`. The
    loop never steps a scheduler: `forward_backward` calls `update_lr` on the last batch of an epoch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._writer: Any = None

    def train(self, start_epoch: int, max_epoch: int) -> None:
        """Run the epochs from `start_epoch` up to but without `max_epoch`; `before_train` may move the start."""
        self.start_epoch = start_epoch
        self.max_epoch = max_epoch
        self.before_train()
        for epoch in range(self.start_epoch, self.max_epoch):
            self.epoch = epoch
            self.before_epoch()
            self.run_epoch()
            self.after_epoch()
        self.after_train()

    def before_train(self) -> None:
        """Hook."""

    def after_train(self) -> None:
        """Hook."""

    def before_epoch(self) -> None:
        """Hook."""

    def after_epoch(self) -> None:
        """Hook."""

    def run_epoch(self) -> None:
        """Train for one epoch."""
        raise NotImplementedError

    def forward_backward(self, batch: Any) -> Any:
        """One update; the numbers to print, by name."""
        raise NotImplementedError

    def init_writer(self, log_dir: str) -> None:
        """Open the TensorBoard writer, once."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            print(f"Initialize tensorboard (log_dir={log_dir})")
            self._writer = SummaryWriter(log_dir=log_dir)

    def close_writer(self) -> None:
        """Close the TensorBoard writer if there is one."""
        if self._writer is not None:
            self._writer.close()

    def write_scalar(self, tag: str, scalar_value: float, global_step: int | None = None) -> None:
        """Write one number; nothing happens without a writer, as when only testing."""
        if self._writer is not None:
            self._writer.add_scalar(tag, scalar_value, global_step)


class SimpleTrainer(TrainerBase):
    """Checks the config, loads data, builds model and evaluator; tests after training.

    The order is part of the contract: `check_cfg` runs before `self.cfg` exists; `build_model` may use `self.dm`,
    `self.device`, `self.num_classes`, `self.lab2cname`, and sets `self.model` and registers what it trains.

    Args:
        cfg: The frozen config.
    """

    # None until `build_model` sets it, in trainers that use mixed precision.
    scaler: Any = None
    model: Any

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.check_cfg(cfg)
        self.device = torch.device("cuda" if torch.cuda.is_available() and cfg.USE_CUDA else "cpu")
        self.start_epoch = self.epoch = 0
        self.max_epoch: int = cfg.OPTIM.MAX_EPOCH
        self.output_dir: str = cfg.OUTPUT_DIR
        self.cfg = cfg
        self.build_data_loader()
        self.build_model()
        self.evaluator = build_evaluator(cfg, lab2cname=self.lab2cname)
        self.best_result = -float("inf")

    def check_cfg(self, cfg: CfgNode) -> None:
        """Hook: refuse a config that the trainer can't use. Only the argument exists at this point."""

    def build_data_loader(self) -> None:
        """Set the loaders and what they tell about the classes."""
        dm = DataManager(self.cfg)
        self.train_loader_x: Any = dm.train_loader_x
        self.train_loader_u = dm.train_loader_u
        self.val_loader: Any = dm.val_loader
        self.test_loader: Any = dm.test_loader
        self.num_classes = dm.num_classes
        self.num_source_domains = dm.num_source_domains
        self.lab2cname = dm.lab2cname
        self.dm = dm

    def build_model(self) -> None:
        """Build and move the model, set `self.model`, call `register_model`. Every trainer defines it.

        Raises:
            EngineError: This one does not.
        """
        raise EngineError(
            f"trainer {type(self).__name__} has no build_model() of its own, and Dassl's SimpleNet is not in the "
            "embedded engine: define build_model(), which sets self.model and registers it"
        )

    def train(self) -> None:  # type: ignore[override]
        """Train from the first epoch, or from a checkpoint, to the last; then test."""
        super().train(self.start_epoch, self.max_epoch)

    def before_train(self) -> None:
        """Resume if there is something to resume, open the writer, start the clock."""
        self.start_epoch = self.resume_model_if_exist(self.cfg.RESUME or self.cfg.OUTPUT_DIR)
        self.init_writer(os.path.join(self.output_dir, "tensorboard"))
        self.time_start = time.time()

    def after_epoch(self) -> None:
        """Validate if the best model is wanted, and save a checkpoint when one is due."""
        epochs, every = self.epoch + 1, self.cfg.TRAIN.CHECKPOINT_FREQ
        due = epochs == self.max_epoch or (every > 0 and epochs % every == 0)
        result, is_best = -float("inf"), False
        if not self.cfg.TEST.NO_TEST and self.cfg.TEST.FINAL_MODEL == "best_val":
            result = self.test(split="val")
            is_best = result > self.best_result
        if is_best:
            self.best_result = result
        if due:
            self.save_model(self.epoch, self.output_dir, is_best=is_best, val_result=result if is_best else None)
        elif is_best:
            self.save_model(self.epoch, self.output_dir, val_result=result, model_name=BEST_MODEL)

    def after_train(self) -> None:
        """Test the model that the config asks for, and close the writer."""
        print("Finish training")
        if not self.cfg.TEST.NO_TEST:
            if self.cfg.TEST.FINAL_MODEL == "best_val":
                print("Deploy the model with the best val performance")
                self.load_model(self.output_dir)
            else:
                print("Deploy the last-epoch model")
            self.test()
        print(f"Elapsed: {timedelta(seconds=round(time.time() - self.time_start))}")
        self.close_writer()

    @torch.no_grad()
    def test(self, split: str | None = None) -> float:
        """Evaluate on the test set, or on the validation set if `split` is "val" and there is one.

        Args:
            split: None takes `cfg.TEST.SPLIT`.

        Returns:
            The evaluator's first result (accuracy in percent).
        """
        self.set_model_mode("eval")
        self.evaluator.reset()
        if (split or self.cfg.TEST.SPLIT) == "val" and self.val_loader is not None:
            split, loader = "val", self.val_loader
        else:
            split, loader = "test", self.test_loader
        print(f"Evaluate on the *{split}* set")
        # disable=None: no bar where stderr is not a terminal.
        for batch in tqdm(loader, disable=None):
            images, labels = self.parse_batch_test(batch)
            self.evaluator.process(self.model_inference(images), labels)
        results = self.evaluator.evaluate()
        for name, value in results.items():
            self.write_scalar(f"{split}/{name}", value, self.epoch)
        return next(iter(results.values()))

    def model_inference(self, input: Any) -> Any:
        """The output of `self.model`."""
        return self.model(input)

    def parse_batch_test(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Images and labels, on the device."""
        return batch["img"].to(self.device), batch["label"].to(self.device)


class TrainerX(SimpleTrainer):
    """A trainer's base class: implement `build_model` and `forward_backward(batch)`.

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
        print_freq = self.cfg.TRAIN.PRINT_FREQ
        unwritten: list[tuple[int, float]] = []  # (step, learning rate)
        end = time.time()
        for batch_idx, batch in enumerate(self.train_loader_x):
            self.batch_idx = batch_idx
            data_time.update(time.time() - end)
            losses.update(self.forward_backward(batch))
            batch_time.update(time.time() - end)
            unwritten.append((self.epoch * self.num_batches + batch_idx, self.get_current_lr()))
            due = (batch_idx + 1) % print_freq == 0 or self.num_batches < print_freq
            if due or batch_idx + 1 == self.num_batches:
                for name, means in losses.settle().items():
                    # A name that came later than the others has fewer values, the last ones.
                    for (step, _), mean in zip(unwritten[-len(means) :], means, strict=False):
                        self.write_scalar(f"train/{name}", mean, step)
                for step, rate in unwritten:
                    self.write_scalar("train/lr", rate, step)
                unwritten = []
            if due:
                print(self._progress(losses, batch_time, data_time))
            end = time.time()

    def _progress(self, losses: MetricMeter, batch_time: AverageMeter, data_time: AverageMeter) -> str:
        """The progress line; log readers rely on its form."""
        batches_left = self.num_batches - self.batch_idx - 1
        batches_left += (self.max_epoch - self.epoch - 1) * self.num_batches
        parts = [
            f"epoch [{self.epoch + 1}/{self.max_epoch}] batch [{self.batch_idx + 1}/{self.num_batches}]",
            f"time {batch_time.val:.3f} ({batch_time.avg:.3f}) data {data_time.val:.3f} ({data_time.avg:.3f})",
            str(losses),
            f"lr {self.get_current_lr():.4e} eta {timedelta(seconds=int(batch_time.avg * batches_left))}",
        ]
        return " ".join(part for part in parts if part)  # a trainer without losses to print has an empty part

    def parse_batch_train(self, batch: Any) -> tuple[Tensor, ...]:
        """Images, labels and domains, on the device; prompt learners return images and labels only."""
        return batch["img"].to(self.device), batch["label"].to(self.device), batch["domain"].to(self.device)
