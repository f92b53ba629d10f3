"""Runs on cached image features: the same results, without the image tower."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lamm_trainers import TRAINERS as ALL

from lamm.engine import set_random_seed
from lamm.errors import ConfigError
from lamm.features.cache import View, ViewDataset

TRAINERS = {trainer.__name__: trainer for trainer in ALL}
LEAVES_THE_TOWER = ("ZeroshotCLIP", "CoOp", "CoCoOp", "LAMM", "CoOp_LAMM", "CoCoOp_LAMM")
Config = Callable[..., Any]


def start(cfg: Any) -> Any:
    set_random_seed(3)
    return TRAINERS[cfg.TRAINER.NAME](cfg)


def without_tower(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the image tower ran")

    monkeypatch.setattr(trainer.clip, "encode_image", refuse)


@pytest.mark.parametrize("name", LEAVES_THE_TOWER)
def test_cached_test_images_are_scored_as_the_images_are(name: str, squares_config: Config) -> None:
    trainer = start(squares_config(name, "run"))
    scores, labels = [], []
    for batch in trainer.test_loader:
        scores.append(trainer.model_inference(batch["img"]))
        labels.append(batch["label"])
    accuracy = (torch.cat(scores).argmax(dim=1) == torch.cat(labels)).float().mean().item() * 100
    assert trainer.test() == pytest.approx(accuracy)
    cached = torch.cat([trainer.model_inference(batch["img"]) for batch in trainer.test_loader])
    torch.testing.assert_close(cached, torch.cat(scores), rtol=1e-5, atol=1e-4)


def test_test_images_are_encoded_once(squares_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(squares_config("LAMM", "run"))
    accuracy = trainer.test()
    without_tower(trainer, monkeypatch)
    assert trainer.test() == accuracy


@pytest.mark.parametrize("name", ["LAMM", "CoCoOp"])
def test_training_on_cached_views_never_runs_the_tower(
    name: str, squares_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start(squares_config(name, "run", "INPUT.CACHE_VIEWS", 3, "TEST.NO_TEST", True))
    before = {key: value.clone() for key, value in trainer.learner.named_parameters()}
    trainer.before_train()
    without_tower(trainer, monkeypatch)
    monkeypatch.setattr(trainer, "before_train", lambda: None)
    trainer.train()
    assert not any(torch.equal(value, before[key]) for key, value in trainer.learner.named_parameters())


def test_a_batch_of_features_has_the_images_that_the_loader_would_have_given(squares_config: Config) -> None:
    trainer = start(squares_config("LAMM", "run", "INPUT.CACHE_VIEWS", 1, "INPUT.TRANSFORMS", ("normalize",)))
    images = trainer.train_loader_x
    features = trainer._feature_cache.training_loader(images)
    set_random_seed(5)
    of_images = [(trainer.image_features(batch["img"]), batch) for batch in images]
    set_random_seed(5)
    of_features = list(features)
    assert len(of_features) == len(of_images) == len(features)
    for (expected, images_of_batch), batch in zip(of_images, of_features, strict=True):
        torch.testing.assert_close(batch["img"], expected)
        for key in ("label", "domain", "index"):
            assert torch.equal(batch[key], images_of_batch[key])
        assert batch["impath"] == images_of_batch["impath"]


def test_views_differ_and_all_are_trained_on(squares_config: Config) -> None:
    trainer = start(squares_config("LAMM", "run", "INPUT.CACHE_VIEWS", 4))
    loader = trainer._feature_cache.training_loader(trainer.train_loader_x)
    seen = {tuple(row.tolist()) for _ in range(40) for batch in loader for row in batch["img"]}
    assert len(seen) == 4 * len(loader.dataset)


def test_a_view_depends_on_its_key_alone_and_leaves_the_generators(squares_config: Config) -> None:
    trainer = start(squares_config("LAMM", "run"))
    dataset = trainer.train_loader_x.dataset
    views = [View(dataset.data_source[0].impath, bytes([number] * 16)) for number in (1, 2)]
    made = ViewDataset(views, dataset.transform)
    state = torch.get_rng_state()
    first, other = made[0], made[1]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(made[0], first)
    assert not torch.equal(first, other)


def test_trainers_that_prompt_the_tower_refuse_cached_views(squares_config: Config) -> None:
    with pytest.raises(ConfigError, match="MaPLe_LAMM prompts the image tower"):
        start(squares_config("MaPLe_LAMM", "run", "INPUT.CACHE_VIEWS", 2))


def test_a_number_of_views_below_zero_is_refused(squares_config: Config) -> None:
    with pytest.raises(ConfigError, match=r"INPUT\.CACHE_VIEWS must be 0 or above"):
        start(squares_config("LAMM", "run", "INPUT.CACHE_VIEWS", -1)).test()
