"""Carries a planned run out: trains and tests, or only tests, and keeps its record."""

import argparse
import warnings
from typing import Any

import torch
from yacs.config import CfgNode

from lamm.engine import ENGINE, build_dataset, build_trainer, collect_env_info, set_random_seed, setup_logger
from lamm.errors import LammError
from lamm.log import logger
from lamm.parallel.device import take_device
from lamm.parallel.ranks import current_ranks
from lamm.run.class_file import RunClasses
from lamm.run.earlier_run import earlier_run, keep_precision, require_same_split
from lamm.run.fingerprint import store_config
from lamm.run.incremental_steps import require_earlier_steps, require_split_of_earlier_steps
from lamm.run.mere_log import remove_mere_log
from lamm.run.plan import RunPlan
from lamm.run.prediction_record import PredictionRecord
from lamm.run.record import RunRecord
from lamm.run.several_processes import check_processes, config_of, require_same_data, require_same_folder
from lamm.run.trainer_checks import check_trainer


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
