"""What the benchmark measures with: operations and memory by closed forms, the original path by the reference."""

from typing import Any

import pytest
import torch
from lamm_trainers.maple import MaPLeLearner

from lamm.benchmark.measure import PeakMemory, operations_of, watch
from lamm.benchmark.steps import OriginalEncoder, TrainingStep, class_names
from lamm.clip.model import ClipModel
from tests.reference import whole_prompt as reference
from tests.trainers.learner_cases import coop, lamm

CPU = torch.device("cpu")


def test_operations_are_those_of_the_matrix_products() -> None:
    a, b = torch.randn(30, 40, requires_grad=True), torch.randn(40, 50)
    forward, backward = 2 * 30 * 40 * 50, 2 * 30 * 50 * 40
    assert operations_of(lambda: (a @ b).sum().backward()) == pytest.approx((forward + backward) / 1e9)


def test_the_peak_is_what_was_alive_at_one_time() -> None:
    megabyte = 2**18  # floats

    def call() -> None:
        first = torch.zeros(3 * megabyte)
        second = first + 1
        del first
        third = torch.zeros(2 * megabyte)
        del second, third

    assert watch(call, CPU).peak_mb == pytest.approx(6)
    with PeakMemory() as memory:
        call()
    assert memory.held == 0


def test_views_of_what_was_there_before_take_no_memory() -> None:
    old, moving = torch.zeros(1000, 1000), torch.ones(1, 1000, requires_grad=True)
    # Only the product, its sum, and the gradients of these two are made.
    peak = watch(lambda: (moving @ old.t()).sum().backward(), CPU).peak_mb * 2**20
    assert peak <= 4 * (3 * 1000 + 10)


def test_chunks_bound_the_peak_of_a_training_step(small_clip: ClipModel) -> None:
    learner = coop(small_clip, class_names(small_clip.tokenizer, 200))
    step = TrainingStep(learner, torch.optim.SGD(learner.parameters(), lr=0.1), 4, "fp32")
    peaks = {}
    for chunk in (0, 10):
        learner.encode_in_chunks(chunk)
        step.text_side()
        peaks[chunk] = watch(step.text_side, CPU).peak_mb
    assert peaks[10] < peaks[0] / 5


def test_names_have_the_numbers_of_sub_tokens_that_were_asked_for(small_clip: ClipModel) -> None:
    names = class_names(small_clip.tokenizer, 100)
    lengths = [len(small_clip.tokenizer.encode(name)) for name in names]
    assert lengths == [1 + number % 3 for number in range(100)]
    assert len(set(names)) == 100
    assert len(class_names(small_clip.tokenizer, 1000)) == 1000


@pytest.mark.parametrize("build", [lamm, coop])
def test_the_original_path_is_the_reference_at_77_positions(
    build: Any, small_model: Any, small_clip: ClipModel
) -> None:
    names = ["cat", "polar bear", "C++"]
    learner = build(small_clip, names)
    learner.encode_with(OriginalEncoder(small_model))
    with torch.no_grad():
        got = learner.text_features()[0]
    expected = reference.encode_texts(small_model, [f"a photo of a {name}." for name in names])
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)


def test_the_original_path_has_deep_prompts(small_model: Any, small_clip: ClipModel) -> None:
    torch.manual_seed(0)
    learner = MaPLeLearner(small_clip, ["cat", "polar bear"], prompt_depth=2)
    fast = learner.text_features()
    learner.encode_with(OriginalEncoder(small_model))
    plain = learner.text_features()
    torch.testing.assert_close(plain, fast, atol=1e-6, rtol=1e-5)
    parameters = [learner.ctx, *learner.compound_prompts_text]
    for one, other in zip(
        torch.autograd.grad(fast[..., 0].sum(), parameters),
        torch.autograd.grad(plain[..., 0].sum(), parameters),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_both_paths_take_the_same_step(small_model: Any, small_clip: ClipModel) -> None:
    steps = []
    for original in (False, True):
        learner = lamm(small_clip, teacher="prompt" if original else "clip")
        if original:
            learner.encode_with(OriginalEncoder(small_model))
        with torch.no_grad():
            learner.label_embeddings.mul_(1.1)
        optimizer = torch.optim.SGD(learner.parameters(), lr=0.1)
        step = TrainingStep(learner, optimizer, batch=4, precision="fp32", teacher_each_step=original)
        step.whole()
        steps.append(learner.label_embeddings.detach().clone())
    torch.testing.assert_close(*steps, atol=1e-6, rtol=1e-5)


def test_the_original_path_encodes_its_teacher_at_each_step(small_clip: ClipModel) -> None:
    calls = []
    for each in (False, True):
        learner = lamm(small_clip)
        step = TrainingStep(learner, torch.optim.SGD(learner.parameters(), lr=0.1), 4, "fp32", teacher_each_step=each)
        step.text_side()
        count = 0
        encode = learner.encode

        def counted(*arguments: Any, encode: Any = encode) -> Any:
            nonlocal count
            count += 1
            return encode(*arguments)

        learner.encode = counted
        step.text_side()
        calls.append(count)
    assert calls == [1, 2]
