"""Three steps of SGD equal those of a slow implementation on whole prompts, part by part."""

from typing import Any

import pytest
import torch
from torch import Tensor

from lamm.clip.model import ClipModel
from tests.reference.slow_cocoop import SlowCoCoOp
from tests.reference.slow_kgcoop import SlowKgCoOp
from tests.reference.slow_maple import SlowMaPLe
from tests.reference.slow_promptsrc import SlowPromptSRC
from tests.reference.slow_training import SlowTraining
from tests.trainers.learner_cases import (
    CONTEXTS,
    DEEP_CONTEXTS,
    HELD_CONTEXTS,
    IMAGE_CONTEXTS,
    INVERSE_TEMPERATURE,
    NAMES,
    SHOTS,
    TEACHER_TEMPLATES,
    WORDS,
    assert_same_curve,
    batch,
    cocoop,
    cocoop_lamm,
    coop,
    coop_lamm,
    disturb,
    kgcoop,
    kgcoop_lamm,
    lamm,
    maple,
    maple_lamm,
    pictures,
    promptsrc,
    promptsrc_lamm,
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


# (variant, settings of the alignment)
COCOOP = [
    ("words", {}),
    ("words", {"teacher": "prompt", "cos_over": "batch", "label_tokens": "released"}),
    ("words", {"teacher": "prompt", "label_tokens": "single", "kd_direction": "standard"}),
    ("random", {"cos_over": "batch", "label_tokens": "single"}),
    ("random", {"teacher": "prompt"}),
    ("random", {"teacher": "clip", "label_tokens": "released", "kd_direction": "standard"}),
]
MAPLE = [
    ("words", {}),
    ("words", {"teacher": "prompt", "cos_over": "batch", "label_tokens": "released"}),
    ("words", {"teacher": "clip", "label_tokens": "released"}),
    ("words", {"teacher": "prompt", "label_tokens": "single", "kd_direction": "standard"}),
    ("words_input", {"cos_over": "batch", "label_tokens": "single"}),
    ("random", {"teacher": "prompt", "label_tokens": "name"}),
    ("random", {"teacher": "clip", "kd_direction": "standard"}),
    ("random_input", {"teacher": "prompt", "cos_over": "batch", "label_tokens": "released"}),
]
# Every name has two sub-tokens at least, so that one vector a class is not what the shortest name would give.
LONG_NAMES = ["german_shepherd", "car (red)", "tabby cat"]


def case_id(value: Any) -> str | None:
    return ("-".join(value.values()) or "default") if isinstance(value, dict) else None


def labels_of(learner: Any) -> list[Tensor] | None:
    """Each class's label vectors, (vectors, D); None without alignment."""
    return list(learner.label_embeddings.split(learner.label_counts)) if hasattr(learner, "label_counts") else None


def slow_cocoop(model: Any, learner: Any, variant: str, **options: Any) -> SlowCoCoOp:
    """The slow run that starts where the learner is."""
    layers = (learner.meta_net.linear1, learner.meta_net.linear2)
    return SlowCoCoOp(
        model,
        learner.class_names,
        INVERSE_TEMPERATURE,
        SHOTS,
        context=learner.ctx,
        words=IMAGE_CONTEXTS[variant].get("context_init", ""),
        meta_net=tuple(value for layer in layers for value in (layer.weight, layer.bias)),
        label_start=labels_of(learner),
        **options,
    )


def slow_maple(model: Any, learner: Any, variant: str, **options: Any) -> SlowMaPLe:
    """The slow run that starts where the learner is."""
    return SlowMaPLe(
        model,
        learner.class_names,
        INVERSE_TEMPERATURE,
        SHOTS,
        context=learner.ctx,
        words=DEEP_CONTEXTS[variant].get("context_init", "a photo of a"),
        deep=list(learner.compound_prompts_text),
        couplings=[(map.weight, map.bias) for map in (learner.proj, *learner.compound_prompt_projections)],
        released_length=1,
        label_start=labels_of(learner),
        **options,
    )


@pytest.mark.parametrize(("variant", "settings"), COCOOP, ids=case_id)
def test_cocoop_lamm_follows_the_slow_run(
    variant: str, settings: dict[str, str], small_model: Any, small_clip: ClipModel
) -> None:
    learner = disturb(cocoop_lamm(small_clip, variant=variant, **settings))
    slow = slow_cocoop(small_model, learner, variant, **settings)
    images, labels = batch(small_clip)
    got = train(learner, images, labels, steps=3, rate=0.05)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.05))


