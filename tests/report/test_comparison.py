"""What becomes of classes: gains, confused pairs, images that changed sides."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamm.report.comparison import (
    Comparer,
    Comparison,
    changed_images,
    class_gains,
    confusions,
    most_changed,
    most_frequent,
)
from lamm.report.panels import picture, with_pictures
from lamm.results.run_files import Prediction, write_predictions
from tests.report.report_runs import CLASSES, LABELS, LEARNED, ZERO_SHOT, RunTree


def compare(tree: RunTree, shots: int = 16) -> Comparison:
    material = tree.material()
    curves = material.curves
    points = curves[(curves.dataset == "digits") & (curves.trainer == "LAMM") & (curves.shots == shots)]
    return Comparer(material).compare(next(points.itertuples()))


def test_the_gain_of_a_class_is_the_difference_of_its_accuracies(demo: RunTree) -> None:
    gains = class_gains(compare(demo))
    assert gains is not None
    for one in gains.itertuples():
        places = [place for place, label in enumerate(LABELS) if CLASSES[label] == one.class_name]
        before = np.mean([ZERO_SHOT[place] == LABELS[place] for place in places])
        after = np.mean([[said[place] == LABELS[place] for place in places] for said in LEARNED.values()])
        assert (one.images, one.before, one.after) == (
            len(places),
            pytest.approx(100 * before),
            pytest.approx(100 * after),
        )
        assert one.gain == pytest.approx(100 * (after - before))
    assert list(gains.class_name) == ["wall arrow", "zebra star", "onion star"]  # +50, +37.5, −37.5


def test_a_class_without_test_images_is_listed_last_without_numbers(tree: RunTree) -> None:
    for trainer in ("ZeroshotCLIP", "LAMM"):
        tree.full_run([0, 0, 2], [0, 1, 2], CLASSES, trainer=trainer)
    gains = class_gains(compare(tree))
    assert gains is not None
    assert sorted(gains.class_name) == sorted(CLASSES)
    assert (gains.class_name.iloc[-1], gains.images.iloc[-1]) == (CLASSES[1], 0)
    assert gains[["before", "after", "gain"]].iloc[-1].isna().all()
    page = tree.page()
    row = page[page.index(f'title="no test images">{CLASSES[1]}') :].split("</tr>")[0]
    assert row.count("<td>–</td>") == 3


def test_of_many_classes_those_that_gained_and_lost_most_are_shown(tree: RunTree) -> None:
    names = [f"class {number}" for number in range(100)]
    labels = list(range(100))
    tree.full_run(labels, [0] * 50 + labels[50:], names, trainer="ZeroshotCLIP", cfg="tiny")  # 50 … 99 and 0 are right
    tree.full_run(labels, labels[:60] + [0] * 40, names)  # 0 … 59
    gains = class_gains(compare(tree))
    assert gains is not None
    assert list(most_changed(gains, most=20).gain) == [100.0] * 10 + [-100.0] * 10
    assert (len(gains), (gains.gain > 0).sum(), (gains.gain < 0).sum()) == (100, 49, 40)


def test_confusions_are_counted_as_a_loop_counts_them(demo: RunTree) -> None:
    pairs = confusions(compare(demo))
    assert pairs is not None
    after: dict[tuple[str, str], float] = {}
    for said in LEARNED.values():
        for label, predicted in zip(LABELS, said, strict=True):
            if label != predicted:
                pair = CLASSES[label], CLASSES[predicted]
                after[pair] = after.get(pair, 0) + 1 / len(LEARNED)
    shown = most_frequent(pairs, "after")
    assert dict(zip(zip(shown.class_name, shown.predicted, strict=True), shown.after, strict=True)) == pytest.approx(
        after
    )
    columns = ["class_name", "predicted", "images", "before", "after"]
    assert most_frequent(pairs, "before")[columns].to_numpy().tolist() == [
        ["zebra star", "onion star", 4, 2, 0.5],
        ["wall arrow", "zebra star", 2, 1, 0.0],
    ]


def test_no_zero_shot_run_is_said_with_the_command_that_makes_one(tree: RunTree) -> None:
    tree.full_run(LABELS, LEARNED[1])
    comparison = compare(tree)
    assert comparison.before is None
    assert class_gains(comparison) is None
    assert changed_images(comparison) is None
    assert "lamm train --trainer ZeroshotCLIP --dataset digits " in comparison.missing[0]
    pairs = confusions(comparison)
    assert pairs is not None
    assert pairs.before.isna().all()


def test_on_own_photos_the_command_has_their_folder(tree: RunTree) -> None:
    config = {"DATASET": {"NAME": "ImageFolder", "ROOT": "/my photos"}}
    tree.full_run(LABELS, LEARNED[1], dataset="folder-my_photos-12345678", config=config)
    material = tree.material()
    comparison = Comparer(material).compare(next(material.curves.itertuples()))
    assert "--trainer ZeroshotCLIP --dataset folder --root '/my photos' --shots 16" in comparison.missing[0]


def test_a_class_that_zero_shot_alone_says_has_a_name(tree: RunTree) -> None:
    for folder in (
        tree.full_run([0, 0, 1, 1], [0, 0, 1, 1]),
        tree.full_run([0, 0, 1, 1], [0, 7, 1, 1], trainer="ZeroshotCLIP", cfg="tiny"),
    ):
        for name in ("classes.json", "class_features.safetensors"):
            (folder / name).unlink()
    pairs = confusions(compare(tree))
    assert pairs is not None
    assert pairs[["class_name", "predicted", "before"]].to_numpy().tolist() == [["class 0", "class 7", 1]]


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
    assert len(comparison.after) == 1
    assert "predictions.csv comes to 40.00 %, its result says 70.00" in comparison.missing[0]


def test_runs_without_predictions_say_so(demo: RunTree) -> None:
    comparison = compare(demo, shots=1)
    assert comparison.after == {}
    assert all("has no predictions.csv" in line for line in comparison.missing)
    assert confusions(comparison) is None


def test_thumbnails_are_the_images_that_changed_sides(demo: RunTree) -> None:
    images = changed_images(compare(demo))
    assert images is not None
    mended = images["mended"]
    assert {*zip(mended.image, mended.class_name, mended.before, mended.after, strict=True)} == {
        ("digits/0.png", "zebra star", "onion star", "zebra star"),
        ("digits/1.png", "zebra star", "onion star", "zebra star"),
        ("digits/8.png", "wall arrow", "zebra star", "wall arrow"),
    }
    assert list(mended.class_name[:2]) == ["wall arrow", "zebra star"]  # each class before any has a second turn
    assert images["broken"][["image", "class_name", "after"]].to_numpy().tolist() == [
        ["digits/6.png", "onion star", "zebra star"]
    ]


def test_a_thumbnail_holds_the_picture(demo: RunTree) -> None:
    images = changed_images(compare(demo))
    assert images is not None
    (one,) = with_pictures(images["broken"], str(demo.data), picture).itertuples()
    head, content = one.data.split(",")
    assert head.startswith("data:image/")
    assert one.small
    opened = Image.open(BytesIO(base64.b64decode(content))).convert("RGB")
    assert opened.size == (32, 32)
    assert opened.getpixel((5, 5)) == (0, 128, 0)  # "green", of the second class


def test_photos_become_small(tmp_path: Path) -> None:
    Image.new("RGB", (800, 400), "navy").save(tmp_path / "photo.jpg")
    data, small = picture(tmp_path / "photo.jpg")
    assert not small
    assert Image.open(BytesIO(base64.b64decode(data.split(",")[1]))).size == (96, 48)


def test_images_that_are_gone_or_damaged_say_so(demo: RunTree) -> None:
    (demo.data / "digits/6.png").unlink()
    (demo.data / "digits/8.png").write_bytes(b"no picture")
    assert [picture(demo.data / f"digits/{number}.png")[0] for number in (6, 8)] == ["", ""]
    assert f"2 of these images can&#39;t be read in {demo.data}" in demo.page()
