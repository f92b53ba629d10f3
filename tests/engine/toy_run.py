"""A toy trainer on random vectors, for tests of the training loop; no images, no registry."""

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lamm.engine.embedded.config import get_cfg_default
from lamm.engine.embedded.dassl_utils import set_random_seed
from lamm.engine.embedded.evaluation import compute_accuracy
from lamm.engine.embedded.optim import build_lr_scheduler, build_optimizer
from lamm.engine.embedded.trainer import TrainerX

CLASSES, WIDTH = 3, 6


class Vectors(Dataset[dict[str, Any]]):
    """Items such as the engine's batches hold, with a fixed vector in place of an image."""

    def __init__(self, size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.label = torch.arange(size) % CLASSES
        self.img = torch.randn(size, WIDTH, generator=generator) + self.label[:, None]

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"img": self.img[index], "label": self.label[index], "domain": torch.tensor(0)}


class ToyTrainer(TrainerX):
    """A linear classifier with dropout, so that every step draws random numbers."""

    stop_after: int | None = None

    def build_data_loader(self) -> None:
        self.train_loader_x = DataLoader(Vectors(20, 1), batch_size=4, shuffle=True)
        self.train_loader_u = None
        self.val_loader = DataLoader(Vectors(9, 2), batch_size=4)
        self.test_loader = DataLoader(Vectors(12, 3), batch_size=4)
        self.num_classes, self.num_source_domains = CLASSES, 0
        self.lab2cname = {label: f"class_{label}" for label in range(CLASSES)}
        self.dm = None

    def build_model(self) -> None:
        self.model = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTH, CLASSES))
        self.optim = build_optimizer(self.model, self.cfg.OPTIM)
        self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
        self.register_model("toy", self.model, self.optim, self.sched)
        self.rates: list[float] = []

    def parse_batch_train(self, batch: Any) -> Any:
        return batch["img"], batch["label"]

    def forward_backward(self, batch: Any) -> dict[str, float]:
        if self.batch_idx == 0:
            self.rates.append(self.get_current_lr())
        images, labels = self.parse_batch_train(batch)
        logits = self.model(images)
        loss = nn.functional.cross_entropy(logits, labels)
        self.model_backward_and_update(loss)
        if self.batch_idx + 1 == self.num_batches:
            self.update_lr()
        return {"loss": loss.item(), "acc": compute_accuracy(logits, labels)[0].item()}

    def after_epoch(self) -> None:
        super().after_epoch()
        if self.epoch + 1 == self.stop_after:
            raise KeyboardInterrupt


def toy_config(folder: Any, **optim: Any) -> Any:
    """A config for the toy: six epochs, constant warm-up of two, cosine, a checkpoint each epoch."""
    cfg = get_cfg_default()
    cfg.OUTPUT_DIR = str(folder)
    cfg.USE_CUDA = False
    cfg.VERBOSE = False
    cfg.TRAIN.CHECKPOINT_FREQ = 1
    settings = {
        "NAME": "sgd",
        "LR": 0.02,
        "MAX_EPOCH": 6,
        "LR_SCHEDULER": "cosine",
        "WARMUP_EPOCH": 2,
        "WARMUP_TYPE": "constant",
        **optim,
    }
    for name, value in settings.items():
        cfg.OPTIM[name] = value
    return cfg


def toy_trainer(cfg: Any, stop_after: int | None = None, seed: int = 7) -> ToyTrainer:
    """A seeded toy trainer, its TensorBoard writer switched off; with `stop_after` interrupted after that epoch."""
    set_random_seed(seed)
    trainer = ToyTrainer(cfg)
    trainer.stop_after = stop_after
    trainer.init_writer = lambda log_dir: None  # type: ignore[method-assign]
    return trainer
