"""The checkpoint that a run's results belong to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamm.errors import CheckpointError
from lamm.inference.run_folder import RunFolder

from .checkpoint_files import MissingCheckpoint, checkpoint_file, final_checkpoint, read_checkpoint


@dataclass(frozen=True)
class RunCheckpoint:
    """A checkpoint file of a run that learned something.

    Attributes:
        path: the file.
        state: its `state_dict`.
        epoch: epochs done; None where the file does not say.
        notes: what a user should know about it, a line each.
    """

    path: str
    state: dict[str, Any]
    epoch: int | None
    notes: list[str]

    @classmethod
    def of_run(cls, run: RunFolder) -> "RunCheckpoint":
        """The checkpoint that the run tested at its end, or would test now.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        path = _tested(run) if run.only_tests else _trained(run)
        content = read_checkpoint(path)
        epoch = content.get("epoch")
        notes = []
        if run.only_tests:
            notes.append(f"the run only tested the model of {run.cfg.EVALUATION.MODEL_DIR}, which is used here")
        elif not run.finished and isinstance(epoch, int) and epoch < run.cfg.OPTIM.MAX_EPOCH:
            notes.append(
                f"the run is unfinished: this is its model after {epoch} of {run.cfg.OPTIM.MAX_EPOCH} epochs ({path})"
            )
        return cls(path, content["state_dict"], epoch, notes)


def _trained(run: RunFolder) -> str:
    path = final_checkpoint(str(run.path / run.trainer_class.registered_name), run.cfg.TEST.FINAL_MODEL)
    if path is None:
        raise CheckpointError(f"{run.path} has no checkpoint: the run has not come so far; start it again to resume it")
    return path


def _tested(run: RunFolder) -> str:
    """The file that a run of `--eval-only` loaded."""
    evaluation = run.cfg.EVALUATION
    if not evaluation.MODEL_DIR:
        raise CheckpointError(f"{run.path} tested a model that had learned nothing: give the folder of a training run")
    epoch = None if evaluation.LOAD_EPOCH < 0 else evaluation.LOAD_EPOCH
    try:
        return checkpoint_file(str(Path(evaluation.MODEL_DIR) / run.trainer_class.registered_name), epoch)
    except MissingCheckpoint as error:
        raise CheckpointError(
            f"{run.path} tested the model of {evaluation.MODEL_DIR}, which is not there any more: "
            "give the training run's folder itself"
        ) from error
