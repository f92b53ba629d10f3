"""What upstream Dassl's loaders don't know: `DATALOADER.NUM_WORKERS -1`, and that they can't decode otherwise."""

import functools
from typing import Any

from yacs.config import CfgNode

from lamm.engine.embedded.transforms import decoding_of
from lamm.engine.embedded.worker_count import MOST, SIZED, usable_cores
from lamm.errors import ConfigError

_MENDED = "_mended_by_lamm"


def mend_loaders(data_manager: Any) -> None:
    """Have a module's `build_data_loader` size its workers to the machine; a second call changes nothing.

    Args:
        data_manager: The imported `dassl.data.data_manager`.
    """
    original = data_manager.build_data_loader
    if hasattr(original, _MENDED):
        return

    @functools.wraps(original)
    def build_data_loader(cfg: CfgNode, *arguments: Any, **options: Any) -> Any:
        decoding = decoding_of(cfg.INPUT)
        if decoding != "exact":
            raise ConfigError(f"INPUT.DECODING {decoding} needs the embedded engine: set LAMM_ENGINE=embedded")
        return original(_with_sized_workers(cfg), *arguments, **options)

    setattr(build_data_loader, _MENDED, True)
    data_manager.build_data_loader = build_data_loader


def _with_sized_workers(cfg: CfgNode) -> CfgNode:
    if cfg.DATALOADER.NUM_WORKERS != SIZED:
        return cfg
    sized = cfg.clone()
    sized.defrost()
    sized.DATALOADER.NUM_WORKERS = min(MOST, usable_cores())
    sized.freeze()
    return sized
