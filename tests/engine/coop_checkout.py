"""A checkout in the shape of the CoOp family's, written by our own hand: packages, names and calls, on a toy model.

`trainers/coop.py` registers `CoOp`, `datasets/squares.py` registers `Caltech101`: names that we have too.
"""

import textwrap
from pathlib import Path

FILES = {
    "clip/__init__.py": "from .clip import *",
    "clip/clip.py": """
        from torch import nn
        def load(width):
            return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, width))
    """,
    "trainers/__init__.py": "",
    "trainers/templates.py": 'TEMPLATE = "a photo of a {}."',
    "trainers/coop.py": """
        from torch.nn import functional as F
        from dassl.engine import TRAINER_REGISTRY, TrainerX
        from dassl.metrics import compute_accuracy
        from dassl.optim import build_lr_scheduler, build_optimizer
        from clip import clip
        from .templates import TEMPLATE

        @TRAINER_REGISTRY.register()
        class CoOp(TrainerX):
            def check_cfg(self, cfg):
                assert cfg.TRAINER.COOP.PREC in ["fp16", "fp32", "amp"]

            def build_model(self):
                self.words = [TEMPLATE.format(name) for name in self.dm.dataset.classnames]
                self.model = clip.load(len(self.words)).to(self.device)
                if self.cfg.TRAINER.COOP.CTX_INIT:
                    print("words of the switch")
                self.optim = build_optimizer(self.model, self.cfg.OPTIM)
                self.sched = build_lr_scheduler(self.optim, self.cfg.OPTIM)
                self.register_model("prompt_learner", self.model, self.optim, self.sched)

            def forward_backward(self, batch):
                image, label, _ = self.parse_batch_train(batch)
                output = self.model(image)
                loss = F.cross_entropy(output, label)
                self.model_backward_and_update(loss)
                if self.batch_idx + 1 == self.num_batches:
                    self.update_lr()
                return {"loss": loss.item(), "acc": compute_accuracy(output, label)[0].item()}
    """,
    # What repositories of the family take from deeper places, used as they use it.
    "trainers/deeper.py": """
        import os.path as osp
        import time
        import torch
        from dassl.data.data_manager import DataManager, build_transform
        from dassl.data.samplers import RandomDomainSampler, RandomSampler, SeqDomainSampler, SequentialSampler
        from dassl.engine import TRAINER_REGISTRY
        from dassl.engine.trainer import AverageMeter, MetricMeter, SummaryWriter, TrainerX
        from dassl.optim.lr_scheduler import ConstantWarmupScheduler, LinearWarmupScheduler
        from dassl.optim.radam import RAdam
        from dassl.utils.tools import mkdir_if_missing
        from .coop import CoOp

        @TRAINER_REGISTRY.register()
        class Deeper(CoOp):
            def build_data_loader(self):
                super().build_data_loader()
                self.dm = DataManager(self.cfg, custom_tfm_train=build_transform(self.cfg, is_train=True))
                self.train_loader_x = self.dm.train_loader_x
                data = self.dm.dataset.train_x
                assert sorted(RandomSampler(data)) == list(SequentialSampler(data)) == list(range(len(data)))
                for domains in (RandomDomainSampler(data, 4, 1), SeqDomainSampler(data, 4)):
                    assert set(domains) <= set(range(len(data))) and len(domains) > 0

            def build_model(self):
                super().build_model()
                groups = [{"params": self.model.parameters()}]
                self.optim = RAdam(groups, lr=0.05, weight_decay=5e-4, betas=(0.9, 0.999))
                self.sched = torch.optim.lr_scheduler.CosineAnnealingLR(self.optim, 2.0)
                LinearWarmupScheduler(self.optim, self.sched, 1, 1e-5)
                self.sched = ConstantWarmupScheduler(self.optim, self.sched, 1, 1e-5)
                self._optims["prompt_learner"], self._scheds["prompt_learner"] = self.optim, self.sched

            def before_train(self):
                super().before_train()
                mkdir_if_missing(osp.join(self.output_dir, "deeper"))
                self._writer = SummaryWriter(osp.join(self.output_dir, "deeper"))

            def run_epoch(self):
                self.set_model_mode("train")
                losses, batch_time = MetricMeter(), AverageMeter()
                self.num_batches = len(self.train_loader_x)
                end = time.time()
                for self.batch_idx, batch in enumerate(self.train_loader_x):
                    losses.update(self.forward_backward(batch))
                    batch_time.update(time.time() - end)
                    step = self.epoch * self.num_batches + self.batch_idx
                    for name, meter in losses.meters.items():
                        self.write_scalar("train/" + name, meter.avg, step)
                    self.write_scalar("train/lr", self.get_current_lr(), step)
                    end = time.time()
                print(f"{losses} {batch_time.avg:.3f}")
    """,
    "datasets/__init__.py": "",
    "datasets/squares.py": """
        import os
        import numpy as np
        from PIL import Image
        from dassl.data.datasets import DATASET_REGISTRY, Datum, DatasetBase
        from dassl.utils import mkdir_if_missing

        @DATASET_REGISTRY.register()
        class Caltech101(DatasetBase):
            dataset_dir = "squares"
            def __init__(self, cfg):
                folder = os.path.join(os.path.abspath(cfg.DATASET.ROOT), self.dataset_dir)
                mkdir_if_missing(folder)
                items = []
                for label, name in enumerate(["dark", "bright"]):
                    for number in range(4):
                        path = os.path.join(folder, f"{name}_{number}.png")
                        Image.fromarray(np.full((16, 16, 3), 40 + 170 * label + number, np.uint8)).save(path)
                        items.append(Datum(impath=path, label=label, classname=name))
                super().__init__(train_x=items, val=items, test=items)
    """,
    "train.py": """
        import argparse
        from dassl.utils import setup_logger, set_random_seed, collect_env_info
        from dassl.config import get_cfg_default
        from dassl.engine import build_trainer
        import datasets.squares
        import trainers.coop

        def extend_cfg(cfg):
            from yacs.config import CfgNode as CN
            cfg.TRAINER.COOP = CN()
            cfg.TRAINER.COOP.N_CTX = 16
            cfg.TRAINER.COOP.CTX_INIT = False
            cfg.TRAINER.COOP.PREC = "fp16"
            cfg.TRAINER.COOP.W = 8.0

        def setup_cfg(args):
            cfg = get_cfg_default()
            extend_cfg(cfg)
            cfg.TRAINER.NAME = args.trainer
            cfg.OUTPUT_DIR = args.output_dir
            return cfg

        def main(args):
            cfg = setup_cfg(args)
            setup_logger(cfg.OUTPUT_DIR)
            build_trainer(cfg).train()

        if __name__ == "__main__":
            parser = argparse.ArgumentParser()
            parser.add_argument("--trainer")
            parser.add_argument("--output-dir")
            main(parser.parse_args())
    """,
    "squares.yaml": "DATASET: {NAME: Caltech101}",
    "quick.yaml": """
        INPUT: {SIZE: "(16, 16)", TRANSFORMS: ["normalize"]}
        DATALOADER: {NUM_WORKERS: 0, TRAIN_X: {BATCH_SIZE: 4}}
        OPTIM: {NAME: sgd, LR: 0.1, LR_SCHEDULER: cosine, MAX_EPOCH: 2, WARMUP_EPOCH: 1, WARMUP_TYPE: constant}
    """,
}
PACKAGES = ("trainers", "datasets", "clip", "train")


def write_checkout(folder: Path) -> Path:
    """Write the files into `folder`; the folder."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text).strip() + "\n")
    return folder
