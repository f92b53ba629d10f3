"""What current libraries break in Dassl 0.6.3, put right from outside.

- a WILDS sub-package whose requirements are rarely there, and which silences logging when they are: left out
- `gdown` missing: a stand-in that refuses to download
- `np.int`, gone since NumPy 1.24: the built-in int, for dassl's automatic-augmentation policies
- the warm-up schedulers hand torch an argument that it no longer takes: a constructor without it
- a warm-up scheduler's state holds its successor as a pickled object, and after a resume the learning rate is frozen:
  the state nests the successor's state, and the old form is read as well
- the log tee has no `isatty`, `encoding`, `fileno`, and closes the real stdout: it asks the console, and closes the
  file alone

Its loaders also learn what `DATALOADER.NUM_WORKERS -1` means (`upstream_loaders`).
"""

import importlib
import importlib.util
import os
import sys
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
from torch.optim.lr_scheduler import LRScheduler

from lamm.engine.embedded.lr_scheduler import load_warmup_state, warmup_state
from lamm.engine.upstream_loaders import mend_loaders
from lamm.errors import DataError

_WILDS = "dassl.data.datasets.dg.wilds"
_MENDED = "_mended_by_lamm"


def mend_before_import() -> None:
    """Stand-ins that let `import dassl.data` and `import dassl.engine` succeed."""
    if _WILDS not in sys.modules:
        sys.modules[_WILDS] = ModuleType(_WILDS, "Left out: the WILDS data sets.")
    if "gdown" not in sys.modules and importlib.util.find_spec("gdown") is None:
        gdown = ModuleType("gdown", "Stand-in: gdown is not installed.")
        vars(gdown)["download"] = _no_gdown
        sys.modules["gdown"] = gdown
    if "int" not in vars(np):
        vars(np)["int"] = int


def mend_after_import() -> None:
    """Put right the classes of the imported package; a second call changes nothing."""
    _mend_warmup(importlib.import_module("dassl.optim.lr_scheduler")._BaseWarmupScheduler)
    _mend_logger(importlib.import_module("dassl.utils.logger").Logger)
    mend_loaders(importlib.import_module("dassl.data.data_manager"))


def _no_gdown(url: str, *arguments: Any, **options: Any) -> NoReturn:
    raise DataError(f'can\'t download "{url}": gdown is not installed; pip install gdown, or fetch the file by hand')


def _mend_warmup(base: Any) -> None:
    if _MENDED in vars(base):
        return

    def init(
        self: Any, optimizer: Any, successor: Any, warmup_epoch: int, last_epoch: int = -1, verbose: bool = False
    ) -> None:
        self.successor = successor
        self.warmup_epoch = warmup_epoch
        LRScheduler.__init__(self, optimizer, last_epoch)

    base.__init__ = init
    base.state_dict = warmup_state
    base.load_state_dict = load_warmup_state
    setattr(base, _MENDED, True)


def _mend_logger(logger: Any) -> None:
    if _MENDED in vars(logger):
        return

    def from_console(self: Any, name: str) -> Any:
        if name in ("console", "file"):
            raise AttributeError(name)
        return getattr(self.console, name)

    def flush(self: Any) -> None:
        self.console.flush()
        if self.file is not None and not self.file.closed:
            self.file.flush()
            os.fsync(self.file.fileno())

    def write(self: Any, msg: str) -> int:
        self.console.write(msg)
        if self.file is not None and not self.file.closed:
            self.file.write(msg)
        return len(msg)

    def close(self: Any) -> None:
        if self.file is not None:
            self.file.close()

    logger.__getattr__ = from_console
    logger.flush = flush
    logger.write = write
    logger.close = close
    logger.__del__ = close
    logger.__exit__ = lambda self, *details: self.close()
    setattr(logger, _MENDED, True)
