"""One run: arguments → config → trainer → train, test.

    python train.py --trainer LAMM --dataset digits --shots 16 --seed 1

`--help` lists Dassl's flags, which work as they do there, and ours.
"""

import argparse
from pathlib import Path

import torch
from yacs.config import CfgNode

from lamm.commands import run
from lamm.datasets import register_datasets
from lamm.engine import ENGINE, build_trainer, collect_env_info, set_random_seed, setup_logger
from lamm.engine.aliases import install_aliases
from lamm.engine.foreign import import_file_or_module
from lamm.errors import CheckpointError, ConfigError
from lamm.log import logger
from lamm.results.schema import RunResults
from lamm.run.arguments import train_parser
from lamm.run.fingerprint import config_hash, differing_keys, store_config
from lamm.run.plan import RunPlan, plan_run
from lamm.run.record import RunRecord, stored_results


def main(arguments: argparse.Namespace) -> None:
    install_aliases()
    import lamm_trainers

    register_datasets()
    for spec in arguments.imports:
        import_file_or_module(spec)
    plan = plan_run(arguments, lamm_trainers.extend_cfg)
    if arguments.eval_only and arguments.model_dir and not Path(arguments.model_dir).is_dir():
        raise CheckpointError(f"--model-dir {arguments.model_dir} is not a folder")
    earlier = earlier_run(plan)
    if earlier is not None and earlier.finished:
        logger.info("%s is finished already: %.1f%%; nothing to do", plan.output_dir, earlier.metrics["accuracy"])
        return
    cfg = keep_precision(plan, earlier)
    if cfg.SEED >= 0:
        print(f"Setting fixed seed: {cfg.SEED}")
        set_random_seed(cfg.SEED)
    setup_logger(cfg.OUTPUT_DIR, append=earlier is not None)
    print_arguments(arguments, cfg)
    if torch.cuda.is_available() and cfg.USE_CUDA:
        torch.backends.cudnn.benchmark = True

    trainer = build_trainer(cfg)
    fingerprint = config_hash(plan.cfg, getattr(trainer.dm.dataset, "split_hash", ""))
    if earlier is not None and earlier.config_hash != fingerprint:
        raise ConfigError(
            f"{plan.output_dir} holds a run on another split of the data: remove it or use another folder"
        )
    store_config(plan.cfg, plan.output_dir)
    record = RunRecord(plan, trainer, fingerprint, "evaluation" if arguments.eval_only else "few-shot", earlier)
    try:
        if arguments.eval_only:
            trainer.load_model(arguments.model_dir, epoch=arguments.load_epoch)
            trainer.test()
        elif not arguments.no_train:
            trainer.train()
    except BaseException:
        record.write("running")
        raise
    if not record.finish():
        logger.info("Nothing was tested, so %s has no result", plan.output_dir)


def earlier_run(plan: RunPlan) -> RunResults | None:
    """The record of an earlier start of this very run, or None.

    Raises:
        ConfigError: the folder holds a run with another config.
    """
    differences = differing_keys(plan.cfg, plan.output_dir)
    if differences:
        raise ConfigError(
            f"{plan.output_dir} holds a run with another config ({'; '.join(differences)}): "
            "remove it, or use another --output-dir"
        )
    return stored_results(plan.output_dir)


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


def print_arguments(arguments: argparse.Namespace, cfg: CfgNode) -> None:
    """The opening of a log, in Dassl's form."""
    print("***************\n** Arguments **\n***************")
    for name, value in sorted(vars(arguments).items()):
        print(f"{name}: {value}")
    print("************\n** Config **\n************")
    print(cfg)
    print("Collecting env info ...")
    print(f"** System info **\n{collect_env_info()}\n")
    print(ENGINE.line())


if __name__ == "__main__":
    run(train_parser(), main)
