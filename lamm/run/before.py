"""What may stop a run before it starts: its settings, its folder, its data, and the other processes.

`before_build` asks what can be known before anything is loaded, `before_train` what only a built trainer tells.
"""

import hashlib
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yacs.config import CfgNode

from lamm.engine import ENGINE
from lamm.errors import CheckpointError, ConfigError, EngineError, ResultsError
from lamm.files import LEFTOVER
from lamm.incremental.plan import require_earlier_steps, require_split_of_earlier_steps
from lamm.results.schema import RESULTS_FILE, RunResults
from lamm.run.fingerprint import CONFIG_FILE, config_hash, differing_keys, is_hash_of
from lamm.run.lock import LOCK_FILE
from lamm.run.plan import RunPlan

if TYPE_CHECKING:  # a dry run reads earlier records without torch
    from lamm.parallel.ranks import Ranks
    from lamm.run.record import RunClasses

LOG_FILE = "log.txt"
BESIDE = "it stays as it is; --tag v2, or another --output-dir, trains beside it"
"""The way on where a folder holds another run."""
BEGINNING = re.compile(
    r"(log|tensorboard)(-before-[-\d]+)?(\.txt)?|stdout\.txt|config\.yaml|classes\.json|results\.json|trace\.json|\.lock|\..+\.tmp"
)
"""Names in the folder of a run that has learned and tested nothing yet."""


def before_build(plan: RunPlan, eval_only: bool, ranks: "Ranks") -> RunResults | None:
    """Refuse a run that can't work, or would overwrite another one.

    Args:
        plan: the run.
        eval_only: whether it only tests; such a run is always done anew.
        ranks: the processes of this run.

    Returns:
        The record of an earlier start of this very run, or None.

    Raises:
        ConfigError: the folder holds another run, or several processes can't share this one.
        CheckpointError: an earlier step of class-incremental learning is missing.
        EngineError: several processes with upstream Dassl.
        ResultsError: the record in the folder is damaged.
    """
    if ranks.many:
        _require_shareable(plan, ranks)
    earlier = earlier_run(plan)
    if eval_only:
        earlier = None
    state = None if earlier is None else (earlier.status, earlier.config_hash, earlier.precision)
    ranks.require_same("what they find in the output folder", state, "it must be on a disk that all of them share")
    if earlier is None or not earlier.finished:
        require_earlier_steps(plan.cfg)
    return earlier


def before_train(plan: RunPlan, trainer: Any, earlier: RunResults | None, ranks: "Ranks") -> str:
    """Refuse to train or test what would not be what was asked for; the run's fingerprint.

    Args:
        plan: the run.
        trainer: what was built for it.
        earlier: the record of an earlier start.
        ranks: the processes of this run.

    Raises:
        ConfigError: no validation images where they are needed, or another split of the data than before.
        CheckpointError: nothing to load or to resume from.
        LammError: the processes see different data.
    """
    cfg, dataset = plan.cfg, trainer.dm.dataset
    selects = cfg.TEST.FINAL_MODEL == "best_val" and not cfg.TEST.NO_TEST
    if trainer.val_loader is None and (cfg.TEST.SPLIT == "val" or selects):
        key = "TEST.SPLIT val" if cfg.TEST.SPLIT == "val" else "TEST.FINAL_MODEL best_val"
        raise ConfigError(f"{key} needs validation images, and {cfg.DATASET.NAME} has none")
    names = trainer.get_model_names()
    if "EVALUATION" in cfg and bool(cfg.EVALUATION.MODEL_DIR) != bool(names):
        raise CheckpointError(
            f"--eval-only needs --model-dir, the output folder of a training run of {cfg.TRAINER.NAME}"
            if names
            else f"{cfg.TRAINER.NAME} learns nothing, so there is nothing to load: leave --model-dir out"
        )
    missing = [name for name in names if cfg.RESUME and not any((Path(cfg.RESUME) / name).glob("*.pth.tar*"))]
    if missing:
        raise CheckpointError(f"RESUME {cfg.RESUME} has no checkpoints of this trainer (none in {missing[0]})")
    require_split_of_earlier_steps(cfg, getattr(dataset, "split_hash", ""))
    fingerprint = require_same_split(plan, earlier, dataset)
    if ranks.many:
        digest = hashlib.sha256(repr(list(dataset.classnames)).encode())
        for item in (*dataset.train_x, *(dataset.val or ()), *dataset.test):
            digest.update(f"{item.impath}\0{item.label}\n".encode("utf-8", "surrogateescape"))
        ranks.require_same("the images they see", digest.hexdigest(), "DATASET.ROOT must be the same for all of them")
        ranks.require_same("precision", getattr(trainer, "precision", ""), "set PREC to one that all machines have")
    return fingerprint


def require_weights(plan: RunPlan) -> None:
    """Have the weights of CLIP that a run needs on this machine; a finished run needs none, nor do others' trainers.

    Raises:
        BackboneError: they are not there and can't be downloaded; the message says what to put where.
    """
    with suppress(ResultsError):  # a missing or damaged record is of no finished run; the run itself tells
        if "EVALUATION" not in plan.cfg and RunResults.read(plan.output_dir / RESULTS_FILE).finished:
            return
    if hasattr(plan.trainer_class, "require_weights"):
        plan.trainer_class.require_weights(plan.cfg)


