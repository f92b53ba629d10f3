"""Heads: their equations, what they choose and by which images, and whole runs of them on a small data set."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lamm_trainers import HEADS, extend_cfg
from lamm_trainers.gda import PUBLISHED_ALPHAS, GDALearner
from lamm_trainers.heads import Head, Images, weight_of_least_loss
from lamm_trainers.linear_probe import ONE_IMAGE_C, STRENGTHS, LinearProbeLearner, by_folds, regression
from lamm_trainers.tip_adapter import TipAdapterLearner
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.model import ClipModel
from lamm.engine import load_checkpoint, set_random_seed
from lamm.errors import CheckpointError, ConfigError
from lamm.gda import ClassStatistics, LeaveOneOut, head
from lamm.inference.model import TrainedModel
from tests.reference import slow_heads

NAMES = ["crane", "german_shepherd", "C++"]
TEMPLATES = ["a photo of a {}."]
TRAINERS = {trainer.__name__: trainer for trainer in HEADS if trainer.__name__ not in ("NearestMean", "RanPAC")}
"""Those that can choose by validation images."""
Config = Callable[..., Any]


def near_centres(clip: ClipModel, shots: int, views: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit features (n, k, E) around three centres, and labels."""
    generator = torch.Generator().manual_seed(9)
    centres = torch.randn(3, clip.embed_dim, generator=generator)
    generator.manual_seed(seed)
    labels = torch.arange(3).repeat(shots)
    noise = torch.randn(len(labels), views, clip.embed_dim, generator=generator)
    return F.normalize(centres[labels][:, None] + 1.5 * noise, dim=-1), labels


def built(kind: type[Head], clip: ClipModel, images: int) -> Any:
    learner = kind(clip, NAMES, TEMPLATES)
    learner.make_room_for({"keys": torch.zeros(images, 1)})
    return learner


# The weight beside the zero-shot scores.


def test_the_weight_has_the_least_loss_of_all() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(4).repeat(10)
    z, s = (3 * F.one_hot(labels, 4)[:, None] + 6 * torch.randn(40, 2, 4, generator=generator) for _ in range(2))
    s = s / 50
    alpha, loss = weight_of_least_loss(z, s, labels)
    ratio = (z.var(-1, correction=0).mean() / s.var(-1, correction=0).mean()).sqrt().item()
    found = {}
    for a in np.arange(-3, 1.5, 0.05):
        for b in np.arange(-3, 1.5, 0.05):
            logits = (math.exp(a) * z + math.exp(b) * ratio * s).flatten(0, 1)
            images = F.cross_entropy(logits, labels.repeat_interleave(2), reduction="sum").item() / 2
            found[images + 0.5 * (a * a + b * b)] = ratio * math.exp(b - a)
    assert loss <= min(found) + 1e-4
    assert alpha == pytest.approx(found[min(found)], rel=0.1)


def test_a_class_without_images_leaves_the_weight_a_number() -> None:
    labels = torch.arange(3).repeat(4)
    z, s = torch.randn(2, 12, 1, 4, generator=torch.Generator().manual_seed(3))
    s[..., 3] = -torch.inf
    alpha, loss = weight_of_least_loss(z, s, labels)
    without = weight_of_least_loss(z[..., :3], s[..., :3], labels)
    assert math.isfinite(alpha)
    assert loss >= without[1] - 1e-4  # one more class to lose to


def test_with_no_image_left_of_any_class_both_have_the_same_spread() -> None:
    labels = torch.arange(4)
    z, s = torch.randn(2, 4, 1, 4, generator=torch.Generator().manual_seed(2))
    s = s.where(~F.one_hot(labels, 4)[:, None].bool(), -torch.inf)
    alpha, loss = weight_of_least_loss(z, s, labels)
    others = [(z[i, 0][s[i, 0].isfinite()], s[i, 0][s[i, 0].isfinite()]) for i in range(4)]
    spreads = [torch.stack([pair[n].var(correction=0) for pair in others]).mean().sqrt() for n in (0, 1)]
    assert alpha == pytest.approx((spreads[0] / spreads[1]).item(), rel=1e-5)
    assert loss == 0


# The scores.


