"""Which products a step needs, by closed forms, and the plain ones that they are compared with."""

from collections import Counter

import pytest
import torch

from lamm.benchmark.comparison import (
    MatrixProducts,
    Product,
    Products,
    needed_products,
    operations,
    seconds_by_themselves,
)
from lamm.benchmark.steps import TrainingStep
from lamm.clip.model import ClipModel
from tests.trainers.learner_cases import coop, lamm, maple

FP32 = torch.float32


def step_of(learner: torch.nn.Module, **options: bool) -> TrainingStep:
    return TrainingStep(learner, torch.optim.SGD(learner.parameters(), lr=0.1), 4, "fp32", **options)


def test_products_are_counted_by_shape_in_both_directions() -> None:
    a, b = torch.randn(30, 40, requires_grad=True), torch.randn(40, 50)
    with MatrixProducts() as seen:
        (a @ b).sum().backward()
        torch.nn.functional.linear(a.detach(), torch.randn(20, 40), torch.randn(20))
        torch.randn(7, 3, 4) @ torch.randn(7, 4, 5)
    expected = {(0, 30, 40, 50): 1, (0, 30, 50, 40): 1, (0, 30, 40, 20): 1, (7, 3, 4, 5): 1}
    assert seen.products == Counter({Product(*shape, FP32): times for shape, times in expected.items()})
    assert operations(seen.products) == pytest.approx(2e-9 * (2 * 30 * 40 * 50 + 30 * 40 * 20 + 7 * 3 * 4 * 5))


def test_a_frozen_layer_needs_one_product_forward_and_one_backward(small_clip: ClipModel) -> None:
    step = step_of(lamm(small_clip), cached=True)
    step.text_side()  # encodes the teacher and the frozen prefix
    products = needed_products(step)
    blocks, width = len(small_clip.text.blocks), small_clip.text.width
    rows = int((step.learner.labels().end + 1).sum())
    whole = blocks - 1  # in the last block only the end tokens pass the MLP
    assert products[Product(0, rows, width, 4 * width, FP32)] == 2 * whole
    assert products[Product(0, rows, 4 * width, width, FP32)] == 2 * whole


@pytest.mark.parametrize("build", [lamm, coop])
def test_what_chunks_encode_again_is_not_counted(small_clip: ClipModel, build: object) -> None:
    def found(chunk: int) -> float:
        learner = build(small_clip)  # type: ignore[operator]
        learner.encode_in_chunks(chunk)
        step = step_of(learner, cached=True)
        step.text_side()
        return operations(needed_products(step))

    assert found(2) == pytest.approx(found(0), rel=0.02)


def test_a_frozen_tower_counts_forward_and_a_prompted_one_in_both_directions(small_clip: ClipModel) -> None:
    blocks, width = small_clip.vision_sizes.layers, small_clip.vision_sizes.width
    for learner, directions in ((lamm(small_clip), 1), (maple(small_clip), 2)):
        step = step_of(learner)
        step.whole()
        found = needed_products(step)
        wide = [times for shape, times in found.items() if {shape.k, shape.n} == {width, 4 * width} and shape.m > width]
        narrow = [times for shape, times in found.items() if (shape.k, shape.n) == (width, 3 * width)]
        assert sum(narrow) >= blocks
        assert sum(wide) == 2 * blocks * directions


def test_the_time_by_themselves_grows_with_how_often_they_come() -> None:
    once: Products = Counter({Product(0, 200, 300, 400, FP32): 1, Product(6, 20, 30, 40, torch.bfloat16): 1})
    often: Products = Counter(dict.fromkeys(once, 1000))
    cpu = torch.device("cpu")
    assert seconds_by_themselves(often, cpu) > 10 * seconds_by_themselves(once, cpu) > 0
