"""Whole runs on a small data set: train, checkpoint, load, resume; and settings that are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers import HEADS, ZeroshotCLIP
from lamm_trainers import TRAINERS as ALL
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.lamm import AlignmentSettings, LAMMLearner
from yacs.config import CfgNode

from lamm.checkpoints.label_bank import LabelBank
from lamm.engine import ENGINE, build_trainer, load_checkpoint, set_random_seed
from lamm.errors import CheckpointError, ConfigError, LammError
from lamm.run.record import build_recorded

LEARN_PROMPTS = [trainer for trainer in ALL if trainer.learner_class is not None and trainer not in HEADS]
TRAINERS = {trainer.__name__: trainer for trainer in LEARN_PROMPTS}
# Folder of a method's checkpoints, where it is not `prompt_learner`.
FOLDERS = {"MaPLe": "MultiModalPromptLearner", "MaPLe_LAMM": "MultiModalPromptLearner"}
Config = Callable[..., Any]


def some_images() -> torch.Tensor:
    """Images of noise, (4, 3, 32, 32)."""
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_images_that_are_encoded_ahead_by_other_threads_change_nothing(squares_config: Config) -> None:
    threads, trained_on, learned = torch.get_num_threads(), [], []

    class Watched(TRAINERS["LAMM"]):
        def forward_backward(self, batch: Any) -> Any:
            trained_on.append("features" if batch["img"].dim() == 2 else "images")
            return super().forward_backward(batch)

    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            trainer = start(squares_config("LAMM", f"threads{count}"), Watched)
            trainer.train()
            learned.append(trainer.learner.label_embeddings.detach().clone())
            assert next(iter(trainer.train_loader_x))["img"].dim() == 4
    finally:
        torch.set_num_threads(threads)
    assert sorted(set(trained_on)) == ["features", "images"]
    assert torch.equal(*learned)


@pytest.fixture(params=TRAINERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def start(cfg: Any, trainer_class: Any = None) -> Any:
    """A seeded trainer."""
    set_random_seed(3)
    return (trainer_class or TRAINERS[cfg.TRAINER.NAME])(cfg)


def interrupted_after_one_epoch(cfg: Any) -> None:
    class Interrupted(TRAINERS[cfg.TRAINER.NAME]):
        def after_epoch(self) -> None:
            super().after_epoch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(cfg, Interrupted).train()


def test_a_loaded_model_has_the_accuracy_of_the_trained_one(name: str, squares_config: Config, tmp_path: Path) -> None:
    trained = start(squares_config(name, "run"))
    before = {key: value.clone() for key, value in trained.learner.named_parameters()}
    trained.train()
    assert not any(torch.equal(value, before[key]) for key, value in trained.learner.named_parameters())
    accuracy = trained.test()
    for epoch in (None, 2):
        loaded = start(squares_config(name, "elsewhere"))
        loaded.load_model(str(tmp_path / "run"), epoch=epoch)
        assert loaded.test() == accuracy
        assert torch.equal(loaded.model_inference(some_images()), trained.model_inference(some_images()))


def test_a_resumed_run_is_the_uninterrupted_one(name: str, squares_config: Config, tmp_path: Path) -> None:
    start(squares_config(name, "whole")).train()
    interrupted_after_one_epoch(squares_config(name, "parts"))
    resumed = TRAINERS[name](squares_config(name, "parts"))
    resumed.train()
    file = f"{FOLDERS.get(name, 'prompt_learner')}/model.pth.tar-2"
    whole, parts = (load_checkpoint(tmp_path / folder / file) for folder in ("whole", "parts"))
    assert whole["state_dict"].keys() == parts["state_dict"].keys()
    for key, value in whole["state_dict"].items():
        assert (
            torch.equal(value, parts["state_dict"][key])
            if torch.is_tensor(value)
            else value == parts["state_dict"][key]
        )


@pytest.mark.parametrize("name", [name for name in TRAINERS if "LAMM" in name], indirect=True)
def test_an_aligned_run_leaves_its_labels(name: str, squares_config: Config, tmp_path: Path) -> None:
    trainer = start(squares_config(name, "run", "OPTIM.MAX_EPOCH", 1))
    trainer.train()
    bank = LabelBank.load(tmp_path / "run" / "labels.safetensors")
    assert bank.class_names == ["red_square", "green", "blue (dark)"]
    assert torch.equal(bank.embeddings, trainer.learner.label_embeddings.detach())


@pytest.mark.parametrize("name", [name for name in TRAINERS if "LAMM" not in name], indirect=True)
def test_a_base_run_leaves_no_labels(name: str, squares_config: Config, tmp_path: Path) -> None:
    start(squares_config(name, "run", "OPTIM.MAX_EPOCH", 1)).train()
    assert (tmp_path / "run" / FOLDERS.get(name, "prompt_learner") / "model.pth.tar-1").is_file()
    assert not (tmp_path / "run" / "labels.safetensors").exists()


def test_zero_shot_clip_trains_and_saves_nothing(squares_config: Config, tmp_path: Path) -> None:
    trainer = start(squares_config("ZeroshotCLIP", "run"), ZeroshotCLIP)
    before = trainer.model_inference(some_images())
    trainer.train()
    assert trainer.get_model_names() == []
    assert torch.equal(trainer.model_inference(some_images()), before)
    assert not list((tmp_path / "run").rglob("*.pth.tar*"))


@pytest.mark.parametrize(
    ("name", "node"),
    [("CoOp_LAMM", "COOP"), ("CoCoOp_LAMM", "COCOOP"), ("MaPLe_LAMM", "MAPLE"), ("LAMM", "LAMM")],
    indirect=["name"],
)
def test_the_precision_stands_in_the_bases_node(name: str, node: str, squares_config: Config) -> None:
    others = [key for key in ("COOP", "COCOOP", "MAPLE", "LAMM", "ZEROSHOTCLIP") if key != node]
    overrides = [part for other in others for part in (f"TRAINER.{other}.PREC", "fp32")]
    trainer = start(squares_config(name, "run", *overrides, f"TRAINER.{node}.PREC", "bf16", "OPTIM.MAX_EPOCH", 1))
    assert (trainer.precision, trainer.clip.precision) == ("bf16", "bf16")
    trainer.train()
    assert all(parameter.dtype == torch.float32 for parameter in trainer.learner.parameters())


@pytest.mark.parametrize("name", [name for name in TRAINERS if "_LAMM" in name], indirect=True)
def test_a_combination_that_is_switched_off_is_its_base(name: str, squares_config: Config) -> None:
    inferred = []
    for trainer, folder, aligned in ((name, "off", False), (name.removesuffix("_LAMM"), "base", True)):
        run = start(squares_config(trainer, folder, "TRAINER.LAMM.ENABLED", aligned, "OPTIM.MAX_EPOCH", 1))
        run.train()
        inferred.append(run.model_inference(some_images()))
    assert torch.equal(*inferred)


def test_the_loss_weighs_the_labels_by_the_shots(squares_config: Config) -> None:
    trainer = start(squares_config("LAMM", "run"))
    with torch.no_grad():
        trainer.learner.label_embeddings[0, 0] += 1
    parts, _ = trainer.loss_parts(torch.zeros(2, 3, 32, 32), torch.tensor([0, 1]))
    assert parts["loss_wc"].item() == pytest.approx(1 / 4)


def test_untrained_lamm_scores_images_as_zero_shot_clip_does(squares_config: Config) -> None:
    zero_shot = ZeroshotCLIP(squares_config("ZeroshotCLIP", "zero", "DATASET.TEMPLATE", "a photo of a {}."))
    expected = zero_shot.model_inference(some_images())
    got = start(squares_config("LAMM", "run")).model_inference(some_images())
    torch.testing.assert_close(got, expected, atol=2e-5, rtol=0)


def test_inference_between_two_steps_sees_the_current_prompts(name: str, squares_config: Config) -> None:
    trainer = start(squares_config(name, "run"))
    before = trainer.model_inference(some_images())
    with torch.no_grad():
        for parameter in trainer.learner.parameters():
            parameter.mul_(-1).add_(0.01)
    assert not torch.equal(trainer.model_inference(some_images()), before)


def test_a_missing_checkpoint_is_an_error_that_names_it(name: str, squares_config: Config, tmp_path: Path) -> None:
    trainer = start(squares_config(name, "run"))
    with pytest.raises(CheckpointError, match=r"model\.pth\.tar-7.*--model-dir must be the output folder"):
        trainer.load_model(str(tmp_path), epoch=7)


@pytest.mark.parametrize("content", [{"epoch": 1}, [1, 2], {"state_dict": {"weight": torch.zeros(2)}}], ids=str)
def test_a_file_that_is_no_checkpoint_of_ours_is_an_error(content: Any, squares_config: Config, tmp_path: Path) -> None:
    trainer = start(squares_config("LAMM", "run"))
    (tmp_path / "prompt_learner").mkdir()
    torch.save(content, tmp_path / "prompt_learner" / "model.pth.tar-1")
    with pytest.raises(CheckpointError):
        trainer.load_model(str(tmp_path), epoch=1)


def aligned(clip, names, label_tokens="name"):
    return LAMMLearner(clip, names, alignment=AlignmentSettings(label_tokens=label_tokens))


def test_resuming_on_another_class_list_of_the_same_shape_is_refused(small_clip):
    trained = aligned(small_clip, ["cat", "dog"]).state_dict()
    with pytest.raises(CheckpointError, match="another class list"):
        aligned(small_clip, ["emu", "cow"]).load_state_dict(trained)


def test_resuming_with_other_label_tokens_of_the_same_shape_is_refused(small_clip):
    trained = aligned(small_clip, ["cat", "dog"], "released").state_dict()
    with pytest.raises(CheckpointError, match="LABEL_TOKENS"):
        aligned(small_clip, ["cat", "dog"], "single").load_state_dict(trained)


def test_more_context_vectors_than_the_tower_has_room_for_are_refused(small_clip):
    with pytest.raises(ConfigError, match="N_CTX is 200, but the text tower has room for at most 73"):
        CoOpLearner(small_clip, ["cat"], n_ctx=200)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("OPTIM.STAGED_LR", True, "OPTIM.NEW_LAYERS", ("x",)), "STAGED_LR"),
        (("DATALOADER.K_TRANSFORMS", 2), "K_TRANSFORMS"),
        (("INPUT.NO_TRANSFORM", True), "NO_TRANSFORM"),
    ],
)
def test_settings_that_would_train_nothing_or_crash_are_refused(override, message, squares_config):
    with pytest.raises(ConfigError, match=message):
        build_trainer(squares_config("LAMM", "run", *override))


def test_a_loss_that_is_not_a_number_stops_the_run(squares_config):
    trainer = build_trainer(squares_config("LAMM", "run"))
    trainer.epoch, trainer.batch_idx, trainer.num_batches = 0, 0, 1
    with pytest.raises(LammError, match="infinite or not a number in epoch 1"):
        trainer._check_loss(torch.tensor(float("nan")))


def test_a_config_of_another_repository_is_completed_whichever_extend_cfg_ran_last(
    squares_config: Config, log_lines: list[str]
) -> None:
    cfg = squares_config("CoOp_LAMM", "run").clone()
    cfg.defrost()
    cfg.TRAINER.COOP = CfgNode({"N_CTX": 4, "CTX_INIT": False, "PREC": "fp32"})  # KgCoOp's switch; no position, no CSC
    del cfg.TRAINER["LAMM"]
    trainer = build_trainer(cfg)
    assert trainer.cfg.TRAINER.LAMM.TEACHER == "clip"
    assert trainer.learner.ctx.shape[0] == 4
    assert ENGINE.line() in log_lines
    cfg.TRAINER.COOP.CTX_INIT = True
    with pytest.raises(ConfigError, match=r"TRAINER.COOP.CTX_INIT is True, but our trainers take a text"):
        build_trainer(cfg)


def test_a_run_whose_last_update_diverges_ends_with_an_error_and_its_last_good_checkpoint(
    squares_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(trainer: Any) -> None:
        if trainer.epoch == 1:
            trainer.learner.label_embeddings.data[0, 0] = float("nan")

    monkeypatch.setattr(TRAINERS["LAMM"], "update_lr", diverge)
    trainer = build_recorded(squares_config("LAMM", "run", "OPTIM.MAX_EPOCH", 2, "TRAIN.CHECKPOINT_FREQ", 1))
    with pytest.raises(LammError, match=r"after epoch 2.*lower OPTIM\.LR"):
        trainer.train()
    assert [file.name for file in (tmp_path / "run" / "prompt_learner").glob("model*")] == ["model.pth.tar-1"]
    assert not trainer.evaluator.metrics