def zero_shot_scores(learner: Head, x: Tensor) -> np.ndarray:
    return (learner.clip.logit_scale.exp() * x @ learner.features[0].T).double().numpy()


@torch.no_grad()
def test_gda_as_published_is_that_of_the_equations(small_clip: ClipModel) -> None:
    learner = built(GDALearner, small_clip, 0)
    features, labels = near_centres(small_clip, 4, views=2)
    val, val_labels = near_centres(small_clip, 6, views=1, seed=1)
    learner.fit(features, labels, Images(val[:, 0], val_labels))
    rows, classes = features.double().flatten(0, 1).numpy(), labels.repeat_interleave(2).numpy()
    precision = slow_heads.published_precision(rows, classes)
    scores = [slow_heads.discriminant(rows, classes, 3, precision, x) for x in val[:, 0].double().numpy()]
    zero_shot = zero_shot_scores(learner, val[:, 0])

    def accuracy(alpha: float) -> float:
        return float(((zero_shot + alpha * np.array(scores)).argmax(1) == val_labels.numpy()).mean())

    best = next(alpha for alpha in PUBLISHED_ALPHAS if accuracy(alpha) == max(map(accuracy, PUBLISHED_ALPHAS)))
    assert learner.chosen() == {"alpha": pytest.approx(best)}
    expected = torch.from_numpy(zero_shot + best * np.array(scores)).float()
    torch.testing.assert_close(learner.scores(val[:, 0], learner.features), expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_gda_takes_the_shrinkage_and_weight_of_least_loss(small_clip: ClipModel) -> None:
    learner = built(GDALearner, small_clip, 0)
    features, labels = near_centres(small_clip, 4, views=2)
    learner.fit(features, labels)
    statistics = ClassStatistics.of(features, labels, 3)
    z, others = learner.zero_shot(features), LeaveOneOut(statistics, features, labels)
    chosen = learner.chosen()
    alpha, loss = weight_of_least_loss(z, others.scores(chosen["shrinkage"]), labels)
    assert chosen["alpha"] == pytest.approx(alpha, rel=1e-3)
    assert all(loss <= weight_of_least_loss(z, others.scores(rho), labels)[1] + 1e-4 for rho in (30, 1.0, 0.1, 0.01))
    weight, bias = head(statistics, chosen["shrinkage"])
    torch.testing.assert_close(learner.head.rows, (alpha * weight).float(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(learner.head.offsets[:, 0], (alpha * bias).float(), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_tip_adapters_scores_are_those_of_the_equations(small_clip: ClipModel) -> None:
    features, labels = near_centres(small_clip, 3, views=2)
    learner = built(TipAdapterLearner, small_clip, len(labels))
    learner.fit(features, labels)
    chosen, x = learner.chosen(), near_centres(small_clip, 2, views=1, seed=1)[0][:, 0]
    keys = F.normalize(features.mean(dim=1), dim=-1).double().numpy()
    cache = [slow_heads.cache_scores(keys, labels.numpy(), 3, chosen["beta"], one) for one in x.double().numpy()]
    expected = torch.from_numpy(zero_shot_scores(learner, x) + chosen["alpha"] * np.array(cache)).float()
    torch.testing.assert_close(learner.scores(x, learner.features), expected, rtol=1e-4, atol=1e-3)


@torch.no_grad()
def test_tip_adapter_chooses_without_an_images_own_key(small_clip: ClipModel) -> None:
    features, labels = near_centres(small_clip, 3, views=2)
    learner = built(TipAdapterLearner, small_clip, len(labels))
    learner.fit(features, labels)
    keys, rows = learner.keys.double().numpy(), features.double().numpy()
    expected = np.zeros((len(labels), 2, 3))
    for i, views in enumerate(rows):
        others = np.arange(len(labels)) != i
        for v, x in enumerate(views):
            expected[i, v] = slow_heads.cache_scores(keys[others], labels.numpy()[others], 3, 4.0, x)
    got = learner._without_own(features, labels, torch.arange(len(labels)), 4.0)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4)
    learner.make_room(3)
    alone = learner._without_own(features[:3], labels[:3], torch.arange(3), 4.0)  # an image per class
    assert torch.equal(alone.isneginf(), F.one_hot(labels[:3])[:, None].bool().expand(-1, 2, -1))


@torch.no_grad()
def test_tip_adapter_as_published_takes_the_first_best_of_its_grid(small_clip: ClipModel) -> None:
    features, labels = near_centres(small_clip, 3, views=2)
    val, val_labels = near_centres(small_clip, 5, views=1, seed=1)
    learner = built(TipAdapterLearner, small_clip, len(labels))
    learner.published = (12.0, 5.0, 3.0)
    learner.fit(features, labels, Images(val[:, 0], val_labels))
    chosen = learner.chosen()
    best = (learner.scores(val[:, 0], learner.features).argmax(1) == val_labels).sum()
    for i in range(0, 200, 10):
        for j in range(20):
            learner._set(0.1 + j * 4.9 / 20, 0.1 + i * 11.9 / 200)
            correct = (learner.scores(val[:, 0], learner.features).argmax(1) == val_labels).sum()
            earlier = (0.1 + i * 11.9 / 200, 0.1 + j * 4.9 / 20) < (chosen["beta"] - 1e-4, chosen["alpha"] - 1e-4)
            assert correct < best if earlier else correct <= best


@torch.no_grad()
@pytest.mark.parametrize("names", [NAMES, NAMES[:2]])
def test_the_linear_probe_gives_scikit_learns_decisions(names: list[str], small_clip: ClipModel) -> None:
    features, labels = near_centres(small_clip, 4, views=2)
    features, labels = features[labels < len(names)], labels[labels < len(names)]
    learner = LinearProbeLearner(small_clip, names, TEMPLATES)
    learner.fit(features, labels)
    fitted = regression(features.double().numpy(), labels.numpy(), learner.chosen()["C"])
    x = near_centres(small_clip, 2, views=1, seed=1)[0][:, 0]
    got = learner.scores(x, learner.features).softmax(dim=1)
    torch.testing.assert_close(got, torch.from_numpy(fitted.predict_proba(x.double().numpy())).float())


@pytest.mark.parametrize("alone", [1, 3])
def test_c_is_chosen_by_the_classes_with_several_images(alone: int, small_clip: ClipModel) -> None:
    features, labels = near_centres(small_clip, 4, views=2)
    keep = np.flatnonzero((labels >= alone) | (np.arange(12) < 3))  # the first classes are left with one image
    images, classes = features.double().numpy()[keep], labels.numpy()[keep]
    several, losses = np.flatnonzero(classes >= alone), dict.fromkeys(STRENGTHS, 0.0)
    if alone == 3:
        assert by_folds(images, classes) == ONE_IMAGE_C
        return
    for train, rest in StratifiedKFold(4, shuffle=True, random_state=0).split(several, classes[several]):
        seen = [*np.flatnonzero(classes < alone), *several[train]]
        for strength in STRENGTHS:
            fitted = LogisticRegression(C=strength, max_iter=1000).fit(
                np.concatenate(images[seen]), classes[seen].repeat(2)
            )
            for image in several[rest]:
                losses[strength] -= fitted.predict_log_proba(images[image])[:, classes[image]].sum()
    assert by_folds(images, classes) == min(losses, key=lambda strength: losses[strength]) != ONE_IMAGE_C


def test_a_long_template_is_kept_whole_and_one_that_was_cut_is_read(small_clip: ClipModel) -> None:
    long = f"a photo of a {{}}, {'very ' * 50}nice."
    learner = LinearProbeLearner(small_clip, NAMES, [long])
    state = learner.state_dict()
    load_learned(learner, dict(state), "file")
    with pytest.raises(CheckpointError, match="template 1"):
        load_learned(LinearProbeLearner(small_clip, NAMES, [f"{long[:-6]}."]), dict(state), "file")
    state["_extra_state"]["prompt"]["template 1"] = long[:199]
    load_learned(learner, dict(state), "file")


# Runs.


def start(cfg: Any) -> Any:
    set_random_seed(3)
    return TRAINERS[cfg.TRAINER.NAME](cfg)


@pytest.fixture(params=TRAINERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def some_images() -> Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("choice", ["train", "val"])
def test_a_loaded_head_scores_as_the_trained_one(
    name: str, choice: str, squares_config: Config, tmp_path: Path
) -> None:
    node = TRAINERS[name].config_node
    settings = [f"TRAINER.{node}.CHOICE", choice, "INPUT.CACHE_VIEWS", 2]
    trained = start(squares_config(name, "run", *settings))
    before = trained.model_inference(some_images())
    trained.train()
    expected = trained.model_inference(some_images())
    assert not torch.equal(expected, before)
    assert trained.further_metrics == trained.learner.chosen()
    loaded = start(squares_config(name, "elsewhere", *settings, "DATASET.NUM_SHOTS", 2))
    loaded.load_model(str(tmp_path / "run"))
    assert torch.equal(loaded.model_inference(some_images()), expected)


def test_a_resumed_head_is_the_uninterrupted_one(name: str, squares_config: Config, tmp_path: Path) -> None:
    start(squares_config(name, "whole")).train()

    class Interrupted(TRAINERS[name]):
        def after_epoch(self) -> None:
            super().after_epoch()
            raise KeyboardInterrupt

    set_random_seed(3)
    with pytest.raises(KeyboardInterrupt):
        Interrupted(squares_config(name, "parts")).train()
    resumed = TRAINERS[name](squares_config(name, "parts"))
    resumed.train()
    file = f"prompt_learner/model.pth.tar-{2 if name == 'TipAdapterF' else 1}"
    whole, parts = (load_checkpoint(tmp_path / folder / file)["state_dict"] for folder in ("whole", "parts"))
    assert all(torch.equal(value, parts[key]) for key, value in whole.items() if torch.is_tensor(value))


def test_photos_are_scored_from_the_runs_folder_alone(name: str, squares_config: Config, tmp_path: Path) -> None:
    from tests.inference.test_model import run_on

    trainer = run_on(squares_config(name, "run", "INPUT.CACHE_VIEWS", 2))
    classifier = TrainedModel.from_run(tmp_path / "run", [extend_cfg])
    torch.testing.assert_close(classifier.logits(some_images()), trainer.model_inference(some_images()))


def test_zero_shot_accuracy_is_that_without_the_head(squares_config: Config) -> None:
    trainers = [start(squares_config(name, f"run-{name}")) for name in ("GDA", "LinearProbe")]
    for trainer in trainers:
        trainer.train()
    assert trainers[0].zero_shot_accuracy == trainers[1].zero_shot_accuracy


def test_other_classes_or_templates_are_refused_in_one_line(
    name: str, squares_config: Config, tmp_path: Path, small_clip: ClipModel
) -> None:
    trainer = start(squares_config(name, "run", "TEST.NO_TEST", True))
    trainer.train()
    state = trainer.learner.state_dict()
    classes = TRAINERS[name].make_learner(trainer.cfg, small_clip, ["emu", "cow", "owl"], trainer.templates)
    with pytest.raises(CheckpointError, match="test it on the classes that it was trained on"):
        load_learned(classes, state, "file")
    template = TRAINERS[name].make_learner(trainer.cfg, small_clip, trainer.learner.class_names, ["a {}."])
    with pytest.raises(CheckpointError, match="a photo of a {}"):
        load_learned(template, state, "file")


def test_choosing_by_validation_images_needs_some(squares_config: Config) -> None:
    trainer = start(squares_config("GDA", "run", "TRAINER.GDA.CHOICE", "val"))
    trainer.val_loader = None
    with pytest.raises(ConfigError, match=r"TRAINER\.GDA\.CHOICE"):
        trainer.train()


def test_tip_adapter_fs_first_logits_are_those_of_tip_adapter_and_its_keys_move(squares_config: Config) -> None:
    plain = start(squares_config("TipAdapter", "plain", "INPUT.CACHE_VIEWS", 2))
    plain.train()
    trained = start(squares_config("TipAdapterF", "run", "INPUT.CACHE_VIEWS", 2, "OPTIM.NAME", "adamw"))
    assert {group["eps"] for group in trained.optim.param_groups} == {1e-4}
    trained.before_train()
    assert torch.equal(trained.model_inference(some_images()), plain.model_inference(some_images()))
    keys = trained.learner.keys.detach().clone()
    trained.epoch, trained.max_epoch = 0, 1
    trained.run_epoch()
    assert not torch.equal(trained.learner.keys, keys)
