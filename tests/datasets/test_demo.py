"""The demo data sets, and making a data set's folder on first use."""

import json
import os
import random
import subprocess
import sys
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
    STAMP_FILE,
    Digits,
    Shapes,
    ShapesInverted,
    ShapesNoisy,
    ShapesSketch,
    enlarged,
    materialise,
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
def test_a_variant_has_the_classes_of_shapes_and_tests_on_its_first_pictures(
    tmp_path: Path, variant: type[Shapes]
) -> None:
    plain, dataset = Shapes(root=tmp_path), variant(root=tmp_path)
    assert dataset.classnames == plain.classnames
    assert {Path(item.impath).stem for item in dataset.test} == {f"{index:02d}" for index in range(18)}
    for part, count in {"test": 18, "train_x": 30, "val": 12}.items():
        assert Counter(item.label for item in getattr(dataset, part)) == {0: count, 1: count}


@pytest.mark.usefixtures("two_shapes")
def test_variants_share_no_picture_with_shapes_or_each_other(tmp_path: Path) -> None:
    for made in (Shapes, *VARIANTS):
        made(root=tmp_path)
    pictures = list(pixels(tmp_path).values())
    assert len(set(pictures)) == len(pictures) == 2 * 4 * 60


@pytest.mark.usefixtures("two_shapes")
def test_a_deleted_image_is_missed_and_the_folder_to_remove_is_named(tmp_path: Path) -> None:
    Path(ShapesNoisy(root=tmp_path).test[0].impath).unlink()
    with pytest.raises(DataError, match=r"1 of 120 images are missing .*; remove .*shapes_noisy and it is made again"):
        ShapesNoisy(root=tmp_path)


FILES = 40


def build(folder: Path) -> None:
    for index in range(FILES):
        (folder / f"{index}.txt").write_text(str(os.getpid()))


def hidden_folders(root: Path) -> list[str]:
    return [entry.name for entry in root.iterdir() if entry.name.startswith(".")]


# Generous: on a busy machine four interpreters may take minutes to start.
SECONDS = 300


def python_process(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.DEVNULL)


def test_a_folder_is_made_with_its_parents_and_stamped(tmp_path: Path, logged: list[str]) -> None:
    materialise(tmp_path / "new" / "root" / "demo", 3, build)
    assert len(list((tmp_path / "new" / "root" / "demo").iterdir())) == FILES + 1
    stamp = json.loads((tmp_path / "new" / "root" / "demo" / STAMP_FILE).read_text())
    assert stamp == {"data_set": "demo", "generator_version": 3}
    assert hidden_folders(tmp_path / "new" / "root") == []
    assert "Making the data set in" in logged[0]


def test_a_folder_that_is_there_is_not_made_again(tmp_path: Path, logged: list[str]) -> None:
    materialise(tmp_path / "demo", 1, build)
    logged.clear()
    materialise(tmp_path / "demo", 1, lambda folder: pytest.fail("built twice"))
    assert logged == []


@pytest.mark.parametrize("found", [1, 3])
def test_another_version_on_disk_is_an_error(tmp_path: Path, found: int) -> None:
    materialise(tmp_path / "demo", found, build)
    with pytest.raises(
        DataError, match=f"holds version {found} of this data set, version 2 is needed; remove the fold"
    ):
        materialise(tmp_path / "demo", 2, build)


@pytest.mark.parametrize("stamp", [None, "", "[]", "{}"])
def test_a_foreign_folder_is_an_error_and_left_as_it_is(tmp_path: Path, stamp: str | None) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    if stamp is not None:
        (tmp_path / "demo" / STAMP_FILE).write_text(stamp)
    with pytest.raises(DataError, match="is not a data set made here"):
        materialise(tmp_path / "demo", 1, build)
    assert (tmp_path / "demo" / "mine.txt").read_text() == "mine"


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        build(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        materialise(tmp_path / "demo", 1, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"can't write the data set to .*demo: .*; give another --root") as error:
        materialise(tmp_path / "file" / "demo", 1, build)
    assert "\n" not in str(error.value)


def test_a_killed_build_is_not_taken_for_a_data_set(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from lamm.datasets.demo import materialise
def build(folder):
    (folder / "0.txt").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
materialise(Path(sys.argv[1]), 1, build)
"""
    assert python_process(code, tmp_path / "demo").wait(timeout=SECONDS) != 0
    assert not (tmp_path / "demo").exists()
    assert len(hidden_folders(tmp_path)) == 1
    materialise(tmp_path / "demo", 1, build)
    assert len(list((tmp_path / "demo").iterdir())) == FILES + 1
    assert hidden_folders(tmp_path) == []


def test_processes_that_build_at_once_end_with_one_whole_result(tmp_path: Path) -> None:
    code = f"""
import os, sys, time
from pathlib import Path
from lamm.datasets.demo import materialise
root, number = Path(sys.argv[1]), sys.argv[2]
(root / f"building-{{number}}").touch()
def build(folder):
    # Nobody goes on before all are building, so that all of them come to the rename.
    deadline = time.monotonic() + {SECONDS}
    while len(list(root.glob("building-*"))) < 2:
        assert time.monotonic() < deadline, "the other processes never came"
        time.sleep(0.01)
    for index in range({FILES}):
        (folder / f"{{index}}.txt").write_text(str(os.getpid()))
materialise(root / "demo", 1, build)
assert len(list((root / "demo").iterdir())) == {FILES} + 1
"""
    processes = [python_process(code, tmp_path, number) for number in range(2)]
    try:
        assert [process.wait(timeout=2 * SECONDS) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
    builders = {file.read_text() for file in (tmp_path / "demo").glob("*.txt")}
    assert len(builders) == 1
    assert builders <= {str(process.pid) for process in processes}
    assert hidden_folders(tmp_path) == []
