"""Prompt learners one by one: the teacher, the knobs, and what they refuse."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lamm_trainers.config import extend_cfg
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.lamm import AlignmentSettings, LAMMLearner

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.clip.text import Chunks
from lamm.engine import get_cfg_default
from lamm.errors import CheckpointError, ConfigError, PromptError
from lamm.parallel.ranks import Ranks
from lamm.parallel.sharing import SharedOutTextEncoder
from tests.reference import hierarchical_loss
from tests.reference import whole_prompt as reference
from tests.trainers.learner_cases import NAMES, WORDS, batch, coop, coop_lamm, lamm, loss_parts, train


def count_class_encodings(learner: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each time that the learner has all classes encoded."""
    calls: list[int] = []
    encode = type(learner).encode

    def counted(self: Any, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        return encode(self, *arguments)

    monkeypatch.setattr(type(learner), "encode", counted)
    return calls


# The teacher.


@pytest.mark.parametrize("variant", ["words", "random", "middle", "csc"])
def test_the_clip_teacher_is_frozen_clip_with_a_photo_of_a(
    variant: str, small_model: Any, small_clip: ClipModel
) -> None:
    learner = coop_lamm(small_clip, variant=variant)
    texts = [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES]
    expected = reference.encode_texts(small_model, texts)
    train(learner, *batch(small_clip), steps=2, rate=0.1)
    torch.testing.assert_close(learner.teacher_features()[0], expected, atol=1e-6, rtol=1e-5)


def test_lamms_teacher_has_lamms_own_words(small_model: Any, small_clip: ClipModel) -> None:
    for words in ("a sketch of the", ""):
        learner = LAMMLearner(small_clip, ["cat", "dog"], context_init=words, alignment=AlignmentSettings())
        expected = reference.encode_texts(small_model, [f"{words} cat.".strip(), f"{words} dog.".strip()])
        torch.testing.assert_close(learner.teacher_features()[0], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("teacher", "runs"), [("clip", 5), ("prompt", 8)])
def test_the_clip_teacher_is_encoded_once_and_the_moving_one_at_each_step(
    teacher: str, runs: int, small_clip: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = coop_lamm(small_clip, teacher=teacher)
    calls = count_class_encodings(learner, monkeypatch)
    train(learner, *batch(small_clip), steps=4, rate=0.1)
    assert len(calls) == runs  # four of the learned prompts, and the teacher's


def test_no_teacher_is_encoded_without_the_hierarchical_loss(
    small_clip: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = lamm(small_clip, hierarchical_loss=False)
    calls = count_class_encodings(learner, monkeypatch)
    train(learner, *batch(small_clip), steps=3, rate=0.1)
    assert len(calls) == 3


def test_the_prompt_teacher_follows_the_context(small_clip: ClipModel) -> None:
    learner = coop_lamm(small_clip, teacher="prompt")
    before = learner.teacher_features().detach()
    with torch.no_grad():
        learner.ctx.mul_(-1)
    assert not torch.allclose(learner.teacher_features(), before, atol=1e-3)
    base = coop(small_clip)
    with torch.no_grad():
        base.ctx.copy_(learner.ctx)
    torch.testing.assert_close(learner.teacher_features(), base.text_features(), atol=1e-6, rtol=1e-6)


def test_the_prompt_teachers_feature_is_detached_in_the_feature_loss(small_clip: ClipModel) -> None:
    learner = coop_lamm(small_clip, teacher="prompt")
    with torch.no_grad():
        learner.label_embeddings.mul_(-1)
    learned = learner.text_features()[0]
    target = learner.teacher_features()[0].detach()
    (expected,) = torch.autograd.grad((1 - (learned * target).sum(dim=-1)).mean(), learner.ctx)
    (got,) = torch.autograd.grad(loss_parts(learner, *batch(small_clip))["loss_cos"], learner.ctx)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)


def test_the_prompt_teachers_logits_are_not_detached_in_the_logits_loss(small_clip: ClipModel) -> None:
    learner = coop_lamm(small_clip, teacher="prompt")
    with torch.no_grad():
        learner.label_embeddings.mul_(-1)
    images, labels = batch(small_clip)

    def gradient(detached: bool) -> torch.Tensor:
        scores = [20 * images @ text[0].T for text in (learner.text_features(), learner.teacher_features())]
        s, o = scores[0], scores[1].detach() if detached else scores[1]
        kd = -(F.softmax(s / 2, dim=-1) * F.log_softmax(o / 2, dim=-1)).sum(dim=-1).mean() * 4
        return torch.autograd.grad(0.05 * kd, learner.ctx)[0]

    (got,) = torch.autograd.grad(loss_parts(learner, images, labels)["loss_kd"], learner.ctx)
    torch.testing.assert_close(got, gradient(detached=False), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(got, gradient(detached=True), atol=1e-4)


# The knobs.


def test_each_part_is_weighted_by_its_knob(small_clip: ClipModel) -> None:
    images, labels = batch(small_clip)
    parts = []
    for knobs in ({}, {"lambda_wc": 0.7, "lambda_cos": 3.0, "lambda_kd": 0.5}):
        learner = lamm(small_clip, **knobs)
        with torch.no_grad():
            learner.label_embeddings.mul_(-1)
        parts.append({name: part.item() for name, part in loss_parts(learner, images, labels, shots=4).items()})
    plain, weighted = parts
    wc = hierarchical_loss.parameter_loss(
        learner.label_embeddings.detach().double().numpy(), learner.initial_embeddings.double().numpy()
    )
    assert plain["loss_wc"] == pytest.approx(wc / 4, rel=1e-5)
    assert weighted["loss_wc"] == pytest.approx(0.7 * wc, rel=1e-5)
    assert weighted["loss_cos"] == pytest.approx(3 * plain["loss_cos"], rel=1e-5)
    assert weighted["loss_kd"] == pytest.approx(10 * plain["loss_kd"], rel=1e-5)
    assert weighted["loss_ce"] == pytest.approx(plain["loss_ce"], rel=1e-5)


def test_the_bounds_of_the_text_side_reach_whatever_encodes_it(small_clip: ClipModel) -> None:
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.merge_from_list(["TRAINER.TEXT_CHUNK", 3, "TRAINER.TEXT_MEMORY", 7])
    learner = LAMMLearner.from_config(cfg, small_clip, NAMES)
    learner.encode_with(SharedOutTextEncoder(learner.text_encoder, Ranks(0, 2, 2)))
    assert learner.text_encoder.chunks == Chunks(3, 7)
    for key in ("TEXT_CHUNK", "TEXT_MEMORY"):
        with pytest.raises(ConfigError, match=f"TRAINER.{key} must be 0 or above"):
            learner.encode_in_chunks(*((-1, 0) if key == "TEXT_CHUNK" else (0, -1)))


def test_a_fresh_learner_is_at_its_anchor(small_clip: ClipModel) -> None:
    parts = loss_parts(lamm(small_clip), *batch(small_clip))
    assert parts["loss_wc"].item() == 0
    assert parts["loss_cos"].item() == pytest.approx(0, abs=1e-6)


def test_shots_of_a_fraction_weigh_the_parameter_loss_all_the_same(small_clip: ClipModel) -> None:
    learner = lamm(small_clip)
    with torch.no_grad():
        learner.label_embeddings[0, 0] += 1
    assert loss_parts(learner, *batch(small_clip), shots=2.5)["loss_wc"].item() == pytest.approx(0.4)


def test_words_decide_on_the_number_of_context_vectors_and_the_log_says_so(
    small_clip: ClipModel, log_lines: list[str]
) -> None:
    learner = CoOpLearner(small_clip, NAMES, n_ctx=16, context_init="a_photo_of_a")
    assert learner.ctx.shape == (4, 32)
    assert 'N_CTX is 16, but CTX_INIT "a photo of a" has 4 sub-tokens: those count' in log_lines


# What is refused.


def test_class_specific_context_has_no_words(small_clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match='CSC gives each class random vectors, so CTX_INIT "a photo of a"'):
        CoOpLearner(small_clip, NAMES, context_init=WORDS, class_specific=True)


@pytest.mark.parametrize("variant", ["middle", "front"])
def test_released_labels_need_the_class_at_the_end(variant: str, small_clip: ClipModel) -> None:
    with pytest.raises(PromptError, match='"released" needs CLASS_TOKEN_POSITION "end"'):
        coop_lamm(small_clip, variant=variant, label_tokens="released")


def test_an_unknown_position_suggests_the_nearest(small_clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match='unknown CLASS_TOKEN_POSITION "midle"; did you mean "middle"'):
        CoOpLearner(small_clip, NAMES, position="midle")


def test_a_context_of_nothing_is_refused(small_clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match="N_CTX is 0: without CTX_INIT at least one context vector"):
        CoOpLearner(small_clip, NAMES, n_ctx=0)


@pytest.mark.parametrize(
    ("key", "value", "nearest"),
    [
        ("label_tokens", "names", "name"),
        ("label_init", "word", "words"),
        ("kd_direction", "papers", "paper"),
        ("cos_over", "class", "classes"),
        ("teacher", "promt", "prompt"),
    ],
)
def test_an_unknown_value_suggests_the_nearest(key: str, value: str, nearest: str) -> None:
    message = f'unknown value of TRAINER.LAMM.{key.upper()} "{value}"; did you mean "{nearest}"'
    with pytest.raises(ConfigError, match=message):
        AlignmentSettings(**{key: value})


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    with pytest.raises(ConfigError, match="KD_TEMPERATURE must be above 0"):
        AlignmentSettings(kd_temperature=temperature)


def test_context_vectors_without_words_count_against_the_77_positions(small_clip: ClipModel) -> None:
    names = ["cat", " ".join(["dog"] * 60)]
    CoOpLearner(small_clip, names, n_ctx=14)  # start + 14 + 60 + full stop + end = 77
    with pytest.raises(PromptError, match=r"dog dog.*: shorten the name"):
        CoOpLearner(small_clip, names, n_ctx=15)


def test_a_checkpoint_of_another_backbone_is_refused(small_model: Any, small_clip: ClipModel) -> None:
    other = wrap_clip(small_model, "other")
    message = "file was trained with backbone other, this run uses small"
    with pytest.raises(CheckpointError, match=message):
        load_learned(lamm(small_clip), lamm(other).state_dict(), "file")


@pytest.mark.parametrize(("saved", "loaded"), [(coop, lamm), (lamm, coop), (coop_lamm, lamm), (coop, coop_lamm)])
def test_a_checkpoint_of_another_method_is_refused(saved: Any, loaded: Any, small_clip: ClipModel) -> None:
    learner = loaded(small_clip)
    before = {name: value.clone() for name, value in learner.named_parameters()}
    with pytest.raises(CheckpointError, match="file holds .*, but this learner has .*: it was made by another method"):
        load_learned(learner, saved(small_clip).state_dict(), "file")
    assert all(torch.equal(value, before[name]) for name, value in learner.named_parameters())


@pytest.mark.parametrize("names", [NAMES, ["owl", "german_shepherd"]])
def test_a_checkpoint_with_other_label_tokens_is_refused(names: list[str], small_clip: ClipModel) -> None:
    with pytest.raises(CheckpointError, match="LABEL_TOKENS|use the settings"):
        load_learned(lamm(small_clip, names), lamm(small_clip, label_tokens="single").state_dict(), "file")


def test_a_released_checkpoint_does_not_pass_for_a_single_one(small_clip: ClipModel) -> None:
    # Both have one vector a class here, but a `released` vector is the first sub-token of its name alone.
    with pytest.raises(CheckpointError, match="LABEL_TOKENS"):
        load_learned(
            lamm(small_clip, label_tokens="single"), lamm(small_clip, label_tokens="released").state_dict(), "file"
        )


def test_another_number_of_context_vectors_is_refused(small_clip: ClipModel) -> None:
    with pytest.raises(CheckpointError, match=r'"ctx" is \(3, 32\), this learner takes \(4, 32\)'):
        load_learned(coop(small_clip), coop(small_clip, variant="random").state_dict(), "file")
