"""Three steps of SGD equal those of a slow implementation on whole prompts, part by part."""

from typing import Any

import pytest
import torch

from lamm.clip.model import ClipModel
from tests.reference.slow_training import SlowTraining
from tests.trainers.learner_cases import (
    CONTEXTS,
    INVERSE_TEMPERATURE,
    NAMES,
    SHOTS,
    WORDS,
    assert_same_curve,
    batch,
    coop,
    coop_lamm,
    lamm,
    train,
)

SETTINGS = [
    {"label_tokens": tokens, "teacher": teacher, "cos_over": over, "kd_direction": direction}
    for tokens, teacher, over, direction in [
        ("name", "clip", "classes", "paper"),
        ("name", "clip", "batch", "standard"),
        ("name", "prompt", "classes", "standard"),
        ("single", "clip", "classes", "standard"),
        ("single", "prompt", "batch", "paper"),
        ("released", "prompt", "batch", "paper"),
        ("released", "clip", "classes", "paper"),
    ]
]
COOP = [(variant, "name", "prompt") for variant in CONTEXTS] + [
    ("words", "name", "clip"),
    ("random", "single", "clip"),
    ("words", "released", "prompt"),
    ("csc", "single", "prompt"),
]


def named(settings: dict[str, str]) -> str:
    return "-".join(settings.values())


@pytest.mark.parametrize("settings", SETTINGS, ids=named)
def test_lamm_follows_the_slow_run(settings: dict[str, str], small_model: Any, small_clip: ClipModel) -> None:
    images, labels = batch(small_clip)
    got = train(lamm(small_clip, **settings), images, labels, steps=3, rate=0.05)
    slow = SlowTraining(small_model, NAMES, INVERSE_TEMPERATURE, SHOTS, **settings)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.05))


@pytest.mark.parametrize(("variant", "tokens", "teacher"), [case for case in COOP if "csc" not in case[0]])
def test_coop_lamm_follows_the_slow_run(
    variant: str, tokens: str, teacher: str, small_model: Any, small_clip: ClipModel
) -> None:
    learner = coop_lamm(small_clip, variant=variant, label_tokens=tokens, teacher=teacher)
    options = CONTEXTS[variant]
    slow = SlowTraining(
        small_model,
        NAMES,
        INVERSE_TEMPERATURE,
        SHOTS,
        context=learner.ctx.detach(),
        words=options.get("context_init", ""),
        position=options.get("position", "end"),
        label_tokens=tokens,
        teacher=teacher,
    )
    images, labels = batch(small_clip)
    got = train(learner, images, labels, steps=3, rate=0.05)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.05))


@pytest.mark.parametrize("variant", ["words", "random", "middle", "front"])
def test_coop_follows_the_slow_run(variant: str, small_model: Any, small_clip: ClipModel) -> None:
    learner = coop(small_clip, variant=variant)
    slow = SlowTraining(
        small_model,
        NAMES,
        INVERSE_TEMPERATURE,
        SHOTS,
        context=learner.ctx.detach(),
        words=CONTEXTS[variant].get("context_init", ""),
        position=CONTEXTS[variant].get("position", "end"),
        aligned=False,
    )
    images, labels = batch(small_clip)
    got = train(learner, images, labels, steps=3, rate=0.05)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.05))


def test_random_labels_follow_the_slow_run_with_the_original_anchor(small_model: Any, small_clip: ClipModel) -> None:
    learner = lamm(small_clip, label_init="random")
    start = [vectors.clone() for vectors in learner.label_embeddings.detach().split(learner.label_counts)]
    slow = SlowTraining(small_model, NAMES, INVERSE_TEMPERATURE, SHOTS, label_start=start)
    images, labels = batch(small_clip)
    expected = slow.train(images, labels.tolist(), steps=3, rate=0.05)
    assert expected[0]["loss_wc"] > 0
    assert_same_curve(train(learner, images, labels, steps=3, rate=0.05), expected)


def test_a_batch_of_one_class_has_no_feature_loss_over_the_batch(small_model: Any, small_clip: ClipModel) -> None:
    images, _ = batch(small_clip)
    labels = torch.full((len(images),), 3)
    got = train(lamm(small_clip, cos_over="batch"), images, labels, steps=3, rate=0.05)
    assert [step["loss_cos"] for step in got] == [0, 0, 0]
    slow = SlowTraining(small_model, NAMES, INVERSE_TEMPERATURE, SHOTS, words=WORDS, cos_over="batch")
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.05))
