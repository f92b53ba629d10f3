"""TopLAMM and CLIP-LoRA: slow runs, equality with LAMM, cached tokens, precision, classes in sets, refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers import LAMM, CLIPLoRA, TopLAMM
from lamm_trainers.clip_lora import CLIPLoRALearner
from lamm_trainers.lamm import AlignmentSettings
from lamm_trainers.top_lamm import TopLAMMLearner

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip import text
from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.clip.top import TowerTop
from lamm.engine import set_random_seed
from lamm.errors import BackboneError, CheckpointError, ConfigError
from tests.clip.small_clip_models import VIT, clip_package_model, open_clip_model
from tests.reference.slow_top import SlowTopLAMM, low_rank_logits
from tests.reference.whole_prompt import assemble, embed, read_prompt
from tests.trainers.learner_cases import (
    INVERSE_TEMPERATURE,
    NAMES,
    SHOTS,
    assert_same_curve,
    clip_lora,
    lamm,
    pictures,
    top_lamm,
    train,
)
from tests.trainers.test_base import interrupted_after_one_epoch

Config = Callable[..., Any]
LABELS = [0, 1, 2, 3, 1, 2]


@pytest.mark.parametrize("blocks", [1, 2])
def test_top_lamm_follows_the_slow_run(blocks: int, small_model: Any, small_clip: ClipModel) -> None:
    images = pictures(small_clip)
    got = train(
        TopLAMMLearner(small_clip, NAMES, blocks=blocks, alignment=AlignmentSettings()),
        images,
        torch.tensor(LABELS),
        steps=3,
        rate=0.05,
    )
    slow = SlowTopLAMM(small_model, NAMES, INVERSE_TEMPERATURE, SHOTS, blocks=blocks)
    assert_same_curve(got, slow.train(images, LABELS, steps=3, rate=0.05))
    assert got[2]["loss_gram"] > 1e-3


@pytest.mark.parametrize("tune", ["blocks", "lora", "layernorm"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_each_form_starts_at_clips_features_and_moves_from_there(tune: str, precision: str) -> None:
    model = open_clip_model(width=32, heads=2, layers=2).to(torch.float16 if precision == "fp16" else torch.float32)
    clip = wrap_clip(model, "small")
    clip.precision = precision
    images = pictures(clip)
    learner = top_lamm(clip, variant=tune)
    tuned, frozen = learner.image_features(images).chunk(2, dim=1)
    torch.testing.assert_close(frozen, clip.image_features(images), atol=1e-5 if precision == "fp32" else 2e-2, rtol=0)
    torch.testing.assert_close(tuned, frozen, atol=1e-5 if precision == "fp32" else 2e-2, rtol=0)
    before = [value.clone() for value in learner.top.parameters()]
    train(learner, images, torch.tensor(LABELS), steps=3, rate=0.5)  # far enough for gradients that fp16 has
    for value, earlier in zip(learner.top.parameters(), before, strict=True):
        assert value.dtype == torch.float32
        assert value.isfinite().all()
        assert not torch.equal(value, earlier)


def test_clip_lora_scores_as_towers_with_the_additions_merged_do(small_model: Any, small_clip: ClipModel) -> None:
    learner = clip_lora(small_clip)
    towers = [list(learner.image_tower.low_rank), list(learner.text_low_rank)]
    with torch.no_grad():
        for layer in (*learner.image_tower.low_rank, *learner.text_low_rank):
            layer.up.normal_(generator=torch.Generator().manual_seed(0))
    images = pictures(small_clip)
    ids, _ = embed(small_model, [assemble(read_prompt("a photo of a", name)) for name in NAMES])
    image, text = learner.image_features(images), learner.text_features()
    got = learner.scores(image, text)
    expected = low_rank_logits(small_model, images, ids, *(pair_of(tower) for tower in towers))
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=1e-4)
    values = list(learner.parameters())
    weights = torch.randn(got.shape, generator=torch.Generator().manual_seed(1))
    pairs = [torch.autograd.grad((logits * weights).sum(), values) for logits in (got, expected)]
    for fast, slow in zip(*pairs, strict=True):
        torch.testing.assert_close(fast, slow, atol=1e-3 * slow.abs().max().item(), rtol=1e-3)


def pair_of(layers: list[Any]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    return [layer.down for layer in layers], [layer.up for layer in layers]


def test_dropout_masks_change_from_step_to_step_and_are_absent_in_evaluation(small_clip: ClipModel) -> None:
    learner = CLIPLoRALearner(small_clip, NAMES)
    with torch.no_grad():
        for layer in (*learner.image_tower.low_rank, *learner.text_low_rank):
            layer.up.normal_(std=0.1)
    images = pictures(small_clip)
    for encode in (learner.text_features, lambda: learner.image_features(images)):
        learner.train()
        assert not torch.equal(encode(), encode())
        learner.eval()
        assert torch.equal(encode(), encode())


def test_no_two_chunks_of_classes_have_the_same_masks_and_the_backward_pass_has_them_again(
    small_clip: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = CLIPLoRALearner(small_clip, ["crane", "crane"])
    with torch.no_grad():
        for layer in learner.text_low_rank:
            layer.up.normal_(std=0.1)
    learner.encode_in_chunks(1, 1e-9)
    gradients = []
    for _ in range(2):
        torch.manual_seed(7)
        one, other = learner.text_features()[0]
        assert (one - other).abs().max() > 1e-3
        gradients.append(torch.autograd.grad((one - 2 * other).sum(), list(learner.text_low_rank.parameters())))
        monkeypatch.setattr(text, "checkpoint", lambda run, *sides, **_: run(*sides))
    for again, once in zip(*gradients, strict=True):
        torch.testing.assert_close(again, once)


def test_steps_per_shot_are_whole_epochs_whatever_the_number_of_classes(squares_config: Config) -> None:
    options = ("OPTIM.MAX_EPOCH", 0, "TRAINER.CLIPLORA.STEPS_PER_SHOT", 10, "DATALOADER.TRAIN_X.BATCH_SIZE", 2)
    trainer = start(squares_config("CLIPLoRA", "run", *options), CLIPLoRA)
    steps, shots = len(trainer.train_loader_x), trainer.cfg.DATASET.NUM_SHOTS
    assert (trainer.max_epoch - 1) * steps < 10 * shots <= trainer.max_epoch * steps
    assert trainer.sched.T_max == trainer.max_epoch > 1
    assert start(squares_config("CLIPLoRA", "run", "OPTIM.MAX_EPOCH", 3), CLIPLoRA).max_epoch == 3


def start(cfg: Any, trainer: Any = TopLAMM) -> Any:
    set_random_seed(3)
    return trainer(cfg)


@pytest.mark.parametrize("views", [0, 2])
def test_without_blocks_it_is_lamm_to_the_last_digit(views: int, squares_config: Config) -> None:
    runs = []
    for name, trainer, options in (("TopLAMM", TopLAMM, ("TRAINER.TOPLAMM.BLOCKS", 0)), ("LAMM", LAMM, ())):
        runs.append(start(squares_config(name, name, "INPUT.CACHE_VIEWS", views, *options), trainer))
        runs[-1].train()
    assert torch.equal(*(run.learner.label_embeddings for run in runs))
    assert runs[0].test() == runs[1].test()


def test_cached_tokens_train_as_their_images_do_and_only_the_top_runs(
    squares_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    learned = []
    for views in (0, 1):
        # Without random crops the only view is the image.
        options = ("INPUT.CACHE_VIEWS", views, "INPUT.TRANSFORMS", ("normalize",), "TEST.NO_TEST", True)
        trainer = start(squares_config("TopLAMM", f"run{views}", *options))
        trainer.before_train()
        if views:
            monkeypatch.setattr(trainer.clip, "encode_image", None)
        set_random_seed(4)
        for trainer.epoch in range(2):
            trainer.run_epoch()
        learned.append(torch.cat([value.detach().flatten() for value in trainer.learner.parameters()]))
    torch.testing.assert_close(*learned, atol=2e-4, rtol=1e-3)  # tokens are stored in fp16
    assert not torch.equal(*learned)


def test_tokens_without_room_are_refused_beforehand(squares_config: Config, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    # A view has 17 positions of 64 fp16 numbers, and 64 fp32 ones: 2432 bytes; there are 12 images.
    for room, fits in ((2432 * 24 * 1e-9 * 1.01, True), (2432 * 24 * 1e-9 * 0.99, False)):
        options = ("INPUT.CACHE_VIEWS", 2, "INPUT.CACHE_GB", room, "INPUT.CACHE_DIR", str(folder))
        if fits:
            start(squares_config("TopLAMM", "fits", *options))
        else:
            with pytest.raises(ConfigError, match=r"INPUT\.CACHE_GB"):
                start(squares_config("TopLAMM", "large", *options))
    assert not folder.exists()


def test_a_folder_that_takes_no_tokens_is_an_error(squares_config: Config, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    options = ("INPUT.CACHE_VIEWS", 2, "INPUT.CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"INPUT\.CACHE_DIR"):
        start(squares_config("TopLAMM", "run", *options)).train()


TOWERS = {
    "resnet": {"layers": (1, 1, 1, 1), "width": 8, "head_width": 64, "patch_size": None, "image_size": 64},
    "average": {"layers": 2, "width": 64, "patch_size": 8, "image_size": 32, "pool_type": "avg"},
    "attention pool": {"layers": 2, "width": 64, "patch_size": 8, "image_size": 32, "attentional_pool": True},
}


@pytest.mark.parametrize("kind", TOWERS)
def test_a_tower_with_other_parts_is_refused_in_one_line(kind: str) -> None:
    clip = wrap_clip(open_clip_model(vision=TOWERS[kind], width=32, heads=2, layers=2), "odd")
    with pytest.raises(BackboneError, match="odd: its image tower .* can't be tuned") as error:
        TowerTop(clip, None, "lora")
    assert "\n" not in str(error.value)


def test_a_tower_of_the_clip_package_is_cut_as_well() -> None:
    clip = wrap_clip(clip_package_model(VIT), "package")
    TowerTop(clip, 1, "blocks")  # makes sure itself that its features are the tower's


@pytest.mark.parametrize(("option", "key"), [({"blocks": 3}, "BLOCKS"), ({"tune": "all"}, "TUNE")])
def test_settings_that_mean_nothing_are_refused(option: dict[str, Any], key: str, small_clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match=key):
        TopLAMMLearner(small_clip, NAMES, alignment=AlignmentSettings(), **option)


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (lambda clip: lamm(clip), "use --trainer TopLAMM$"),
        (lambda clip: clip_lora(clip), "use --trainer TopLAMM$"),
        (lambda clip: top_lamm(clip, variant="blocks"), r"use TRAINER\.TOPLAMM\.TUNE and TRAINER\.TOPLAMM\.BLOCKS"),
        (lambda clip: top_lamm(clip, variant="rank 3"), "use the RANK of the training run"),
    ],
)
def test_a_checkpoint_of_other_settings_says_which(learner: Any, message: str, small_clip: ClipModel) -> None:
    state = top_lamm(small_clip, variant="lora").state_dict()
    with pytest.raises(CheckpointError, match=message):
        load_learned(learner(small_clip), state, "file")


def test_a_run_on_cached_tokens_with_dropout_resumes_as_if_uninterrupted(squares_config: Config) -> None:
    options = ("INPUT.CACHE_VIEWS", 2, "TRAINER.TOPLAMM.TUNE", "lora", "TRAINER.TOPLAMM.DROPOUT", 0.5)
    whole = start(squares_config("TopLAMM", "whole", *options))
    whole.train()
    interrupted_after_one_epoch(squares_config("TopLAMM", "parts", *options))
    resumed = TopLAMM(squares_config("TopLAMM", "parts", *options))
    resumed.train()
    assert resumed.start_epoch == 1
    for one, other in zip(whole.learner.parameters(), resumed.learner.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_model_is_not_tested_at_another_weight_than_it_was_trained_at(squares_config: Config, tmp_path: Path) -> None:
    start(squares_config("TopLAMM", "run", "TEST.NO_TEST", True)).train()
    other = start(squares_config("TopLAMM", "elsewhere", "TRAINER.TOPLAMM.TUNED_WEIGHT", 0.9))
    with pytest.raises(CheckpointError, match="weight"):
        other.load_model(str(tmp_path / "run"))