@pytest.mark.parametrize("variant", IMAGE_CONTEXTS)
def test_cocoop_follows_the_slow_run(variant: str, small_model: Any, small_clip: ClipModel) -> None:
    learner = disturb(cocoop(small_clip, variant=variant))
    slow = slow_cocoop(small_model, learner, variant, aligned=False)
    images, labels = batch(small_clip)
    got = train(learner, images, labels, steps=3, rate=0.05)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.05))


@pytest.mark.parametrize("over", ["classes", "batch"])
def test_one_image_a_batch_follows_the_slow_run(over: str, small_model: Any, small_clip: ClipModel) -> None:
    learner = disturb(cocoop_lamm(small_clip, cos_over=over))
    slow = slow_cocoop(small_model, learner, "words", cos_over=over)
    images, _ = batch(small_clip, 1)
    expected = slow.train(images, [2], steps=3, rate=0.05)
    assert (expected[2]["loss_cos"] == 0) == (over == "batch")
    assert_same_curve(train(learner, images, torch.tensor([2]), steps=3, rate=0.05), expected)


@pytest.mark.parametrize(("variant", "settings"), MAPLE, ids=case_id)
def test_maple_lamm_follows_the_slow_run(
    variant: str, settings: dict[str, str], models: dict[str, Any], clips: dict[tuple[str, str], ClipModel]
) -> None:
    clip = clips["vit", "fp32"]
    learner = disturb(maple_lamm(clip, LONG_NAMES, variant, **settings))
    slow = slow_maple(models["vit"], learner, variant, **settings)
    images, labels = pictures(clip, 4), torch.tensor([0, 1, 2, 1])
    got = train(learner, images, labels, steps=3, rate=0.01)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.01))


@pytest.mark.parametrize("variant", DEEP_CONTEXTS)
def test_maple_follows_the_slow_run(
    variant: str, models: dict[str, Any], clips: dict[tuple[str, str], ClipModel]
) -> None:
    clip = clips["vit", "fp32"]
    learner = disturb(maple(clip, NAMES, variant))
    slow = slow_maple(models["vit"], learner, variant, aligned=False)
    images, labels = pictures(clip, 4), torch.tensor([0, 1, 2, 3])
    got = train(learner, images, labels, steps=3, rate=0.01)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.01))


@pytest.mark.parametrize("build", [kgcoop, kgcoop_lamm], ids=["KgCoOp", "KgCoOp_LAMM"])
def test_kgcoop_follows_the_slow_run(build: Any, small_model: Any, small_clip: ClipModel) -> None:
    learner = build(small_clip)
    options = {"template": HELD_CONTEXTS["words"]["template"], "aligned": build is kgcoop_lamm}
    slow = SlowKgCoOp(small_model, NAMES, INVERSE_TEMPERATURE, SHOTS, context=learner.ctx, **options)
    images, labels = batch(small_clip)
    expected = slow.train(images, labels.tolist(), steps=3, rate=0.05)
    assert expected[0]["loss_kg"] > 0.1
    assert_same_curve(train(learner, images, labels, steps=3, rate=0.05), expected)


@pytest.mark.parametrize("build", [promptsrc, promptsrc_lamm], ids=["PromptSRC", "PromptSRC_LAMM"])
def test_promptsrc_follows_the_slow_run(
    build: Any, models: dict[str, Any], clips: dict[tuple[str, str], ClipModel]
) -> None:
    clip = clips["vit", "fp32"]
    learner = disturb(build(clip, LONG_NAMES))
    slow = SlowPromptSRC(
        models["vit"],
        LONG_NAMES,
        INVERSE_TEMPERATURE,
        SHOTS,
        context=learner.ctx,
        aligned=build is promptsrc_lamm,
        label_start=labels_of(learner),
        text_prompts=list(learner.text_prompts),
        image_prompts=list(learner.image_prompts),
        templates=TEACHER_TEMPLATES,
    )
    images, labels = pictures(clip, 4), torch.tensor([0, 1, 2, 1])
    got = train(learner, images, labels, steps=3, rate=0.01)
    assert_same_curve(got, slow.train(images, labels.tolist(), steps=3, rate=0.01))
