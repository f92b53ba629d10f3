"""The two demo data sets and the variants: sizes, names, labels, the same content each time."""

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lamm.datasets import demo as shapes
from lamm.datasets.demo import (
    CLASS_NAMES,
    NICKNAMES,
    Digits,
    Shapes,
    ShapesInverted,
    ShapesNoisy,
    ShapesSketch,
    enlarged,
)
from lamm.datasets.splits import split_as_text
from lamm.drawing.compositions import HELD_OUT
from lamm.errors import DataError

VARIANTS = (ShapesSketch, ShapesNoisy, ShapesInverted)
TWO_CLASSES = HELD_OUT[:2]


@pytest.fixture(scope="module")
def digits_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits_root")
    Digits(root=root)
    return root


@pytest.fixture
def two_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only two classes, which are drawn quickly."""
    monkeypatch.setattr(shapes, "HELD_OUT", TWO_CLASSES)


def pixels(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): np.asarray(Image.open(file)).tobytes() for file in root.rglob("*.png")}


def test_digits_hold_all_scans_once(digits_root: Path) -> None:
    dataset = Digits(root=digits_root)
    items = [*dataset.train_x, *dataset.val, *dataset.test]
    assert len({item.impath for item in items}) == len(items) == 1797
    assert dataset.classnames == list(CLASS_NAMES)
    assert " ".join(CLASS_NAMES) == "zero one two three four five six seven eight nine"


def test_digits_have_the_label_of_their_scan(digits_root: Path) -> None:
    truth = load_digits().target
    dataset = Digits(root=digits_root)
    for item in [*dataset.train_x, *dataset.val, *dataset.test]:
        assert truth[int(Path(item.impath).stem)] == item.label == CLASS_NAMES.index(item.classname)


def test_digits_split_is_half_a_fifth_and_the_rest_of_each_shuffled_class(digits_root: Path) -> None:
    content = json.loads((digits_root / "digits" / "split_lamm_Digits.json").read_text())
    truth = load_digits().target.tolist()
    rng = random.Random(1)
    for label, name in enumerate(CLASS_NAMES):
        order = [f"{name}/{index:04d}.png" for index in range(1797) if truth[index] == label]
        rng.shuffle(order)
        train, val = round(len(order) / 2), round(len(order) / 5)
        wanted = {"train": order[:train], "val": order[train : train + val], "test": order[train + val :]}
        assert {part: [p for p, other, _ in content[part] if other == label] for part in content} == wanted


def test_digits_images_are_grey_and_32_pixels_wide(digits_root: Path) -> None:
    with Image.open(digits_root / "digits" / "images" / "zero" / "0000.png") as image:
        assert (image.mode, image.size) == ("L", (32, 32))


@pytest.mark.parametrize(("ink", "grey"), [(0, 0), (16, 255), (8, 127)])
def test_an_even_scan_becomes_an_even_image(ink: int, grey: int) -> None:
    assert np.unique(np.asarray(enlarged(np.full((8, 8), float(ink))))).tolist() == [grey]


def test_digits_come_out_the_same_elsewhere(digits_root: Path, tmp_path: Path) -> None:
    Digits(root=tmp_path)
    name = "digits/split_lamm_Digits.json"
    assert (tmp_path / name).read_bytes() == (digits_root / name).read_bytes()
    assert pixels(tmp_path) == pixels(digits_root)


def test_digits_few_shot_and_halves_work_as_for_any_data_set(digits_root: Path) -> None:
    dataset = Digits(root=digits_root, num_shots=16, seed=1, subsample_classes="new")
    assert Counter(item.classname for item in dataset.train_x) == dict.fromkeys(CLASS_NAMES[5:], 16)
    assert Counter(item.label for item in dataset.val) == dict.fromkeys(range(5), 4)


def test_every_texture_of_a_shape_class_has_its_own_nickname() -> None:
    assert {texture for _, texture in HELD_OUT} <= set(NICKNAMES)
    assert len(set(NICKNAMES.values())) == len(NICKNAMES)


def test_shapes_have_one_class_for_each_held_out_composition() -> None:
    split, _ = Shapes.content()
    names = [f"{NICKNAMES[texture]} {shape}" for shape, texture in HELD_OUT]
    for part, count in ((split.train, 30), (split.val, 12), (split.test, 18)):
        assert [(item.label, item.classname) for item in part] == [
            (label, name) for label, name in enumerate(names) for _ in range(count)
        ]
    assert len({item.path for item in split.items()}) == 60 * len(HELD_OUT)
    assert len(set(names)) == len(names)


@pytest.mark.usefixtures("two_shapes")
def test_shapes_on_disk_are_what_the_split_says(tmp_path: Path) -> None:
    dataset = Shapes(root=tmp_path)
    assert (len(dataset.train_x), len(dataset.val), len(dataset.test)) == (60, 24, 36)
    assert len(set(pixels(tmp_path).values())) == 120
    with Image.open(dataset.train_x[0].impath) as image:
        assert (image.mode, image.size) == ("RGB", (64, 64))


@pytest.mark.usefixtures("two_shapes")
def test_shapes_come_out_the_same_elsewhere(tmp_path: Path) -> None:
    for root in (tmp_path / "here", tmp_path / "there"):
        Shapes(root=root)
    assert pixels(tmp_path / "here") == pixels(tmp_path / "there")
    file = Path("shapes", "split_lamm_Shapes.json")
    assert (tmp_path / "here" / file).read_text() == split_as_text(Shapes.content()[0])
    assert (tmp_path / "here" / file).read_bytes() == (tmp_path / "there" / file).read_bytes()


@pytest.mark.usefixtures("two_shapes")
def test_an_image_does_not_depend_on_the_classes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Shapes(root=tmp_path / "two")
    monkeypatch.setattr(shapes, "HELD_OUT", TWO_CLASSES[1:])
    Shapes(root=tmp_path / "one")
    assert pixels(tmp_path / "one").items() <= pixels(tmp_path / "two").items()


@pytest.mark.usefixtures("two_shapes")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_the_classes_of_shapes_and_is_for_testing_only(tmp_path: Path, variant: type[Shapes]) -> None:
    plain, dataset = Shapes(root=tmp_path), variant(root=tmp_path, num_shots=1, seed=1)
    assert dataset.classnames == plain.classnames
    assert Counter(item.label for item in dataset.test) == {0: 18, 1: 18}
    assert [item.impath for item in dataset.train_x] == [item.impath for item in dataset.test]
    assert dataset.val is None


@pytest.mark.usefixtures("two_shapes")
def test_variants_share_no_picture_with_shapes_or_each_other(tmp_path: Path) -> None:
    for made in (Shapes, *VARIANTS):
        made(root=tmp_path)
    pictures = list(pixels(tmp_path).values())
    assert len(set(pictures)) == len(pictures) == 2 * (60 + 3 * 18)


@pytest.mark.usefixtures("two_shapes")
def test_a_deleted_image_is_missed_and_the_folder_to_remove_is_named(tmp_path: Path) -> None:
    Path(ShapesNoisy(root=tmp_path).test[0].impath).unlink()
    with pytest.raises(DataError, match=r"1 of 36 images are missing .*; remove .*shapes_noisy and it is made again"):
        ShapesNoisy(root=tmp_path)
