"""What an earlier start left in the output folder: nothing, the same run, or another one."""

from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError
from lamm.results.schema import FILE_NAME, RunResults
from lamm.run.fingerprint import CONFIG_FILE, config_hash, differing_keys
from lamm.run.plan import RunPlan


def earlier_run(plan: RunPlan) -> RunResults | None:
    """The record of an earlier start of this very run, or None.

    Raises:
        ConfigError: the folder holds a run with another config, or one that nobody knows the config of.
        ResultsError: the record is damaged.
    """
    folder = plan.output_dir
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: give another --output-dir")
    differences = differing_keys(plan.cfg, folder)
    if differences:
        raise ConfigError(
            f"{folder} holds a run with another config ({'; '.join(differences)}): "
            "remove it, or use another --output-dir"
        )
    file = folder / FILE_NAME
    if not (folder / CONFIG_FILE).exists() and (file.exists() or any(folder.glob("*/*.pth.tar*"))):
        raise ConfigError(
            f"{folder} holds a run without {CONFIG_FILE}, so it can't be told whether it is this one: "
            "remove it, or use another --output-dir"
        )
    return RunResults.read(file) if file.is_file() else None


def require_same_split(plan: RunPlan, earlier: RunResults | None, dataset: Any) -> str:
    """The run's fingerprint, after comparing it with that of the earlier start.

    Raises:
        ConfigError: the data set's split has changed since.
    """
    fingerprint = config_hash(plan.cfg, getattr(dataset, "split_hash", ""))
    if earlier is not None and earlier.config_hash != fingerprint:
        raise ConfigError(
            f"{plan.output_dir} holds a run on another split of the data: remove it, or use another --output-dir"
        )
    return fingerprint


def keep_precision(plan: RunPlan, earlier: RunResults | None) -> CfgNode:
    """The config to build with: a resumed run keeps the precision that `PREC auto` once meant."""
    cfg = plan.cfg
    node = getattr(plan.trainer_class, "config_node", "")
    if earlier is None or not node or cfg.TRAINER[node].PREC != "auto":
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TRAINER[node].PREC = earlier.precision
    cfg.freeze()
    return cfg
