"""Steps of class-incremental learning on `digits` with the embedded model: two sets of five classes."""

from pathlib import Path
from typing import Any

import torch
from lamm_trainers import TRAINERS as ALL

from lamm.datasets import register_datasets
from lamm.engine import load_checkpoint, set_random_seed
from tests.train_command import plan

register_datasets()
TRAINERS = {trainer.__name__: trainer for trainer in ALL}
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
    return (trainer_class or TRAINERS[cfg.TRAINER.NAME])(cfg)


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
