"""A package `dassl` with upstream's names, hooks, file layout and known faults, written by our own hand."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]

FILES = {
    "__init__.py": '__version__ = "0.6.3"\n',
    "config.py": """
        import types
        config = types.ModuleType("config")
        text = open(CONFIG).read().replace("from lamm.engine.embedded.config_merge import merge_config", "")
        exec(text, vars(config))  # a file of its own, so that importing it imports nothing of ours
        get_cfg_default, clean_cfg, cfg_default = config.get_cfg_default, config.clean_cfg, config.cfg_default
    """.replace("CONFIG", repr(str(ROOT / "lamm/engine/embedded/config.py"))),
    "utils/__init__.py": """
        from .logger import Logger, setup_logger
        from .torchtools import save_checkpoint, load_checkpoint, resume_from_checkpoint
        class Registry:
            def __init__(self, name):
                self.name, self.table = name, {}
            def register(self, obj=None, force=False):
                if obj is None:
                    return lambda cls: self.register(cls, force) or cls
                if obj.__name__ in self.table and not force:
                    raise KeyError(f'An object named "{obj.__name__}" was already registered in "{self.name}" registry')
                self.table[obj.__name__] = obj
            def get(self, name):
                if name not in self.table:
                    raise KeyError(f'Object name "{name}" does not exist in "{self.name}" registry')
                return self.table[name]
            def registered_names(self):
                return list(self.table)
        class AverageMeter: pass
        class MetricMeter: pass
        def mkdir_if_missing(path): pass
        check_isfile = read_json = write_json = set_random_seed = collect_env_info = mkdir_if_missing
        listdir_nohidden = load_pretrained_weights = count_num_param = mkdir_if_missing
    """,
    "utils/torchtools.py": """
        import os, torch
        def save_checkpoint(state, save_dir, is_best=False, remove_module_from_keys=True, model_name=""):
            os.makedirs(save_dir, exist_ok=True)
            path = os.path.join(save_dir, model_name or f"model.pth.tar-{state['epoch']}")
            torch.save(state, path)
            with open(os.path.join(save_dir, "checkpoint"), "w") as file:
                file.write(os.path.basename(path) + chr(10))
        def load_checkpoint(path):
            return torch.load(path, map_location="cpu")
        def resume_from_checkpoint(folder, model, optimizer=None, scheduler=None):
            with open(os.path.join(folder, "checkpoint")) as file:
                state = load_checkpoint(os.path.join(folder, file.readlines()[0].strip()))
            model.load_state_dict(state["state_dict"])
            if optimizer is not None:
                optimizer.load_state_dict(state["optimizer"])
            if scheduler is not None:
                scheduler.load_state_dict(state["scheduler"])
            return state["epoch"]
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
            if output is not None:
                os.makedirs(output, exist_ok=True)
                sys.stdout = Logger(os.path.join(output, "log.txt"))
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
        from dassl.utils import Registry
        DATASET_REGISTRY = Registry("DATASET")
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
        from dassl.utils import Registry
        from .trainer import SimpleTrainer, TrainerBase, TrainerX
        TRAINER_REGISTRY = Registry("TRAINER")
        def build_trainer(cfg):
            names = TRAINER_REGISTRY.registered_names()
            if cfg.TRAINER.NAME not in names:
                raise ValueError(f"The requested one is expected to belong to {names}, but got [{cfg.TRAINER.NAME}]")
            print("Loading trainer: " + cfg.TRAINER.NAME)
            return TRAINER_REGISTRY.get(cfg.TRAINER.NAME)(cfg)
    """,
    "engine/trainer.py": """
        import os, torch
        from collections import OrderedDict
        from dassl.utils import resume_from_checkpoint, save_checkpoint
        class TrainerBase:
            def __init__(self):
                self._models, self._optims, self._scheds = OrderedDict(), OrderedDict(), OrderedDict()
                self._writer = None
            def register_model(self, name="model", model=None, optim=None, sched=None):
                self._models[name], self._optims[name], self._scheds[name] = model, optim, sched
            def get_model_names(self, names=None):
                return list(self._models)
            def save_model(self, epoch, directory, is_best=False, val_result=None, model_name=""):
                for name in self.get_model_names():
                    state = {"state_dict": self._models[name].state_dict(), "epoch": epoch + 1}
                    state["optimizer"] = self._optims[name].state_dict()
                    state["scheduler"] = self._scheds[name].state_dict()
                    state["val_result"] = val_result
                    save_checkpoint(state, os.path.join(directory, name), is_best=is_best, model_name=model_name)
            def resume_model_if_exist(self, directory):
                if not all(os.path.exists(os.path.join(directory, name)) for name in self.get_model_names()):
                    return 0
                for name in self.get_model_names():
                    folder = os.path.join(directory, name)
                    start = resume_from_checkpoint(folder, self._models[name], self._optims[name], self._scheds[name])
                return start
            def update_lr(self):
                for scheduler in self._scheds.values():
                    scheduler.step()
            def train(self, start_epoch, max_epoch):
                self.start_epoch, self.max_epoch = start_epoch, max_epoch
                self.before_train()
                for self.epoch in range(self.start_epoch, self.max_epoch):
                    self.run_epoch()
                    self.after_epoch()
        class SimpleTrainer(TrainerBase):
            def __init__(self, cfg):
                super().__init__()
                self.check_cfg(cfg)
                self.start_epoch = self.epoch = 0
                self.max_epoch, self.output_dir, self.cfg = cfg.OPTIM.MAX_EPOCH, cfg.OUTPUT_DIR, cfg
                self.device = torch.device("cpu")
                self.build_data_loader()
                self.build_model()
                self.best_result = -float("inf")
            def check_cfg(self, cfg):
                pass
            def build_data_loader(self):
                pass
            def train(self):
                super().train(self.start_epoch, self.max_epoch)
            def before_train(self):
                self.start_epoch = self.resume_model_if_exist(self.cfg.RESUME or self.cfg.OUTPUT_DIR)
            def after_epoch(self):
                if self.cfg.TEST.FINAL_MODEL == "best_val":
                    result = self.test(split="val")
                    if result > self.best_result:
                        self.best_result = result
                        self.save_model(self.epoch, self.output_dir, val_result=result, model_name="model-best.pth.tar")
                if (self.epoch + 1) % self.cfg.TRAIN.CHECKPOINT_FREQ == 0:
                    self.save_model(self.epoch, self.output_dir)
        class TrainerX(SimpleTrainer):
            def run_epoch(self):
                for self.batch_idx in range(2):
                    self.forward_backward(None)
                self.update_lr()
    """,
}


def run(code: str, *folders: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code with the folders first on its path, LAMM_ENGINE unset; the finished process."""
    variables = {name: value for name, value in os.environ.items() if name != "LAMM_ENGINE"} | environment
    variables["PYTHONPATH"] = os.pathsep.join(map(str, [*folders, ROOT]))
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, cwd="/")


def write_standin_dassl(folder: Path, changed: Mapping[str, str] | None = None) -> Path:
    """Write the package into `folder`, with other content for the files in `changed`; the folder."""
    for name, text in {**FILES, **(changed or {})}.items():
        path = folder / "dassl" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.splitlines()
        indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder
