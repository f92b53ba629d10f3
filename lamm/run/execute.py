"""What a run must fulfil so that several processes can do it together."""

import argparse
import hashlib
import warnings
from typing import Any

import torch
from yacs.config import CfgNode

from lamm.engine import ENGINE, build_dataset, build_trainer, collect_env_info, set_random_seed, setup_logger
from lamm.errors import ConfigError, EngineError, LammError
from lamm.incremental.plan import require_earlier_steps, require_split_of_earlier_steps
from lamm.log import logger
from lamm.parallel.ranks import Ranks, current_ranks, take_device
from lamm.results.schema import RunResults
from lamm.run.before import check_trainer, earlier_run, keep_precision, remove_mere_log, require_same_split
from lamm.run.fingerprint import store_config
from lamm.run.plan import RunPlan
from lamm.run.record import PredictionRecord, RunClasses, RunRecord


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


def execute(plan: RunPlan, arguments: argparse.Namespace) -> None:
    """Run, resume, or skip what is finished; a run that only tests is always done anew.

    Args:
        plan: the run.
        arguments: of train.py.

    Raises:
        LammError: whatever a user can mend.
    """
    # One line a loader, about the machine; it would drown the line that says what is wrong.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    ranks = current_ranks()
    check_processes(plan, ranks)
    devices = take_device(plan.cfg.USE_CUDA)
    earlier = earlier_run(plan)
    if arguments.eval_only:
        earlier = None
    require_same_folder(earlier, ranks)
    _seed(plan.cfg)
    if earlier is not None and earlier.finished:
        with ranks.first_before_others():
            require_same_split(plan, earlier, build_dataset(plan.cfg))
        logger.info("%s is finished already: %.1f%%; nothing to do", plan.output_dir, earlier.metrics["accuracy"])
        return
    require_earlier_steps(plan.cfg)
    cfg = config_of(keep_precision(plan, earlier), ranks)
    if ranks.first:
        setup_logger(cfg.OUTPUT_DIR, append=True)
        _log_arguments(arguments, cfg)
    if devices:
        logger.info("%s", devices)
    if torch.cuda.is_available() and cfg.USE_CUDA:
        torch.backends.cudnn.benchmark = True

    try:
        with ranks.first_before_others():
            trainer = build_trainer(cfg)
        check_trainer(trainer, cfg)
        require_split_of_earlier_steps(plan.cfg, getattr(trainer.dm.dataset, "split_hash", ""))
    except LammError:
        if ranks.first:
            remove_mere_log(plan.output_dir)
        raise
    fingerprint = require_same_split(plan, earlier, trainer.dm.dataset)
    require_same_data(trainer, ranks)
    if not ranks.first:
        _train_or_test(trainer, arguments)
        return
    store_config(plan.cfg, plan.output_dir)
    RunClasses.of_trainer(trainer).write(plan.output_dir)
    record = RunRecord(plan, trainer, fingerprint, earlier)
    predictions = PredictionRecord(trainer)
    try:
        _train_or_test(trainer, arguments)
        predictions.write(plan.output_dir, cfg.TEST.SPLIT, cfg.DATASET.ROOT)
    except BaseException:
        record.write_running()
        raise
    if not record.finish():
        logger.info("Nothing was tested, so %s has no result", plan.output_dir)


def _train_or_test(trainer: Any, arguments: argparse.Namespace) -> None:
    if arguments.eval_only:
        trainer.load_model(arguments.model_dir, epoch=arguments.load_epoch)
        trainer.test()
    elif not arguments.no_train:
        trainer.train()


def _seed(cfg: CfgNode) -> None:
    if cfg.SEED >= 0:
        logger.info("Setting fixed seed: %d", cfg.SEED)
        set_random_seed(cfg.SEED)


def _log_arguments(arguments: argparse.Namespace, cfg: CfgNode) -> None:
    """The opening of a log, in Dassl's form."""
    lines = ["***************", "** Arguments **", "***************"]
    lines += [f"{name}: {value}" for name, value in sorted(vars(arguments).items())]
    lines += ["************", "** Config **", "************", str(cfg)]
    lines += ["Collecting env info ...", "** System info **", collect_env_info(), "", ENGINE.line()]
    logger.info("%s", "\n".join(lines))