def earlier_run(plan: RunPlan) -> RunResults | None:
    """The record of an earlier start of this very run; None: there is none, or nothing came of it.

    Raises:
        ConfigError: the folder holds a run with another config, or one whose config is unknown.
        ResultsError: the record is damaged.
    """
    folder = plan.output_dir
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: give another --output-dir")
    if only_begun(folder):
        return None
    differences = differing_keys(plan.cfg, folder)
    if differences:
        raise ConfigError(f"{folder} holds a run with another config ({'; '.join(differences)}): {BESIDE}")
    file = folder / RESULTS_FILE
    if not (folder / CONFIG_FILE).exists() and (file.exists() or any(folder.glob("*/*.pth.tar*"))):
        raise ConfigError(
            f"{folder} holds a run without {CONFIG_FILE}, so it can't be told whether it is this one: {BESIDE}"
        )
    return RunResults.read(file) if file.is_file() else None


def only_begun(folder: Path) -> bool:
    """Whether a folder holds no more than a start leaves that was broken off before its first checkpoint or result.

    Nothing is lost if another run takes its place. A folder with anything that we don't know is not such a one.
    """
    with suppress(OSError, ResultsError):
        for entry in folder.iterdir():
            is_models = entry.is_dir() and all(LEFTOVER.fullmatch(inner.name) for inner in entry.iterdir())
            if not (BEGINNING.fullmatch(entry.name) or is_models):
                return False
        file = folder / RESULTS_FILE
        return not file.exists() or not RunResults.read(file).metrics
    return False


def set_aside(plan: RunPlan) -> None:
    """Rename the log of a start with another config, of which nothing came, so that each log is of one run."""
    folder = plan.output_dir
    log = folder / LOG_FILE
    if not log.is_file() or not only_begun(folder):
        return
    with suppress(ConfigError):  # a config that can't be read is another one
        if not differing_keys(plan.cfg, folder):
            return
    date = time.strftime("%Y-%m-%d-%H-%M-%S", time.localtime(log.stat().st_mtime))
    for file in (log, folder / "tensorboard"):
        with suppress(FileNotFoundError):
            file.rename(folder / f"{file.stem}-before-{date}{file.suffix}")


def require_same_split(plan: RunPlan, earlier: RunResults | None, dataset: Any) -> str:
    """The run's fingerprint, after comparing it with that of the earlier start.

    Raises:
        ConfigError: the data set's split has changed since.
    """
    split_hash = getattr(dataset, "split_hash", "")
    fingerprint = config_hash(plan.cfg, split_hash)
    if earlier is not None and not is_hash_of(earlier.config_hash, plan.cfg, split_hash, plan.output_dir):
        from lamm.run.record import RunClasses

        changes = changes_since(RunClasses.read(plan.output_dir), getattr(dataset, "images_per_class", {}))
        raise ConfigError(f"{plan.output_dir} holds a run on another split of the data{changes}: {BESIDE}")
    return fingerprint


def changes_since(before: "RunClasses | None", images: Mapping[str, int]) -> str:
    """What has changed in own images since a run, such as ` (25 new photos in "starfish")`; "" if that is not known."""
    if before is None or not before.images or not images:
        return ""
    differences = {name: images.get(name, 0) - before.images.get(name, 0) for name in (*images, *before.images)}
    told = [
        f'{abs(number)} {"new" if number > 0 else "fewer"} {"photo" if abs(number) == 1 else "photos"} in "{name[:60]}"'
        for name, number in differences.items()
        if number
    ]
    more = [f"{len(told) - 3} more classes"] if len(told) > 3 else []
    return f" ({', '.join([*told[:3], *more]) or 'other photos, as many as before'})"


def config_to_build(plan: RunPlan, earlier: RunResults | None, ranks: "Ranks") -> CfgNode:
    """The config that the trainer is built with; the plan's, but for two settings.

    A resumed run keeps the precision that `PREC auto` meant when it began. Where another process writes, the evaluator
    writes no confusion matrix.
    """
    cfg = plan.cfg.clone()
    cfg.defrost()
    node = getattr(plan.trainer_class, "config_node", "")
    if earlier is not None and node and cfg.TRAINER[node].PREC == "auto":
        cfg.TRAINER[node].PREC = earlier.precision
    cfg.TEST.COMPUTE_CMAT = cfg.TEST.COMPUTE_CMAT and ranks.first
    cfg.freeze()
    return cfg


def remove_mere_log(folder: Path, runs: Path = Path("output")) -> None:
    """Remove a run's folder that holds a log at most, and the folders above it that are empty then.

    Apart from the settings the log holds only the mistake, which is on the screen. The folder must be locked.

    Args:
        folder: the run's.
        runs: the folder of all runs; only what is below it is removed with `folder`.
    """
    with suppress(OSError):  # not empty, or not ours to remove
        if not {entry.name for entry in folder.iterdir()} <= {LOG_FILE, LOCK_FILE}:
            return
        for name in (LOG_FILE, LOCK_FILE):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
        for above in folder.parents:
            if runs not in above.parents:
                return
            above.rmdir()


def _require_shareable(plan: RunPlan, ranks: "Ranks") -> None:
    """Refuse what only one process can do."""
    if ENGINE.name != "embedded":
        raise EngineError(
            f"{ranks.size} processes can train together only with the embedded engine, and this run has {ENGINE.name}: "
            "set LAMM_ENGINE=embedded, or start one process"
        )
    if not getattr(plan.trainer_class, "several_processes", False):
        raise ConfigError(
            f"trainer {plan.trainer} can't share its work among {ranks.size} processes: start one (without torchrun)"
        )
    if plan.cfg.SEED < 0:
        raise ConfigError(f"{ranks.size} processes must draw the same batches: give --seed, 0 or above")
