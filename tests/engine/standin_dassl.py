"""Writes a small package called `dassl` with the faults that upstream has on current libraries."""

from collections.abc import Mapping
from pathlib import Path

FILES = {
    "__init__.py": '__version__ = "0.6.3"\n',
    "config.py": """
        from lamm.engine.embedded.config import get_cfg_default
        from lamm.engine.embedded.config import clean_cfg
        from lamm.engine.embedded.config import cfg_default
    """,
    "utils/__init__.py": """
        from .logger import Logger, setup_logger
        class Registry: pass
        class AverageMeter: pass
        class MetricMeter: pass
        def mkdir_if_missing(path): pass
        check_isfile = read_json = write_json = set_random_seed = collect_env_info = mkdir_if_missing
        listdir_nohidden = save_checkpoint = load_checkpoint = load_pretrained_weights = mkdir_if_missing
        count_num_param = mkdir_if_missing
    """,
    "utils/logger.py": """
        import os, sys
        class Logger:
            def __init__(self, fpath=None):
                self.console = sys.stdout
                self.file = None if fpath is None else open(fpath, "w")
            def __del__(self):
                self.close()
            def __exit__(self, *args):
                self.close()
            def write(self, msg):
                self.console.write(msg)
                if self.file is not None:
                    self.file.write(msg)
            def flush(self):
                self.console.flush()
                if self.file is not None:
                    self.file.flush()
                    os.fsync(self.file.fileno())
            def close(self):
                self.console.close()
                if self.file is not None:
                    self.file.close()
        def setup_logger(output=None):
            sys.stdout = Logger(output)
    """,
    "optim/__init__.py": """
        import torch
        from .lr_scheduler import build_lr_scheduler
        def build_optimizer(model, optim_cfg, param_groups=None):
            return torch.optim.SGD(model, lr=optim_cfg.LR, momentum=optim_cfg.MOMENTUM)
    """,
    "optim/lr_scheduler.py": """
        import torch
        from torch.optim.lr_scheduler import _LRScheduler
        class _BaseWarmupScheduler(_LRScheduler):
            def __init__(self, optimizer, successor, warmup_epoch, last_epoch=-1, verbose=False):
                self.successor = successor
                self.warmup_epoch = warmup_epoch
                super().__init__(optimizer, last_epoch, verbose)
            def step(self, epoch=None):
                if self.last_epoch >= self.warmup_epoch:
                    self.successor.step(epoch)
                    self._last_lr = self.successor.get_last_lr()
                else:
                    super().step(epoch)
        class ConstantWarmupScheduler(_BaseWarmupScheduler):
            def __init__(self, optimizer, successor, warmup_epoch, cons_lr, last_epoch=-1, verbose=False):
                self.cons_lr = cons_lr
                super().__init__(optimizer, successor, warmup_epoch, last_epoch, verbose)
            def get_lr(self):
                if self.last_epoch >= self.warmup_epoch:
                    return self.successor.get_last_lr()
                return [self.cons_lr for _ in self.base_lrs]
        def build_lr_scheduler(optimizer, cfg):
            successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, float(cfg.MAX_EPOCH))
            return ConstantWarmupScheduler(optimizer, successor, cfg.WARMUP_EPOCH, cfg.WARMUP_CONS_LR)
    """,
    "data/__init__.py": "from .data_manager import DataManager, DatasetWrapper\n",
    "data/data_manager.py": """
        from .datasets import build_dataset
        class DataManager: pass
        class DatasetWrapper: pass
        def build_data_loader(): pass
    """,
    "data/datasets/__init__.py": """
        import gdown
        from .dg import *
        class DATASET_REGISTRY: pass
        class Datum: pass
        class DatasetBase: pass
        def build_dataset(cfg): pass
    """,
    "data/datasets/dg/__init__.py": "from .wilds import *\n",
    "data/datasets/dg/wilds/__init__.py": "import wilds_that_is_not_installed\n",
    "data/transforms/__init__.py": """
        import numpy as np
        assert np.int(1.5) == 1
        INTERPOLATION_MODES = {}
        def build_transform(cfg): pass
    """,
    "evaluation/__init__.py": """
        class EVALUATOR_REGISTRY: pass
        class EvaluatorBase: pass
        class Classification: pass
        def build_evaluator(cfg): pass
    """,
    "metrics/__init__.py": "def compute_accuracy(output, target): pass\n",
    "engine/__init__.py": """
        import dassl.data
        class TRAINER_REGISTRY: pass
        class TrainerBase: pass
        class SimpleTrainer(TrainerBase): pass
        class TrainerX(SimpleTrainer): pass
        def build_trainer(cfg): pass
    """,
}


def write_standin_dassl(folder: Path, changed: Mapping[str, str] | None = None) -> Path:
    """Write the package into `folder`, with other content for the files in `changed`; the folder."""
    for name, text in {**FILES, **(changed or {})}.items():
        path = folder / "dassl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder
