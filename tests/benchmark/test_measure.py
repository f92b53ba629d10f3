"""What the benchmark measures, by closed forms and in turns; the original code's path by the reference; its figure."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lamm_trainers.maple import MaPLeLearner
from PIL import Image

from lamm.benchmark import tower
from lamm.benchmark.comparison import Row, compare_ways, draw_cost, needed_products
from lamm.benchmark.decoding import REFERENCE, ways, write_photos
from lamm.benchmark.measure import (
    MatrixProducts,
    PeakMemory,
    Product,
    Products,
    Traffic,
    operations,
    operations_of,
    peak_megabytes,
    seconds_by_themselves,
    side_by_side,
)
from lamm.benchmark.steps import OriginalEncoder, TrainingStep, WholeTowerStep, class_names
from lamm.clip.loading import untrained_clip
from lamm.clip.model import ClipModel
from lamm.engine import get_cfg_default
from lamm.errors import ResultsError
from tests.reference import whole_prompt as reference
from tests.trainers.learner_cases import coop, lamm, maple, top_lamm


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

    assert peak_megabytes(call) == pytest.approx(6)
    with PeakMemory() as memory:
        call()
    assert memory.held == 0


def test_views_of_what_was_there_before_take_no_memory() -> None:
    old, moving = torch.zeros(1000, 1000), torch.ones(1, 1000, requires_grad=True)
    # Only the product, its sum, and the gradients of these two are made.
    peak = peak_megabytes(lambda: (moving @ old.t()).sum().backward()) * 2**20
    assert peak <= 4 * (3 * 1000 + 10)


def test_chunks_bound_the_peak_of_a_training_step(small_clip: ClipModel) -> None:
    learner = coop(small_clip, class_names(small_clip.tokenizer, 200))
    step = TrainingStep(learner, torch.optim.SGD(learner.parameters(), lr=0.1), 4, "fp32")
    peaks = {}
    for chunk in (0, 10):
        learner.encode_in_chunks(chunk, 1e-9)
        step.text_side()
        peaks[chunk] = peak_megabytes(step.text_side)
    assert peaks[10] < peaks[0] / 4


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


def test_what_other_operators_read_and_write_is_counted() -> None:
    a, row = torch.randn(30, 40), torch.randn(40)
    with Traffic() as traffic:
        (a @ a.T).relu_()  # reads and writes 30 × 30
        a.view(40, 30).t() + row[:30, None].expand(30, 40)  # reads 1,200 and 30, writes 1,200
        torch.empty(1000)
    assert traffic.bytes == 4 * (2 * 900 + 1200 + 30 + 1200)


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
        learner.encode_in_chunks(chunk, 1e-9)
        step = step_of(learner, cached=True)
        step.text_side()
        return operations(needed_products(step))

    assert found(2) == pytest.approx(found(0), rel=0.02)


def test_a_frozen_tower_counts_forward_and_a_prompted_one_in_both_directions(small_clip: ClipModel) -> None:
    (width, layers), batch, patches = small_clip.vision_sizes, 4, 4 * 4
    for learner, directions, prompts in ((lamm(small_clip), 1, 0), (maple(small_clip), 2, 2)):
        step = step_of(learner)
        step.whole()
        found = needed_products(step)
        positions = batch * (1 + patches + prompts)
        for one, other in ((width, 4 * width), (4 * width, width)):
            assert found[Product(0, positions, one, other, FP32)] == (layers - 1) * directions
            assert found[Product(0, batch, one, other, FP32)] == directions  # of the last block only the class token
        assert found[Product(0, positions, width, 3 * width, FP32)] == layers - 1
        assert found[Product(0, positions, width, 2 * width, FP32)] == 1  # keys and values, which all positions have


def test_the_time_by_themselves_grows_with_how_often_they_come() -> None:
    once: Products = Counter({Product(0, 200, 300, 400, FP32): 1, Product(6, 20, 30, 40, torch.bfloat16): 1})
    often: Products = Counter(dict.fromkeys(once, 1000))
    cpu = torch.device("cpu")
    assert seconds_by_themselves(often, cpu) > 10 * seconds_by_themselves(once, cpu) > 0


def row(classes: int, plain_classes: int) -> Row:
    columns = ("step_fast_s", "step_plain_s", "peak_fast_mb", "peak_plain_mb")
    named = {"trainer": "LAMM", "precision": "bf16", "cached": True, "classes": classes, "plain_classes": plain_classes}
    return {**dict.fromkeys(columns, float(classes)), **named}


def test_the_figure_is_written_and_names_its_lines(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw_cost([row(10, 10), row(100, 100), row(1000, 100)], tmp_path / "cost.svg")
    text = (tmp_path / "cost.svg").read_text()
    for said in ("LAMM, bf16, cached", "LAMM, plain path", "classes", "seconds per training step", "1,000"):
        assert f"<!-- {said} -->" in text


def test_an_unknown_format_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ResultsError, match="cost.xyz"):
        draw_cost([row(10, 10)], tmp_path / "cost.xyz")
    assert not list(tmp_path.iterdir())


def spin(amount: int) -> float:
    return sum(range(amount))


def test_ratio_difference_and_equality_are_those_to_the_first_way():
    def slow(value):
        spin(400_000)
        return torch.full((2,), value) + torch.rand(2)

    def quick(value):
        spin(100_000)
        return torch.full((2,), value) + torch.rand(2)

    def other(value):
        return quick(value) + torch.tensor([0.0, value])

    rows = side_by_side({"slow": slow, "quick": quick, "other": other}, [1.0, 2.0], 5, torch.tensor(10.0)).T
    assert rows["slow"].ratio == 1
    assert 1.5 < rows["quick"].ratio < 10
    assert rows["quick"].equal
    assert not rows["other"].equal
    assert rows["other"].mean_difference == pytest.approx(7.5)
    assert rows["other"].largest_difference == pytest.approx(20)


def test_photos_are_the_same_at_every_call_and_differ_among_each_other(tmp_path):
    first = write_photos(tmp_path / "a", (120, 90), 2)
    again = write_photos(tmp_path / "b", (120, 90), 2)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    pictures = [np.asarray(Image.open(file)) for file in first]
    assert pictures[0].shape == (90, 120, 3)
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 10
    assert all(picture.std() > 10 for picture in pictures)


@pytest.mark.parametrize("is_train", [True, False])
def test_every_way_gives_about_the_image_of_the_reference(tmp_path, is_train):
    cfg = get_cfg_default()
    cfg.INPUT.update({"SIZE": (64, 64), "INTERPOLATION": "bicubic"})
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = [0.0] * 3, [1.0] * 3
    files = [str(file) for file in write_photos(tmp_path, (500, 400), 3)]
    rows = side_by_side(ways(cfg, is_train), files, 1, torch.tensor(255.0))
    assert rows.index[0] == REFERENCE
    assert rows.equal["exact"]
    assert len(rows) == 8
    assert (rows.mean_difference < 3).all()


def test_the_ways_to_tune_a_top_have_one_loss_and_are_compared_with_the_first(small_clip: ClipModel) -> None:
    learner = top_lamm(small_clip)
    with torch.no_grad():
        learner.label_embeddings.add_(0.1)
    optimizer = torch.optim.SGD(learner.parameters(), lr=0.0)
    ways = {
        "cached": TrainingStep(learner, optimizer, 4, "fp32", cached=True),
        "images": TrainingStep(learner, optimizer, 4, "fp32"),
        "whole": WholeTowerStep(learner, 1, 0.0, 4, "fp32"),
    }
    losses = [way.forward(way.image_features()).item() for way in ways.values()]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-3)  # cached tokens are fp16
    rows = compare_ways(ways, torch.device("cpu"), rounds=1)
    assert [row["way"] for row in rows] == list(ways)
    assert rows[0]["ratio"] == 1
    assert all(row["ratio"] == pytest.approx(row["step_s"] / rows[0]["step_s"]) for row in rows)
    assert all(row["peak_mb"] > 0 for row in rows)


def test_ways_to_encode_are_compared_and_one_that_is_not_here_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object) -> object:
        raise RuntimeError("no compiler\nat all")

    monkeypatch.setattr(torch, "compile", missing)
    monkeypatch.setattr(tower, "_onnxruntime", missing)
    monkeypatch.setattr(tower, "_openvino", missing)
    model = untrained_clip("tiny").eval()
    rows = {str(row["way"]): row for row in tower.compare_towers(model, "fp32", 3, 2, torch.device("cpu"))}
    assert rows["onnxruntime"]["problem"] == "RuntimeError: no compiler"
    assert rows[tower.PLAIN]["ratio"] == 1
    own = rows[tower.OURS]
    assert own["cosine"] == pytest.approx(1, abs=1e-5)
    assert own["ratio"] == pytest.approx(float(rows[tower.PLAIN]["ms"]) / float(own["ms"]))
    assert float(own["share"]) > 0
