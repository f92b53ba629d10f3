"""The data sets that `DATASET.NAME` chooses from."""

from typing import Any

from yacs.config import CfgNode as CN

from lamm.engine.embedded.registry import Registry, check_availability

DATASET_REGISTRY = Registry("DATASET")
"""Data sets: classes called with the config that build a `DatasetBase`."""


def build_dataset(cfg: CN) -> Any:
    """Build the data set that `cfg.DATASET.NAME` names.

    Raises:
        ChoiceError: (a ValueError) no such data set is registered.
    """
    check_availability(cfg.DATASET.NAME, DATASET_REGISTRY.registered_names())
    if cfg.VERBOSE:
        print(f"Loading dataset: {cfg.DATASET.NAME}")
    return DATASET_REGISTRY.get(cfg.DATASET.NAME)(cfg)
