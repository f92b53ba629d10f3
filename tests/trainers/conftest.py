"""Fixtures of the trainer tests: a small data set of coloured squares and a config to run on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lamm_trainers import extend_cfg
from PIL import Image

from lamm.clip.model import ClipModel
from lamm.engine import DATASET_REGISTRY, DatasetBase, Datum, get_cfg_default

COLOURS = {"red_square": (200, 60, 50), "green": (60, 190, 70), "blue (dark)": (50, 60, 180)}
SIDE = 32


@DATASET_REGISTRY.register()
class TrainerSquares(DatasetBase):
    """Noisy squares in three colours: `DATASET.NUM_SHOTS` images a class to train on, as many again to test."""

    def __init__(self, cfg: Any) -> None:
        parts: dict[str, list[Datum]] = {"train": [], "val": [], "test": []}
        generator = np.random.default_rng(0)
        for part, data in parts.items():
            for label, (name, colour) in enumerate(COLOURS.items()):
                for number in range(cfg.DATASET.NUM_SHOTS):
                    file = Path(cfg.DATASET.ROOT) / f"{part}_{label}_{number}.png"
                    pixels = generator.normal(colour, 60, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
                    Image.fromarray(pixels).save(file)
                    data.append(Datum(impath=str(file), label=label, classname=name))
        super().__init__(train_x=parts["train"], val=parts["val"], test=parts["test"])


@pytest.fixture
def squares_config(tmp_path: Path, small_clip: ClipModel, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Any]:
    """Makes the config of a run on the squares with the small CLIP: (trainer, folder) → frozen config."""
    monkeypatch.setattr("lamm_trainers.base.load_clip", lambda *_: small_clip)

    def make(trainer: str, folder: str, *overrides: Any) -> Any:
        cfg = get_cfg_default()
        extend_cfg(cfg)
        precision = "ZEROSHOTCLIP" if trainer == "ZeroshotCLIP" else trainer.upper()
        settings = [
            *("DATASET.NAME", "TrainerSquares", "DATASET.ROOT", str(tmp_path), "DATASET.NUM_SHOTS", 4),
            *("DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 4, "DATALOADER.TEST.BATCH_SIZE", 8),
            *("INPUT.SIZE", (SIDE, SIDE), "INPUT.TRANSFORMS", ("random_resized_crop", "normalize")),
            *("MODEL.BACKBONE.NAME", "small", f"TRAINER.{precision}.PREC", "fp32", "USE_CUDA", False),
            *("OPTIM.NAME", "sgd", "OPTIM.LR", 0.05, "OPTIM.MAX_EPOCH", 2, "OPTIM.LR_SCHEDULER", "cosine"),
            *("TRAIN.CHECKPOINT_FREQ", 1, "TRAINER.NAME", trainer, "OUTPUT_DIR", str(tmp_path / folder)),
        ]
        cfg.merge_from_list([*settings, *overrides])
        cfg.freeze()
        return cfg

    return make
