"""Steps of class-incremental runs: planned, trained, or only written as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lamm_trainers import TRAINERS as ALL
from lamm_trainers.heads import HeadTrainer

from lamm.datasets import register_datasets
from lamm.engine import load_checkpoint, set_random_seed
from lamm.results.run_files import Prediction, write_predictions
from lamm.results.schema import RunResults
from tests.train_command import plan

Rows = list[list[float]]


def write_steps(
    root: Path,
    own: Rows,
    seen: Rows,
    seed: int = 1,
    trainer: str = "LAMM",
    negatives: bool = False,
    finished: int | None = None,
    images: Sequence[int] = (),
) -> Path:
    """Write the steps of one seed, `own[t - 1][s - 1]` being set s after step t; the folder above the seeds.

    Args:
        finished: how many steps came to their end; None: all.
        images: how many each set is tested on, one line of `predictions.csv` each; empty: there is no such file.
    """
    cfg = f"tiny_ep50+STEPS={len(own)}" + "+SEEN_AS_NEGATIVES=True" * negatives
    above = root / "output" / "incremental" / "digits" / "shots_16" / trainer / cfg
    for step, (of_own, of_seen) in enumerate(zip(own, seen, strict=True), start=1):
        folder = above / f"seed{seed}" / f"step{step}"
        metrics = {"accuracy": of_own[-1], "error_rate": 100 - of_own[-1], "macro_f1": of_own[-1]}
        metrics |= {f"set{number}_accuracy": value for number, value in enumerate(of_own, start=1)}
        metrics |= {f"set{number}_accuracy_seen": value for number, value in enumerate(of_seen, start=1)}
        status = "finished" if finished is None or step <= finished else "running"
        RunResults(
            **{"trainer": trainer, "dataset": "digits", "shots": 16, "seed": seed, "cfg": f"{cfg}/step{step}"},
            **{"protocol": "incremental", "split": "test", "precision": "fp32", "config_hash": "c0ffee"},
            **{"status": status, "metrics": metrics},
        ).write(folder / "results.json")
        settings = f"INCREMENTAL: {{STEPS: {len(own)}, STEP: {step}, SEEN_AS_NEGATIVES: {negatives}}}\n"
        (folder / "config.yaml").write_text(settings)
        if images:
            write_predictions(folder, [Prediction("0.png", 0, 0, 1.0)] * images[step - 1])
    return above


register_datasets()


STEPWISE = {trainer.__name__: trainer for trainer in ALL if trainer.learns_in_steps}
CLOSED_FORMS = [name for name, trainer in STEPWISE.items() if issubclass(trainer, HeadTrainer)]
TRAINERS = {name: trainer for name, trainer in STEPWISE.items() if name not in CLOSED_FORMS}
FOLDERS = {"MaPLe": "MultiModalPromptLearner", "MaPLe_LAMM": "MultiModalPromptLearner"}
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def planned(name: str, root: Path, folder: Path, step: int, options: str = "") -> Any:
    """The config of step `step` of 2, in `folder/step<step>`; tested on the validation images, 4 a class."""
    line = f"--trainer {name} --dataset digits --shots 4 --seed 1 --root {root} --output-dir {folder}/step{step}"
    epochs = "" if "MAX_EPOCH" in options else "OPTIM.MAX_EPOCH 2"
    line += f" INCREMENTAL.STEPS 2 INCREMENTAL.STEP {step} TEST.SPLIT val DATALOADER.NUM_WORKERS 0"
    return plan(f"{line} {epochs} {options}").cfg


def built(cfg: Any, trainer_class: Any = None) -> Any:
    """A seeded trainer."""
    set_random_seed(cfg.SEED)
    return (trainer_class or STEPWISE[cfg.TRAINER.NAME])(cfg)


def trained(*of_plan: Any) -> Any:
    """A trainer that has been through its step."""
    trainer = built(planned(*of_plan))
    trainer.train()
    return trainer


def checkpoint_of(cfg: Any) -> dict[str, Any]:
    """What a step has learned, as its file says."""
    (file,) = (Path(cfg.OUTPUT_DIR) / FOLDERS.get(cfg.TRAINER.NAME, "prompt_learner")).glob(
        f"model.pth.tar-{cfg.OPTIM.MAX_EPOCH}"
    )
    return load_checkpoint(file)["state_dict"]


def values_of(learner: Any) -> dict[str, torch.Tensor]:
    """Copies of what a learner learns."""
    return {name: value.detach().clone() for name, value in learner.named_parameters()}
