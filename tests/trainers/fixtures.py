"""Fixtures of the trainer tests: the matrix of learners, and runs on a small data set of coloured squares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lamm_trainers import TRAINERS, extend_cfg
from PIL import Image

from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.engine import DATASET_REGISTRY, DatasetBase, Datum, get_cfg_default
from tests.clip.small_clip_models import open_clip_model
from tests.trainers.learner_cases import ALIGNED, FRESH, LEARNERS, Case, matrix_of

COLOURS = {"red_square": (200, 60, 50), "green": (60, 190, 70), "blue (dark)": (50, 60, 180)}
SIDE = 32
TEXT = {"width": 32, "heads": 2, "layers": 3}
IMAGE_TOWERS = {
    "vit": {"layers": 4, "width": 64, "head_width": 32, "patch_size": 8, "image_size": SIDE},
    "resnet": {"layers": (1, 1, 1, 1), "width": 8, "head_width": 64, "patch_size": None, "image_size": 64},
}
CONFIG_NODES = {trainer.__name__: trainer.config_node for trainer in TRAINERS}


@pytest.fixture(scope="session")
def models(small_model: Any) -> dict[str, Any]:
    """open_clip `CLIP`s with random weights by image tower: 3 text layers, 4 of the ViT."""
    made = {kind: open_clip_model(vision=vision, **TEXT) for kind, vision in IMAGE_TOWERS.items()}
    for model in made.values():
        model.logit_scale.data.copy_(small_model.logit_scale)
    return made


@pytest.fixture(scope="session")
def clips(models: dict[str, Any]) -> dict[tuple[str, str], ClipModel]:
    """The project's views of `models`, one a precision: (image tower, precision) → CLIP."""
    views = {(kind, precision): wrap_clip(models[kind], "small") for kind in models for precision in ("fp32", "bf16")}
    for (_, precision), clip in views.items():
        clip.precision = precision
    return views


def place(request: pytest.FixtureRequest, clips: dict[tuple[str, str], ClipModel]) -> Case:
    name, tower, precision = request.param
    return Case(name, clips[tower, precision])


@pytest.fixture(params=matrix_of(LEARNERS))
def case(request: pytest.FixtureRequest, clips: dict[tuple[str, str], ClipModel]) -> Case:
    """Every learner on its places of the matrix."""
    return place(request, clips)


@pytest.fixture(params=matrix_of(ALIGNED))
def aligned_case(request: pytest.FixtureRequest, clips: dict[tuple[str, str], ClipModel]) -> Case:
    """Those with label alignment."""
    return place(request, clips)


@pytest.fixture(params=matrix_of(FRESH))
def fresh_case(request: pytest.FixtureRequest, clips: dict[tuple[str, str], ClipModel]) -> Case:
    """Those with label alignment whose labels start as the class names."""
    return place(request, clips)


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
def squares_config(tmp_path: Path, small_model: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes the config of a run on the squares with the small CLIP: (trainer, folder, *overrides) → frozen config."""
    monkeypatch.setattr("lamm_trainers.base.load_clip", lambda *_: wrap_clip(small_model, "small"))
    monkeypatch.setattr("lamm_trainers.base.weights_of", lambda *_: None)

    def make(trainer: str, folder: str, *overrides: Any) -> Any:
        cfg = get_cfg_default()
        extend_cfg(cfg)
        settings = [
            *("DATASET.NAME", "TrainerSquares", "DATASET.ROOT", str(tmp_path), "DATASET.NUM_SHOTS", 4),
            *("DATALOADER.NUM_WORKERS", 0, "DATALOADER.TRAIN_X.BATCH_SIZE", 4, "DATALOADER.TEST.BATCH_SIZE", 8),
            *("INPUT.SIZE", (SIDE, SIDE), "INPUT.TRANSFORMS", ("random_resized_crop", "normalize")),
            *("MODEL.BACKBONE.NAME", "small", f"TRAINER.{CONFIG_NODES[trainer]}.PREC", "fp32", "USE_CUDA", False),
            *("OPTIM.NAME", "sgd", "OPTIM.LR", 0.05, "OPTIM.MAX_EPOCH", 2, "OPTIM.LR_SCHEDULER", "cosine"),
            *("TRAIN.CHECKPOINT_FREQ", 1, "TRAINER.NAME", trainer, "OUTPUT_DIR", str(tmp_path / folder)),
            *("TRAINER.MAPLE.PROMPT_DEPTH", 2, "TRAINER.PROMPTSRC.PROMPT_DEPTH", 2),  # the small towers have two layers
            *("TRAINER.RANPAC.PROJECTION", 50),
        ]
        cfg.merge_from_list([*settings, *overrides])
        cfg.freeze()
        return cfg

    return make
