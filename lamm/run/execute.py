"""One run from its plan to its results: checks, the trainer, training, testing."""

import argparse
import errno
import os
import threading
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, redirect_stdout, suppress
from pathlib import Path

import torch
from yacs.config import CfgNode

from lamm.engine import ENGINE, build_dataset, collect_env_info, set_random_seed, setup_logger
from lamm.engine.embedded.log import say
from lamm.errors import LammError
from lamm.files import remove_leftovers
from lamm.log import logger
from lamm.parallel.ranks import Ranks, current_ranks, take_device
from lamm.run.before import (
    before_build,
    before_train,
    config_to_build,
    remove_mere_log,
    require_same_split,
    require_weights,
    set_aside,
)
from lamm.run.fingerprint import store_config
from lamm.run.lock import locked
from lamm.run.plan import RunPlan
from lamm.run.record import Recorded, RunClasses, RunRecord, build_recorded
from lamm.run.timing import Clock

COLLAPSED = 95
"""Percent of the predictions that are one class."""
LARGE_CLASS = 60
"""Percent of the images that show one class, from which on it is not suspicious to predict mostly that one."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
"""What a write fails with where the disk is the reason; such an error may lack the file's name."""


def execute(plan: RunPlan, arguments: argparse.Namespace, began: float | None = None) -> None:
    """Run, resume, or skip what is finished; a run that only tests is always done anew.

    The terminal gets a few lines. What the engine prints goes to `log.txt`, and to the terminal too if `--verbose` is
    among the arguments.

    Args:
        plan: the run.
        arguments: of train.py.
        began: `time.perf_counter()` when the command began, for the seconds of its start; None: now.

    Raises:
        LammError: whatever a user can mend.
    """
    began = time.perf_counter() if began is None else began
    ranks = current_ranks()
    threading.excepthook = _without_writers
    with locked(plan.output_dir) if ranks.first else nullcontext():
        try:
            _execute(plan, arguments, ranks, began)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise LammError(
                "out of memory: lower DATALOADER.TRAIN_X.BATCH_SIZE or DATALOADER.TEST.BATCH_SIZE, take a smaller "
                "backbone, or end what else runs there; the checkpoints are not damaged"
            ) from error
        except OSError as error:
            if error.filename is None and error.errno in FULL:
                error.filename = str(plan.output_dir)
            raise
        finally:
            if ranks.first:
                remove_mere_log(plan.output_dir)


def _execute(plan: RunPlan, arguments: argparse.Namespace, ranks: Ranks, began: float) -> None:
    # One line per loader, about the machine; it would drown the line that says what is wrong.
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    place = take_device(plan.cfg.USE_CUDA)
    earlier = before_build(plan, arguments.eval_only, ranks)
    if plan.cfg.SEED >= 0:
        if arguments.verbose:
            logger.info("Setting fixed seed: %d", plan.cfg.SEED)
        set_random_seed(plan.cfg.SEED)
    if earlier is not None and earlier.finished:
        with ranks.first_before_others(), ExitStack() as silence:
            if not arguments.verbose:
                silence.enter_context(redirect_stdout(silence.enter_context(open(os.devnull, "w"))))
            require_same_split(plan, earlier, build_dataset(plan.cfg))
        say(f"{plan.output_dir} is finished already: {earlier.metrics['accuracy']:.1f}%; nothing to do")
        return

    with ranks.first_before_others():
        require_weights(plan)
    cfg = config_to_build(plan, earlier, ranks)
    if ranks.first:
        for folder in (plan.output_dir, *filter(Path.is_dir, plan.output_dir.iterdir())):
            remove_leftovers(folder)
        set_aside(plan)
        setup_logger(cfg.OUTPUT_DIR, append=True, console=arguments.verbose)
        number = cfg.DATASET.NUM_SHOTS
        shots = f"{number} shot{'s' * (number > 1)}" if number > 0 else "all images"
        say(f"{plan.trainer} on {plan.dataset}, {shots}, seed {cfg.SEED}, in {plan.output_dir}")
        if plan.note:
            say(f"note: {plan.note}")
        _log_arguments(arguments, cfg)
    if place:
        logger.info("%s", place)
    if torch.cuda.is_available() and cfg.USE_CUDA:
        torch.backends.cudnn.benchmark = True
    with ranks.first_before_others():
        trainer = build_recorded(cfg)
    fingerprint = before_train(plan, trainer, earlier, ranks)

    if ranks.first:
        _say_what_runs(trainer, cfg, place)
        store_config(plan.cfg, plan.output_dir)
        RunClasses.of_trainer(trainer).write(plan.output_dir)
        trainer.trace_folder = plan.output_dir if arguments.profile else None
        trainer.clock = Clock(earlier.seconds_by_part if earlier else None)
        start = time.perf_counter() - began
        trainer.clock.seconds["start-up"] = trainer.clock.seconds.get("start-up", 0.0) + start
        trainer.record = RunRecord(plan, trainer, fingerprint, earlier)
    try:
        if arguments.eval_only:
            trainer.load_model(arguments.model_dir, epoch=arguments.load_epoch)
            trainer.test()
        elif not arguments.no_train:
            trainer.train()
        if trainer.record is not None:
            trainer.record.write_predictions()
    except BaseException:
        if trainer.record is not None:
            with suppress(OSError):  # such as a full disk, which may be why
                trainer.record.write_running()
        raise
    if trainer.record is not None:
        _say_result(trainer, plan)
        say(trainer.clock.line())


