"""LAMM_GDA and TopLAMM_GDA: the labels are trained as without a head, which is chosen by left-out images."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lamm_trainers import TRAINERS as ALL
from lamm_trainers import extend_cfg
from lamm_trainers.lamm import AlignmentSettings
from lamm_trainers.lamm_gda import LAMMGDALearner
from torch import Tensor

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.model import ClipModel
from lamm.engine import load_checkpoint, set_random_seed
from lamm.errors import ConfigError
from lamm.gda import SCALES, SHRINKAGES
from lamm.inference.model import TrainedModel
from tests.reference import slow_heads
from tests.trainers.test_heads import near_centres, some_images

NAMES = ["crane", "german_shepherd", "C++"]
TRAINERS = {trainer.__name__: trainer for trainer in ALL}
Config = Callable[..., Any]


def start(cfg: Any) -> Any:
    set_random_seed(3)
    return TRAINERS[cfg.TRAINER.NAME](cfg)


def learner_of(clip: ClipModel, names: list[str] = NAMES) -> LAMMGDALearner:
    return LAMMGDALearner(clip, names, alignment=AlignmentSettings())


def without(values: np.ndarray, image: int) -> np.ndarray:
    return np.delete(values, image, axis=0)


def left_out_scores(features: Tensor, labels: Tensor, shrinkage: float) -> np.ndarray:
    """Each image's views by a head that is fitted anew to all others. Shape: (n, k, N)"""
    images, classes = features.double().numpy(), labels.numpy()
    views = features.shape[1]
    found = []
    for image in range(len(images)):
        rows, of_rows = np.concatenate(without(images, image)), np.repeat(without(classes, image), views)
        precision = slow_heads.shrunk_precision(rows, of_rows, shrinkage)
        found.append([slow_heads.discriminant(rows, of_rows, 3, precision, x) for x in images[image]])
    return np.array(found)


@torch.no_grad()
def test_shrinkage_and_scale_have_the_least_loss_of_left_out_images(small_clip: ClipModel) -> None:
    learner = learner_of(small_clip)
    features, labels = near_centres(small_clip, 3, views=2)
    labels[0], labels[1] = labels[1].item(), labels[0].item()  # no head is right about all
    learner.fit(features, labels)
    targets, losses = labels.repeat_interleave(2), {}
    for shrinkage in SHRINKAGES:
        scores = torch.from_numpy(left_out_scores(features, labels, shrinkage)).flatten(0, 1)
        losses |= {(shrinkage, scale): F.cross_entropy(scale * scores, targets).item() for scale in SCALES}
    chosen = learner.head.shrinkage.item(), learner.head.alpha.item()
    assert losses[chosen] == pytest.approx(min(losses.values()), rel=1e-5)


@torch.no_grad()
def test_the_labels_count_as_much_as_makes_zero_shot_scores_as_sure_as_they_are_right(small_clip: ClipModel) -> None:
    learner = learner_of(small_clip)
    features, _ = near_centres(small_clip, 10, views=2)
    text = learner.hand_written_features()[0]
    scores = (small_clip.logit_scale.exp() * features @ text.T).flatten(0, 1)
    found = {}
    for wrong in (0, 15):  # names that say all, and names that are wrong about half
        labels = (scores[::2] + scores[1::2]).argmax(dim=1)
        labels[:wrong] = (labels[:wrong] + 1) % 3
        learner.fit(features, labels)
        targets = labels.repeat_interleave(2)
        losses = {scale: F.cross_entropy(scale * scores, targets).item() for scale in SCALES if scale <= 1}
        assert losses[min(losses, key=lambda scale: abs(scale - learner.label_scale.item()))] == min(losses.values())
        found[wrong] = learner.label_scale.item()
    assert found[15] < found[0] <= 1


