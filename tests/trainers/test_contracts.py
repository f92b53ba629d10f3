"""What holds for every prompt learner, with and without label alignment."""

import io
import itertools
from typing import Any

import pytest
import torch
from lamm_trainers.checkpoints import load_learned
from learner_cases import ALIGNED, FRESH, LEARNERS, NAMES, WORDS, batch, lamm, loss_parts, train
from reference import whole_prompt as reference
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.errors import CheckpointError


@pytest.fixture(params=LEARNERS)
def build(request: pytest.FixtureRequest) -> Any:
    return LEARNERS[request.param]


@pytest.fixture(params=ALIGNED)
def build_aligned(request: pytest.FixtureRequest) -> Any:
    return ALIGNED[request.param]


@pytest.fixture(params=FRESH)
def pair(request: pytest.FixtureRequest) -> Any:
    return FRESH[request.param]


@torch.no_grad()
def features(learner: Any) -> Tensor:
    return learner.text_features()


def disturb(learner: Any) -> Any:
    """Moves every learned tensor."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return learner


def test_fresh_lamm_equals_zero_shot_clip(small_model: Any, small_clip: ClipModel) -> None:
    texts = [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES]
    expected = reference.encode_texts(small_model, texts)
    torch.testing.assert_close(features(lamm(small_clip))[0], expected, atol=1e-6, rtol=1e-6)


def test_a_fresh_aligned_learner_equals_its_base(pair: Any, small_clip: ClipModel) -> None:
    aligned, base = pair
    got, expected = features(aligned(small_clip)), features(base(small_clip))
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


def test_a_disabled_learner_is_its_base(pair: Any, small_clip: ClipModel) -> None:
    aligned, base = pair
    disabled, expected = aligned(small_clip, enabled=False), base(small_clip)
    assert torch.equal(features(disabled), features(expected))
    assert disabled.state_dict().keys() == expected.state_dict().keys()
    assert disabled.get_extra_state() == expected.get_extra_state()
    images, labels = batch(small_clip)
    assert set(loss_parts(disabled, images, labels)) == {"loss_ce"}
    assert disabled.label_bank() is None


def test_a_disabled_learner_takes_its_bases_checkpoint(pair: Any, small_clip: ClipModel) -> None:
    aligned, base = pair
    trained = disturb(base(small_clip))
    disabled = aligned(small_clip, enabled=False)
    load_learned(disabled, trained.state_dict(), "file")
    assert torch.equal(features(disabled), features(trained))


def test_without_the_hierarchical_loss_the_cross_entropy_is_left(build_aligned: Any, small_clip: ClipModel) -> None:
    learner = build_aligned(small_clip, hierarchical_loss=False)
    assert set(loss_parts(learner, *batch(small_clip))) == {"loss_ce"}


def test_only_the_declared_parameters_get_gradients(request: Any, build: Any, small_clip: ClipModel) -> None:
    learner = build(small_clip)
    name = request.node.callspec.params["build"]
    declared = {"ctx"} if name.startswith("CoOp") else set()
    declared |= {"label_embeddings"} if "LAMM" in name else set()
    # The loss is flat where the labels equal their teacher, so they are moved first.
    sum(loss_parts(disturb(learner), *batch(small_clip)).values()).backward()
    assert {name for name, _ in learner.named_parameters()} == declared
    assert all(parameter.grad.abs().sum() > 0 for parameter in learner.parameters())
    assert not any(weight.requires_grad for weight in small_clip.parameters())
    assert all(weight.grad is None for weight in small_clip.parameters())


def test_training_changes_no_weight_of_clip(build: Any, small_clip: ClipModel) -> None:
    before = {name: value.clone() for name, value in small_clip.state_dict().items()}
    train(build(small_clip), *batch(small_clip), steps=2, rate=0.1)
    assert all(torch.equal(value, before[name]) for name, value in small_clip.state_dict().items())


def test_the_loss_falls_over_twenty_steps(build: Any, small_clip: ClipModel) -> None:
    images, _ = batch(small_clip)
    curve = [step["loss"] for step in train(build(small_clip), images, torch.tensor([0, 1, 2, 3, 1, 2]), 20, 0.02)]
    assert curve[-1] < curve[0] - 0.01
    assert all(later <= earlier + 0.01 for earlier, later in itertools.pairwise(curve))


def test_saving_and_loading_is_the_identity(build: Any, small_clip: ClipModel) -> None:
    trained = disturb(build(small_clip))
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    for load in (lambda learner: load_learned(learner, state, "file"), lambda learner: learner.load_state_dict(state)):
        learner = build(small_clip)
        assert not torch.equal(features(learner), features(trained))
        load(learner)
        assert torch.equal(features(learner), features(trained))


def test_a_checkpoint_holds_learned_tensors_and_the_class_names_alone(build: Any, small_clip: ClipModel) -> None:
    learner = build(small_clip)
    state = learner.state_dict()
    extra = state.pop("_extra_state")
    assert set(state) == {name for name, _ in learner.named_parameters()}
    assert (extra["class_names"], extra["backbone"]) == (NAMES, "small")
    assert not any(isinstance(value, Tensor) for value in extra.values())
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    numbers = sum(4 * value.numel() for value in learner.parameters())
    assert file.tell() <= numbers + 4096  # the container of a checkpoint of two tensors and five names


def test_the_anchor_of_a_random_label_is_its_original_embedding(
    build_aligned: Any, small_model: Any, small_clip: ClipModel
) -> None:
    learner = build_aligned(small_clip, label_init="random")
    words = build_aligned(small_clip)
    assert torch.equal(learner.initial_embeddings, words.initial_embeddings)
    assert torch.equal(words.label_embeddings, words.initial_embeddings)
    assert not torch.equal(learner.label_embeddings, learner.initial_embeddings)
    wide = lamm(small_clip, [f"cat number {number}" for number in range(60)], label_init="random").label_embeddings
    assert wide.std().item() == pytest.approx(0.02, rel=0.05)
    assert wide.mean().item() == pytest.approx(0, abs=0.001)


def test_moving_one_classs_label_leaves_the_features_of_the_others_as_they_were(small_clip: ClipModel) -> None:
    learner = lamm(small_clip)
    before = features(learner)[0]
    with torch.no_grad():
        learner.label_embeddings[-1] *= -1  # the last class has one sub-token
    after = features(learner)[0]
    assert torch.equal(after[:-1], before[:-1])
    assert not torch.allclose(after[-1], before[-1], atol=1e-3)


def test_the_learned_labels_as_a_bank_are_the_learned_vectors(build_aligned: Any, small_clip: ClipModel) -> None:
    learner = disturb(build_aligned(small_clip))
    bank = learner.label_bank()
    assert (bank.class_names, bank.backbone) == (NAMES, "small")
    assert torch.equal(bank.embeddings, learner.label_embeddings)
    assert sum(bank.counts) == len(bank.embeddings)


@pytest.mark.parametrize("name", [name for name in LEARNERS if "csc" not in name and "released" not in name])
def test_a_checkpoint_goes_onto_another_class_list_by_name(
    name: str, small_clip: ClipModel, log_lines: list[str]
) -> None:
    trained = disturb(LEARNERS[name](small_clip))
    others = ["owl", "car (red)", "crane"]
    learner = LEARNERS[name](small_clip, others)
    fresh_labels = getattr(learner, "label_embeddings", torch.zeros(0)).detach().clone()
    load_learned(learner, trained.state_dict(), "file")
    got = features(learner)[0]
    expected = features(trained)[0]
    torch.testing.assert_close(got[1], expected[3], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(got[2], expected[0], atol=1e-6, rtol=1e-5)
    if "LAMM" in name:
        assert torch.equal(learner.label_embeddings[0], fresh_labels[0])
        assert any("2 learned, 1 unknown" in line for line in log_lines)


@pytest.mark.parametrize("name", ["CoOp-csc", "CoOp_LAMM-csc-name"])
@pytest.mark.parametrize("others", [[*NAMES[1:], NAMES[0]], ["owl", "bee", "emu", "elk", "cow"]], ids=["moved", "new"])
def test_class_specific_context_never_goes_to_a_class_of_another_name(
    name: str, others: list[str], small_clip: ClipModel
) -> None:
    trained = disturb(LEARNERS[name](small_clip))
    learner = LEARNERS[name](small_clip, others)
    try:
        load_learned(learner, trained.state_dict(), "file")
    except CheckpointError:
        return  # refusing is right too
    for other, context in zip(others, learner.ctx, strict=True):
        sources = {own for own, vectors in zip(NAMES, trained.ctx, strict=True) if torch.equal(vectors, context)}
        assert sources <= {other}