def _without_writers(failed: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, except TensorBoard's, whose error the run gets with its next number."""
    if not (failed.exc_type is OSError and type(failed.thread).__module__.startswith("tensorboard.")):
        threading.__excepthook__(failed)


def _say_what_runs(trainer: Recorded, cfg: CfgNode, place: str) -> None:
    """One line: backbone, precision, device, images."""
    dataset = trainer.dm.dataset
    tested = f"{len(dataset.val or ())} validation" if cfg.TEST.SPLIT == "val" else f"{len(dataset.test)} test"
    parts = [f"CLIP {cfg.MODEL.BACKBONE.NAME}"] if cfg.MODEL.BACKBONE.NAME else []
    parts += [f"precision {trainer.precision}"] if hasattr(trainer, "precision") else []
    parts += [place or f"on {trainer.device}"]
    say(f"{', '.join(parts)}; {len(dataset.train_x)} training and {tested} images of {trainer.num_classes} classes")


def _say_result(trainer: Recorded, plan: RunPlan) -> None:
    """Finish the record, and tell the result in one line."""
    assert trainer.record is not None, "this is the process that writes"
    results = trainer.record.finish()
    if not results.metrics:
        say(f"Nothing was tested, so {plan.output_dir} has no result")
        return
    zero_shot = getattr(trainer, "zero_shot_accuracy", None)
    beside = "" if zero_shot is None else f" (zero-shot CLIP: {zero_shot:.1f}%)"
    accuracy, f1 = (results.metrics.get(name, float("nan")) for name in ("accuracy", "macro_f1"))
    split = "validation" if plan.cfg.TEST.SPLIT == "val" else "test"
    trained = trainer.max_epoch > 0 and "EVALUATION" not in plan.cfg
    time = f"; trained in {results.seconds_train:.0f} s" if trained else ""
    say(f"{split} accuracy {accuracy:.1f}%{beside}, macro F1 {f1:.1f}%{time}")
    for doubt in doubts(trainer.evaluator.predictions, list(trainer.dm.dataset.classnames), accuracy, zero_shot):
        say(f"note: {doubt}")


def doubts(
    predictions: Sequence[tuple[int, int, float]], class_names: Sequence[str], accuracy: float, zero_shot: float | None
) -> list[str]:
    """What is wrong with a result that is a number all the same, one line each.

    Args:
        predictions: label, predicted label and confidence of each image.
        class_names: by label.
        accuracy: in percent.
        zero_shot: that of CLIP without training, in percent; None: unknown.
    """
    lines = []
    if predictions:
        [(label, count)] = Counter(predicted for _, predicted, _ in predictions).most_common(1)
        share, own = (
            100 * number / len(predictions) for number in (count, sum(one[0] == label for one in predictions))
        )
        if share > COLLAPSED and own < LARGE_CLASS:
            name = class_names[label] if label < len(class_names) else label
            lines.append(
                f'{share:.0f}% of the images are predicted as "{name}", though {own:.0f}% show it: the model tells '
                "nothing apart; lower OPTIM.LR if it was trained, and look at INPUT and the labels"
            )
    if zero_shot is not None and accuracy < zero_shot:
        lines.append("training has made it worse than zero-shot CLIP: lower OPTIM.LR, or check the labels")
    return lines


def _log_arguments(arguments: argparse.Namespace, cfg: CfgNode) -> None:
    """The opening of a log, in Dassl's form."""
    lines = ["***************", "** Arguments **", "***************"]
    lines += [f"{name}: {value}" for name, value in sorted(vars(arguments).items())]
    lines += ["************", "** Config **", "************", str(cfg)]
    lines += ["Collecting env info ...", "** System info **", collect_env_info(), "", ENGINE.line()]
    logger.info("%s", "\n".join(lines))
