"""Splits made here if none is published: by the benchmark's rules, the same everywhere, in a file of our name."""

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.datasets import DATASETS, dataset_class
from lamm.datasets.splits import Split, SplitItem, read_split, split_as_text
from lamm.datasets.splitters import split_50_20_30, split_80_20
from lamm.errors import DataError
from tests.datasets.miniature_trees import PUBLISHED_SPLITS, Truth, build_miniature
from tests.datasets.simulated_disks import list_in_another_order, make_read_only, tree
from tests.reference import published_rules

SEED = 1
BY_FOLDER = ("caltech101", "dtd", "food101", "eurosat")
BY_LIST = ("oxford_pets", "stanford_cars", "sun397", "ucf101")


def own_file(name: str, truth: Truth) -> Path:
    return truth.folder / f"split_lamm_{DATASETS[name]}.json"


def as_paths(split: Split) -> dict[str, list[str]]:
    return {part: [item.path for item in getattr(split, part)] for part in ("train", "val", "test")}


def split_in(name: str, root: Path) -> dict[str, list[str]]:
    return as_paths(dataset_class(name).split_on_disk(root))


@pytest.mark.parametrize("name", BY_FOLDER)
def test_class_folders_are_cut_as_the_published_code_does(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    classes: list[list[str]] = [[] for _ in truth.classnames]
    for path in sorted(truth.label_of):
        classes[truth.label_of[path]].append(path)
    assert split_in(name, tmp_path) == published_rules.cut_50_20_30(classes, SEED)


def test_flowers_are_cut_in_the_order_in_which_they_first_appear(tmp_path: Path) -> None:
    truth = build_miniature("oxford_flowers", tmp_path)
    classes: dict[int, list[str]] = {}
    for path, label in truth.label_of.items():
        classes.setdefault(label, []).append(path)
    assert list(classes) == [2, 0, 3, 1]
    assert split_in("oxford_flowers", tmp_path) == published_rules.cut_50_20_30(list(classes.values()), SEED)


@pytest.mark.parametrize("name", BY_LIST)
def test_official_lists_are_cut_as_the_published_code_does(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    assert truth.official is not None
    test = [path for path in truth.label_of if path in truth.official["test"]]
    trainval = [(path, label) for path, label in truth.label_of.items() if path not in truth.official["test"]]
    assert split_in(name, tmp_path) == {**published_rules.cut_80_20(trainval, SEED), "test": test}


@pytest.mark.parametrize("name", ["caltech101", "oxford_pets", "oxford_flowers"])
def test_a_split_is_kept_under_our_name_in_the_published_format(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    before = set(tree(truth.folder))
    split = dataset_class(name).split_on_disk(tmp_path)
    dataset_class(name)(root=tmp_path)
    assert set(tree(truth.folder)) - before == {own_file(name, truth).name}
    assert own_file(name, truth).read_text(encoding="utf-8") == split_as_text(split)
    assert list(tmp_path.rglob("split_zhou_*")) == []


@pytest.mark.parametrize("name", ["fgvc_aircraft", "imagenet", "imagenetv2"])
def test_official_lists_and_folders_need_no_split_file(name: str, tmp_path: Path) -> None:
    build_miniature(name, tmp_path)
    dataset_class(name)(root=tmp_path)
    assert [file.name for file in tmp_path.rglob("split_*")] == []


@pytest.mark.parametrize("name", ["dtd", "ucf101"])
def test_the_log_says_that_published_numbers_are_on_another_split(name: str, tmp_path: Path, logged: list[str]) -> None:
    build_miniature(name, tmp_path)
    for _ in range(2):
        logged.clear()
        dataset_class(name)(root=tmp_path)
        assert any(PUBLISHED_SPLITS[name] in line and "published" in line for line in logged)


@pytest.mark.parametrize("name", ["dtd", "stanford_cars", "imagenet"])
def test_two_roots_have_the_same_split(name: str, tmp_path: Path) -> None:
    found = []
    for root in (tmp_path / "one", tmp_path / "two"):
        build_miniature(name, root)
        dataset = dataset_class(name)(root=root, num_shots=1, seed=2)
        found.append((split_in(name, root), dataset.split_hash, [Path(item.impath).name for item in dataset.train_x]))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["dtd", "stanford_cars", "imagenet"])
def test_the_kept_split_and_the_fresh_one_are_the_same(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    fresh = split_in(name, tmp_path)
    assert split_in(name, tmp_path) == fresh
    own_file(name, truth).unlink(missing_ok=True)
    assert split_in(name, tmp_path) == fresh


@pytest.mark.parametrize("name", ["caltech101", "oxford_pets", "imagenet", "imagenetv2", "imagenet_a"])
def test_the_order_of_the_systems_listings_does_not_matter(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_miniature(name, tmp_path / "plain")
    plain = split_in(name, tmp_path / "plain")
    for seed in range(3):
        root = tmp_path / f"order {seed}"
        build_miniature(name, root)
        with monkeypatch.context() as patched:
            list_in_another_order(patched, seed)
            assert split_in(name, root) == plain
            assert dataset_class(name)(root=root).split_hash


def test_the_simulated_listing_has_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = build_miniature("dtd", tmp_path)
    folder = truth.folder / "images" / "banded"
    list_in_another_order(monkeypatch, 0)
    assert os.listdir(folder) != sorted(os.listdir(folder))
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    assert sorted(names) == sorted(os.listdir(folder)) != names


@pytest.mark.parametrize("name", ["eurosat", "sun397", "fgvc_aircraft"])
def test_pythons_global_generator_neither_decides_nor_moves(name: str, tmp_path: Path) -> None:
    before = random.getstate()
    try:
        found = []
        for state in (7, 8):
            root = tmp_path / str(state)
            build_miniature(name, root)
            random.seed(state)
            seeded = random.getstate()
            dataset_class(name)(root=root, num_shots=2, seed=1)
            dataset_class(name)(root=root, num_shots=1, seed=-1)
            assert random.getstate() == seeded
            found.append(split_in(name, root))
        assert found[0] == found[1]
    finally:
        random.setstate(before)


@pytest.mark.parametrize("name", ["dtd", "oxford_pets", "imagenet"])
def test_a_read_only_folder_gives_the_same_split_and_picks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    for root in (tmp_path / "written", tmp_path / "read only"):
        build_miniature(name, root)
    written = dataset_class(name)(root=tmp_path / "written", num_shots=2, seed=1)
    before = tree(tmp_path / "read only")
    logged.clear()
    with monkeypatch.context() as patched:
        make_read_only(patched, tmp_path / "read only")
        for _ in range(2):
            found = dataset_class(name)(root=tmp_path / "read only", num_shots=2, seed=1)
            assert found.split_hash == written.split_hash
            assert [Path(item.impath).name for item in found.train_x] == [
                Path(item.impath).name for item in written.train_x
            ]
    assert tree(tmp_path / "read only") == before
    if name in PUBLISHED_SPLITS:
        assert any("not stored" in line and str(tmp_path / "read only") in line for line in logged)


def test_the_simulated_disk_refuses_to_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "inside").mkdir()
    make_read_only(monkeypatch, tmp_path / "inside")
    for write in (
        lambda: (tmp_path / "inside" / "a").write_text("a"),
        lambda: (tmp_path / "inside" / "b").mkdir(),
        lambda: (tmp_path / "inside" / "c").touch(),
        lambda: (tmp_path / "inside" / "d").write_bytes(b"d"),
        lambda: tempfile.mkstemp(dir=tmp_path / "inside"),
        lambda: os.open(tmp_path / "inside" / "e", os.O_CREAT | os.O_RDWR),
    ):
        with pytest.raises(OSError, match="Read-only"):
            write()
    (tmp_path / "outside").write_text("a")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["inside", "outside"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"train": []}', '{"train": [["a.jpg", 0]], "val": [], "test": []}'])
def test_a_damaged_kept_split_is_an_error_that_names_it(text: str, tmp_path: Path) -> None:
    truth = build_miniature("dtd", tmp_path)
    dataset_class("dtd")(root=tmp_path)
    own_file("dtd", truth).write_text(text)
    with pytest.raises(DataError, match=r"split_lamm_DescribableTextures\.json") as error:
        dataset_class("dtd")(root=tmp_path)
    assert "\n" not in str(error.value)


def test_images_that_join_a_folder_later_do_not_move_the_kept_split(tmp_path: Path) -> None:
    truth = build_miniature("food101", tmp_path)
    dataset_class("food101")(root=tmp_path)
    before = split_in("food101", tmp_path)
    (truth.folder / "images" / "pho" / "0000001.jpg").write_bytes(b"joined later")
    assert split_in("food101", tmp_path) == before


@pytest.mark.parametrize("count", [0, 2])
def test_classes_with_too_few_images_are_refused_with_their_folder(count: int, tmp_path: Path) -> None:
    truth = build_miniature("dtd", tmp_path)
    for file in sorted((truth.folder / "images" / "polka-dotted").iterdir())[count:]:
        file.unlink()
    with pytest.raises(DataError, match=r"polka-dotted.*too few") as error:
        dataset_class("dtd")(root=tmp_path)
    assert "split_zhou_DescribableTextures.json" in str(error.value)
    assert not own_file("dtd", truth).exists()


def test_the_kept_file_is_json_of_triples(tmp_path: Path) -> None:
    truth = build_miniature("eurosat", tmp_path)
    dataset_class("eurosat")(root=tmp_path)
    content = json.loads(own_file("eurosat", truth).read_bytes())
    assert list(content) == ["train", "val", "test"]
    for path, label, classname in [entry for part in content.values() for entry in part]:
        assert (truth.label_of[path], truth.classnames[label]) == (label, classname)


def test_a_split_is_not_kept_before_all_images_are_there(tmp_path: Path) -> None:
    truth = build_miniature("oxford_pets", tmp_path)
    image = truth.folder / "images" / "Bengal_1.jpg"
    image.rename(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match=r"1 of 44 images are missing"):
        dataset_class("oxford_pets")(root=tmp_path)
    assert not own_file("oxford_pets", truth).exists()


def test_a_mended_annotation_file_is_taken_after_a_failed_run(tmp_path: Path) -> None:
    truth = build_miniature("oxford_pets", tmp_path)
    file = truth.folder / "annotations" / "test.txt"
    right = file.read_text()
    file.write_text(right.replace("Bengal_9 3", "Bengal_9 2"))
    with pytest.raises(DataError, match=r"label 1 has two names"):
        dataset_class("oxford_pets")(root=tmp_path)
    file.write_text(right)
    assert list(dataset_class("oxford_pets")(root=tmp_path).classnames) == truth.classnames


def images(count: int) -> list[SplitItem]:
    return [SplitItem(f"{number}.jpg", 0, "yo-yo") for number in range(count)]


def sizes(split: Split) -> tuple[int, ...]:
    return len(split.train), len(split.val), len(split.test)


@pytest.mark.parametrize(
    ("count", "cut"),
    [(4, (2, 1, 1)), (5, (2, 1, 2)), (13, (6, 3, 4)), (45, (22, 9, 14))],
)
def test_half_and_a_fifth_are_rounded_ties_to_even(count: int, cut: tuple[int, int, int]) -> None:
    split = split_50_20_30({"yo-yo": images(count)}, random.Random(SEED))
    assert sizes(split) == cut
    assert sorted(split.items()) == sorted(images(count))


@pytest.mark.parametrize("count", [0, 3])
def test_fewer_than_four_images_would_leave_a_part_empty(count: int) -> None:
    with pytest.raises(DataError, match=rf"yo-yo: {count} images of a class are too few .* at least 4"):
        split_50_20_30({"yo-yo": images(count)}, random.Random(SEED))


@pytest.mark.parametrize(("count", "val"), [(3, 1), (8, 2), (13, 3)])
def test_a_fifth_of_the_official_training_images_is_for_validation(count: int, val: int) -> None:
    split = split_80_20(images(count), [], random.Random(SEED))
    assert sizes(split) == (count - val, val, 0)
    assert sorted(split.items()) == sorted(images(count))


@pytest.mark.parametrize("count", [2])
def test_fewer_than_three_official_training_images_leave_none_for_validation(count: int) -> None:
    with pytest.raises(DataError, match=rf'{count} training images of class "yo-yo" are too few .* at least 3'):
        split_80_20(images(count), [], random.Random(SEED))


@pytest.mark.parametrize("name", ["Caltech101", "DescribableTextures", "EuroSAT", "OxfordFlowers"])
def test_half_and_a_fifth_give_the_published_count_of_every_class(
    name: str, real_split_file: Callable[[str], Path]
) -> None:
    published = read_split(real_split_file(name))
    counts = [Counter(item.label for item in part) for part in (published.train, published.val, published.test)]
    for label in counts[0]:
        of_class = tuple(count[label] for count in counts)
        assert sizes(split_50_20_30({"": images(sum(of_class))}, random.Random(SEED))) == of_class


@pytest.mark.parametrize("name", ["OxfordPets", "StanfordCars", "UCF101"])
def test_a_fifth_gives_the_published_validation_count_of_every_class(
    name: str, real_split_file: Callable[[str], Path]
) -> None:
    published = read_split(real_split_file(name))
    trainval = [SplitItem(*item) for item in [*published.train, *published.val]]
    split = split_80_20(trainval, [], random.Random(SEED))
    for found, wanted in zip((split.train, split.val), (published.train, published.val), strict=True):
        assert Counter(item.label for item in found) == Counter(item.label for item in wanted)