@torch.no_grad()
def test_the_score_is_the_labels_and_the_heads(small_clip: ClipModel) -> None:
    learner = learner_of(small_clip)
    features, labels = near_centres(small_clip, 3, views=2)
    new, _ = near_centres(small_clip, 2, views=1, seed=1)
    learner.fit(features, labels)
    rows, classes = features.double().flatten(0, 1).numpy(), labels.repeat_interleave(2).numpy()
    precision = slow_heads.shrunk_precision(rows, classes, learner.head.shrinkage.item())
    scores = [slow_heads.discriminant(rows, classes, 3, precision, x) for x in new[:, 0].double().numpy()]
    text = learner.text_features()
    own = small_clip.logit_scale.exp() * new[:, 0] @ text[0].T
    expected = learner.label_scale * own + learner.head.alpha.item() * torch.tensor(np.array(scores)).float()
    torch.testing.assert_close(learner.eval().scores(new[:, 0], text), expected, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(learner.train().scores(new[:, 0], text), own)


@torch.no_grad()
def test_with_one_image_per_class_the_head_spreads_as_a_share_of_the_zero_shot_scores(small_clip: ClipModel) -> None:
    learner = learner_of(small_clip)
    features, labels = near_centres(small_clip, 1, views=4)
    learner.fit(features, labels)
    assert learner.head.shrinkage.item() == 30
    left_out = left_out_scores(features, labels, 30.0)
    text = learner.hand_written_features()[0]
    zero_shot = (small_clip.logit_scale.exp() * features @ text.T).numpy()
    spreads = []
    for scores in (left_out, zero_shot):
        wrong = [scores[i, v, [c for c in range(3) if c != i]] for i in range(3) for v in range(4)]
        spreads.append(math.sqrt(np.mean([values.var() for values in wrong])))
    assert learner.head.alpha.item() == pytest.approx(
        0.3 * learner.label_scale.item() * spreads[1] / spreads[0], rel=1e-4
    )


@torch.no_grad()
def test_classes_that_are_added_give_the_head_of_all_images_at_once(small_clip: ClipModel) -> None:
    features, labels = near_centres(small_clip, 4, views=2)
    first, second = learner_of(small_clip, NAMES[:2]), learner_of(small_clip, NAMES[2:])
    first.fit(features[labels < 2], labels[labels < 2])
    kept = {name: value.clone() for name, value in first.head.state_dict().items()}
    second.earlier = [first]
    second.fit(features[labels == 2], labels[labels == 2] - 2)
    whole = learner_of(small_clip)
    whole.fit(features, labels)
    for name in ("count", "sum", "outer"):
        assert torch.equal(first.head.state_dict()[name], kept[name])
    assert first.label_scale == second.label_scale
    # The same numbers chosen, the same head.
    for learner in (second, whole):
        learner.head.alpha.fill_(0.5)
        learner.head.shrinkage.fill_(1.0)
        learner.join()
    torch.testing.assert_close(torch.cat([first.head.rows, second.head.rows]), whole.head.rows, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_on_other_classes_the_head_goes_by_name_or_is_silent(small_clip: ClipModel) -> None:
    learner = learner_of(small_clip)
    features, labels = near_centres(small_clip, 3, views=2)
    learner.fit(features, labels)
    x, state = features[:, 0], learner.state_dict()
    some, other = learner_of(small_clip, ["C++", "crane"]), learner_of(small_clip, ["C++", "emu"])
    load_learned(some, state, "file")
    load_learned(other, state, "file")
    expected = learner.eval().scores(x, learner.text_features())[:, [2, 0]]
    torch.testing.assert_close(some.eval().scores(x, some.text_features()), expected)
    plain = small_clip.logit_scale.exp() * x @ other.text_features()[0].T
    torch.testing.assert_close(other.eval().scores(x, other.text_features()), plain)


@pytest.mark.parametrize(("name", "plain"), [("LAMM_GDA", "LAMM"), ("TopLAMM_GDA", "TopLAMM")])
def test_without_its_head_it_is_the_plain_trainer_to_the_last_bit(
    name: str, plain: str, squares_config: Config, tmp_path: Path
) -> None:
    trainers, accuracies = [], []
    for one in (name, plain):
        trainers.append(start(squares_config(one, one, "INPUT.CACHE_VIEWS", 2)))
        trainers[-1].train()
        accuracies.append(trainers[-1].test("test"))
    with_head, without_head = (load_checkpoint(_last(tmp_path / one))["state_dict"] for one in (name, plain))
    assert all(torch.equal(value, with_head[key]) for key, value in without_head.items() if torch.is_tensor(value))
    assert trainers[0].further_metrics["accuracy_without_head"] == accuracies[1]
    assert trainers[0].further_metrics["head_scale"] > 0


@pytest.mark.parametrize("name", ["LAMM_GDA", "TopLAMM_GDA"])
def test_a_run_that_stopped_before_its_head_was_fitted_ends_with_the_same(
    name: str, squares_config: Config, tmp_path: Path
) -> None:
    settings = ["INPUT.CACHE_VIEWS", 2, "TRAIN.CHECKPOINT_FREQ", 1]
    start(squares_config(name, "whole", *settings)).train()

    class Interrupted(TRAINERS[name]):  # type: ignore[misc, valid-type]
        def after_epoch(self) -> None:
            super().after_epoch()
            raise KeyboardInterrupt

    set_random_seed(3)
    with pytest.raises(KeyboardInterrupt):
        Interrupted(squares_config(name, "parts", *settings)).train()
    TRAINERS[name](squares_config(name, "parts", *settings)).train()
    whole, parts = (load_checkpoint(_last(tmp_path / one))["state_dict"] for one in ("whole", "parts"))
    assert all(torch.equal(value, parts[key]) for key, value in whole.items() if torch.is_tensor(value))


def test_photos_are_scored_from_the_runs_folder_alone(squares_config: Config, tmp_path: Path) -> None:
    from tests.inference.test_model import run_on

    trainer = run_on(squares_config("LAMM_GDA", "run", "INPUT.CACHE_VIEWS", 2))
    classifier = TrainedModel.from_run(tmp_path / "run", [extend_cfg])
    torch.testing.assert_close(classifier.logits(some_images()), trainer.model_inference(some_images()))


def test_labels_that_are_not_learned_are_refused(squares_config: Config) -> None:
    with pytest.raises(ConfigError, match=r"TRAINER\.LAMM\.ENABLED"):
        start(squares_config("LAMM_GDA", "run", "TRAINER.LAMM.ENABLED", False))


def _last(run: Path) -> Path:
    folder = run / "prompt_learner"
    return folder / (folder / "checkpoint").read_text().strip()
