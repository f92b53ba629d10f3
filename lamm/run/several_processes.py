"""What a run must fulfil so that several processes can do it together."""

import hashlib
from typing import Any

from yacs.config import CfgNode

from lamm.engine import ENGINE
from lamm.errors import ConfigError, EngineError
from lamm.parallel.ranks import Ranks
from lamm.results.schema import RunResults
from lamm.run.plan import RunPlan


def check_processes(plan: RunPlan, ranks: Ranks) -> None:
    """Refuse what only one process can do; alone everything goes.

    Raises:
        ConfigError: a trainer that is not ours, or no seed.
        EngineError: upstream Dassl is in charge.
    """
    if not ranks.many:
        return
    if ENGINE.name != "embedded":
        raise EngineError(
            f"{ranks.size} processes train together on the embedded engine alone, and this run has {ENGINE.name}: "
            "set LAMM_ENGINE=embedded, or start one process"
        )
    if not getattr(plan.trainer_class, "several_processes", False):
        raise ConfigError(
            f"trainer {plan.trainer} can't share its work out over {ranks.size} processes: start one (without torchrun)"
        )
    if plan.cfg.SEED < 0:
        raise ConfigError(f"{ranks.size} processes must draw the same batches: give --seed, 0 or above")


def require_same_folder(earlier: RunResults | None, ranks: Ranks) -> None:
    """Refuse output folders of which one holds an earlier start and another does not."""
    state = None if earlier is None else (earlier.status, earlier.config_hash, earlier.precision)
    ranks.require_same("what they find in the output folder", state, "it must be on a disk that all of them share")


def require_same_data(trainer: Any, ranks: Ranks) -> None:
    """Refuse processes that see other images or classes, or compute in another precision."""
    if not ranks.many:
        return
    dataset = trainer.dm.dataset
    digest = hashlib.sha256(repr(list(dataset.classnames)).encode())
    for items in (dataset.train_x, dataset.val or (), dataset.test):
        for item in items:
            digest.update(f"{item.impath}\0{item.label}\n".encode("utf-8", "surrogateescape"))
    ranks.require_same("the images they see", digest.hexdigest(), "DATASET.ROOT must be the same for all of them")
    ranks.require_same("precision", getattr(trainer, "precision", ""), "set PREC to one that all machines have")


def config_of(cfg: CfgNode, ranks: Ranks) -> CfgNode:
    """The config to build with: where another process writes, the evaluator keeps its confusion matrix to itself."""
    if ranks.first or not cfg.TEST.COMPUTE_CMAT:
        return cfg
    cfg = cfg.clone()
    cfg.defrost()
    cfg.TEST.COMPUTE_CMAT = False
    cfg.freeze()
    return cfg
