"""What becomes of classes: gains, confusions, movement of the labels, images that changed sides."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lamm.report.comparison import Comparer, Comparison
from lamm.report.drawings import label_movement, project
from lamm.report.panels import class_gains, confusions
from lamm.report.thumbnails import Pictures, thumbnails
from lamm.results.run_files import ClassFeatures, Prediction, write_predictions
from tests.report.report_runs import CLASSES, LABELS, LEARNED, ZERO_SHOT, RunTree


def compare(tree: RunTree, shots: int = 16) -> Comparison:
    material = tree.material()
    curve = next(curve for curve in material.curves["digits"] if curve.trainer == "LAMM")
    return Comparer(material).compare("digits", curve, shots)


def test_the_gain_of_a_class_is_the_difference_of_its_accuracies(demo: RunTree) -> None:
    gains = class_gains(compare(demo))
    assert gains is not None
    for one in gains.shown:
        places = [place for place, label in enumerate(LABELS) if CLASSES[label] == one.name]
        before = np.mean([ZERO_SHOT[place] == LABELS[place] for place in places])
        after = np.mean([[said[place] == LABELS[place] for place in places] for said in LEARNED.values()])
        assert (one.images, one.before, one.after) == (
            len(places),
            pytest.approx(100 * before),
            pytest.approx(100 * after),
        )
        assert one.gain == pytest.approx(100 * (after - before))
    assert [one.name for one in gains.shown] == ["wall arrow", "zebra star", "onion star"]  # +50, +37.5, −37.5
    assert (gains.classes, gains.better, gains.worse) == (3, 2, 1)


def test_of_many_classes_those_that_gained_and_lost_most_are_shown(tree: RunTree) -> None:
    names = [f"class {number}" for number in range(100)]
    labels = list(range(100))
    tree.full_run(labels, [0] * 50 + labels[50:], names, trainer="ZeroshotCLIP", cfg="tiny")  # 50 … 99 and 0 are right
    tree.full_run(labels, labels[:60] + [0] * 40, names)  # 0 … 59
    gains = class_gains(compare(tree), most=20)
    assert gains is not None
    assert [one.gain for one in gains.shown] == [100.0] * 10 + [-100.0] * 10
    assert (gains.classes, gains.better, gains.worse) == (100, 49, 40)


def test_confusions_are_counted_as_a_loop_counts_them(demo: RunTree) -> None:
    found = confusions(compare(demo))
    assert found is not None
    after: dict[tuple[str, str], float] = {}
    for said in LEARNED.values():
        for label, predicted in zip(LABELS, said, strict=True):
            if label != predicted:
                pair = CLASSES[label], CLASSES[predicted]
                after[pair] = after.get(pair, 0) + 1 / len(LEARNED)
    assert {(one.name, one.said): one.after for one in found.after} == pytest.approx(after)
    assert found.mistakes_after == pytest.approx(sum(after.values()))
    assert [(one.name, one.said, one.before) for one in found.before] == [
        ("zebra star", "onion star", 2),
        ("wall arrow", "zebra star", 1),
    ]
    assert found.mistakes_before == 3
    assert [one.after for one in found.before] == [0.5, 0.0]


def test_no_zero_shot_run_is_said_with_the_command_that_makes_one(tree: RunTree) -> None:
    tree.full_run(LABELS, LEARNED[1])
    comparison = compare(tree)
    assert comparison.before is None
    assert class_gains(comparison) is None
    assert thumbnails(comparison, "", Pictures()) is None
    assert "python train.py --trainer ZeroshotCLIP --dataset digits" in comparison.missing[0]
    found = confusions(comparison)
    assert found is not None
    assert found.mistakes_before is None


def test_a_class_that_zero_shot_alone_says_has_a_name(tree: RunTree) -> None:
    for folder in (
        tree.full_run([0, 0, 1, 1], [0, 0, 1, 1]),
        tree.full_run([0, 0, 1, 1], [0, 7, 1, 1], trainer="ZeroshotCLIP", cfg="tiny"),
    ):
        for name in ("classes.json", "class_features.safetensors"):
            (folder / name).unlink()
    found = confusions(compare(tree))
    assert found is not None
    assert [(one.name, one.said, one.before) for one in found.before] == [("class 0", "class 7", 1)]


@pytest.mark.parametrize("changes", [{"backbone": "RN50"}, {"names": ["other", "classes", "here"]}])
def test_zero_shot_of_another_kind_is_not_compared_with(tree: RunTree, changes: dict) -> None:
    tree.full_run(LABELS, LEARNED[1])
    tree.full_run(LABELS, ZERO_SHOT, trainer="ZeroshotCLIP", cfg="tiny", **changes)
    assert compare(tree).before is None


def test_zero_shot_on_other_images_is_not_compared_with(tree: RunTree) -> None:
    tree.full_run(LABELS, LEARNED[1])
    tree.full_run(LABELS[:-1], ZERO_SHOT[:-1], trainer="ZeroshotCLIP", cfg="tiny")
    assert compare(tree).before is None


def test_predictions_that_contradict_the_result_are_left_out(demo: RunTree) -> None:
    folder = demo.output / "digits/shots_16/LAMM/tiny_ep50/seed2"
    write_predictions(folder, [Prediction(f"digits/{place}.png", label, 0, 0.5) for place, label in enumerate(LABELS)])
    comparison = compare(demo)
    assert [said.run.seed for said in comparison.after] == [1]
    assert "predictions.csv comes to 40.00 %, its result says 70.00" in comparison.missing[0]


def test_runs_without_predictions_say_so(demo: RunTree) -> None:
    comparison = compare(demo, shots=1)
    assert comparison.after == []
    assert all("has no predictions.csv" in line for line in comparison.missing)
    assert confusions(comparison) is None


def test_the_projection_keeps_distances_of_what_is_flat() -> None:
    plane = torch.linalg.qr(torch.randn(16, 2, generator=torch.Generator().manual_seed(0)))[0].numpy()
    flat = np.random.default_rng(0).normal(size=(10, 2))
    original, learned, variance = project(flat[:5] @ plane.T, flat[5:] @ plane.T)
    placed = np.concatenate([original, learned])
    between = np.linalg.norm(placed[:, None] - placed[None], axis=2)
    assert between == pytest.approx(np.linalg.norm(flat[:, None] - flat[None], axis=2), abs=1e-6)
    assert variance == pytest.approx(1.0)


def test_features_that_are_all_alike_can_be_projected() -> None:
    original, learned, variance = project(np.ones((3, 4)), np.ones((3, 4)))
    assert not original.any()
    assert not learned.any()
    assert variance == 1.0


def test_the_drawing_names_the_classes_that_moved_most() -> None:
    angles = torch.tensor([0.0, 0.1, 0.9, 0.4])
    original = torch.tensor([1.0, 0.0]).repeat(4, 1)
    learned = torch.stack([angles.cos(), angles.sin()], dim=1)
    names = ["still", 'a "<b>&', "far", "near"]
    movement = label_movement(ClassFeatures(names, learned, original), "p7")
    assert [name for name, _ in movement.farthest] == ["far", "near", 'a "<b>&', "still"]
    assert [distance for _, distance in movement.farthest] == pytest.approx(
        [1 - np.cos(x) for x in (0.9, 0.4, 0.1, 0)], abs=1e-6
    )
    assert movement.mean == pytest.approx(np.mean(1 - np.cos(angles.numpy())))
    assert "<title>far: moved by 0.378</title>" in movement.svg  # 1 − cos 0.9
    assert "<b>" not in movement.svg
    assert 'id="p7-' in movement.svg


def test_of_thousands_of_classes_few_are_drawn() -> None:
    features = torch.nn.functional.normalize(torch.randn(3000, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    movement = label_movement(ClassFeatures([f"c{n}" for n in range(3000)], features, features.roll(1, 0)), "p")
    assert (movement.classes, movement.drawn) == (3000, 60)
    assert len(movement.svg) < 100_000


def test_thumbnails_are_the_images_that_changed_sides(demo: RunTree) -> None:
    found = thumbnails(compare(demo), str(demo.data), Pictures())
    assert found is not None
    assert {(one.image, one.name, one.before, one.after) for one in found.mended} == {
        ("digits/0.png", "zebra star", "onion star", "zebra star"),
        ("digits/1.png", "zebra star", "onion star", "zebra star"),
        ("digits/8.png", "wall arrow", "zebra star", "wall arrow"),
    }
    assert [(one.image, one.name, one.after) for one in found.broken] == [("digits/6.png", "onion star", "zebra star")]
    assert (found.all_mended, found.all_broken, found.unreadable) == (3, 1, "")


def test_each_class_has_its_turn_before_any_has_a_second(demo: RunTree) -> None:
    found = thumbnails(compare(demo), str(demo.data), Pictures(), most=2)
    assert found is not None
    assert [one.name for one in found.mended] == ["wall arrow", "zebra star"]
    assert found.all_mended == 3


def test_a_thumbnail_holds_the_picture(demo: RunTree) -> None:
    found = thumbnails(compare(demo), str(demo.data), Pictures())
    assert found is not None
    (one,) = found.broken
    head, content = one.data.split(",")
    assert head.startswith("data:image/")
    assert one.small
    picture = Image.open(BytesIO(base64.b64decode(content))).convert("RGB")
    assert picture.size == (32, 32)
    assert picture.getpixel((5, 5)) == (0, 128, 0)  # "green", of the second class


def test_photos_become_small(tmp_path: Path) -> None:
    Image.new("RGB", (800, 400), "navy").save(tmp_path / "photo.jpg")
    data, small = Pictures().of(tmp_path / "photo.jpg")
    assert not small
    assert Image.open(BytesIO(base64.b64decode(data.split(",")[1]))).size == (96, 48)


def test_images_that_are_gone_or_damaged_say_so(demo: RunTree) -> None:
    (demo.data / "digits/6.png").unlink()
    (demo.data / "digits/8.png").write_bytes(b"no picture")
    found = thumbnails(compare(demo), str(demo.data), Pictures())
    assert found is not None
    assert [one.data for one in found.broken] == [""]
    assert "2 of these images can't be read" in found.unreadable
