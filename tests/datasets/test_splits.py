"""Split files: read, checked and written; base and new classes, and the sets of classes learned one after the other."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from lamm.datasets.demo import CLASS_NAMES, Digits
from lamm.datasets.imagenet import ImageNetV2
from lamm.datasets.splits import (
    Split,
    SplitItem,
    check_labels,
    class_names,
    class_order,
    class_sets,
    hash_of_split,
    read_split,
    select_classes,
    split_as_text,
    write_split,
)
from lamm.errors import ConfigError, DataError

FORMATTED = """{
    "train": [
        [
            "a/1.jpg",
            0,
            "caf\\u00e9"
        ]
    ],
    "val": [],
    "test": [
        [
            "a/2.jpg",
            0,
            "caf\\u00e9"
        ]
    ]
}"""
CAFE = Split([SplitItem("a/1.jpg", 0, "café")], [], [SplitItem("a/2.jpg", 0, "café")])


def file_with(tmp_path: Path, entry: Any) -> Path:
    file = tmp_path / "split.json"
    file.write_text(json.dumps({"train": [["a.jpg", 0, "a"], entry], "val": [], "test": []}))
    return file


def test_a_split_is_written_in_the_benchmark_format(tmp_path: Path) -> None:
    write_split(tmp_path / "split.json", CAFE)
    assert (tmp_path / "split.json").read_bytes() == FORMATTED.encode("ascii")


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    write_split(tmp_path / "split.json", CAFE)
    assert read_split(tmp_path / "split.json") == CAFE


def test_the_order_of_entries_is_kept(tmp_path: Path, toy_content: dict[str, list]) -> None:
    (tmp_path / "split.json").write_text(json.dumps(toy_content))
    assert [list(item) for item in read_split(tmp_path / "split.json").train] == toy_content["train"]


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(FORMATTED, encoding="utf-8-sig")
    assert read_split(tmp_path / "split.json") == CAFE


def test_the_hash_is_of_what_the_split_says_not_of_its_white_space(tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(json.dumps(json.loads(FORMATTED)))
    assert hash_of_split(read_split(tmp_path / "split.json")) == hashlib.sha256(FORMATTED.encode()).hexdigest()


def test_the_hash_changes_with_the_order() -> None:
    items = [SplitItem("a.jpg", 0, "a"), SplitItem("b.jpg", 0, "a")]
    assert hash_of_split(Split(items, [], items)) != hash_of_split(Split(items[::-1], [], items))


@pytest.mark.parametrize(
    ("written", "read"),
    [("a\\b\\1.jpg", "a/b/1.jpg"), ("./a/1.jpg", "a/1.jpg"), ("a//1.jpg", "a/1.jpg"), ("a/../b/1.jpg", "b/1.jpg")],
)
def test_paths_become_plain_posix_paths(tmp_path: Path, written: str, read: str) -> None:
    assert read_split(file_with(tmp_path, [written, 0, "a"])).train[1].path == read


@pytest.mark.parametrize("path", ["/etc/passwd", "C:\\a\\1.jpg", "\\\\host\\share\\1.jpg"])
def test_absolute_paths_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the path .* is absolute"):
        read_split(file_with(tmp_path, [path, 0, "a"]))


@pytest.mark.parametrize("path", ["../1.jpg", "a/../../1.jpg", "..\\..\\1.jpg", "a/.."])
def test_paths_that_leave_the_image_folder_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the path .* leaves the image folder"):
        read_split(file_with(tmp_path, [path, 0, "a"]))


@pytest.mark.parametrize("path", ["  ", None, "a\0.jpg", "\ud800.jpg"])
def test_paths_that_no_file_can_have_are_refused(tmp_path: Path, path: Any) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the path .* is not a file name"):
        read_split(file_with(tmp_path, [path, 0, "a"]))


@pytest.mark.parametrize(
    "entry", [["a.jpg", 0], ["a.jpg", 0, "a", "b"], {"path": "a.jpg"}, "a.jpg", None, [["a.jpg", 0, "a"]]]
)
def test_an_entry_that_is_not_a_triple_is_refused(tmp_path: Path, entry: Any) -> None:
    with pytest.raises(DataError, match=r"split.json, train\[1\]: expected \[path, label, class name\]"):
        read_split(file_with(tmp_path, entry))


@pytest.mark.parametrize("label", [-1, 0.5, True, None, "one", float("nan"), "²"])
def test_a_label_that_is_not_a_whole_number_is_refused(tmp_path: Path, label: Any) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the label .* is not a whole number"):
        read_split(file_with(tmp_path, ["b.jpg", label, "b"]))


def test_a_number_of_thousands_of_digits_or_a_key_that_comes_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "split.json"
    empty = '"val": [], "test": []'
    for text, match in (
        (f'{{"train": [["a.jpg", {"7" * 400}, "a"]], {empty}}}', "integer of 400 digits"),
        (f'{{"train": [["a.jpg", 1e300, "a"]], {empty}}}', "not a whole number"),
        (f'{{"train": [["a.jpg", NaN, "a"]], {empty}}}', "not a whole number"),
        (f'{{"train": [["a.jpg", 0, "a\\u0000"]], {empty}}}', "class name"),
        (f'{{"train": [["a.jpg", 0, {"[" * 300}{"]" * 300}]], {empty}}}', "nested too deeply"),
        (f'{{"train": [], {empty}, "train": []}}', '"train" twice'),
    ):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=match) as error:
            read_split(file)
        assert len(str(error.value)) < 400 + len(str(file))


def test_a_pipe_in_place_of_a_split_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "split.json")
    with pytest.raises(DataError, match=r"split\.json"):
        read_split(tmp_path / "split.json")


@pytest.mark.parametrize("label", [7, 7.0, "7"])
def test_a_label_may_be_written_as_text_or_float(tmp_path: Path, label: Any) -> None:
    item = read_split(file_with(tmp_path, ["b.jpg", label, "b"])).train[1]
    assert (item.label, type(item.label)) == (7, int)


@pytest.mark.parametrize("name", [" ", 5, "\udc80"])
def test_an_empty_class_name_is_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(DataError, match=r"train\[1\]: the class name .* is not a text"):
        read_split(file_with(tmp_path, ["b.jpg", 0, name]))


@pytest.mark.parametrize(
    "text", ["", "{", '{"train": [', "[" * 100_000, '{"train": 1' + "0" * 5000 + "}", "\xff\xfe\xff"]
)
def test_malformed_json_is_named_with_its_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "split.json").write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match=r"split.json is not a split file") as error:
        read_split(tmp_path / "split.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "not a JSON object"),
        ('{"train": [], "val": []}', '"test"'),
        ('{"train": {}, "val": [], "test": []}', '"train"'),
    ],
)
def test_json_that_is_not_a_split_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_split(tmp_path / "split.json")


def test_a_missing_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no split file at .*nowhere.json"):
        read_split(tmp_path / "nowhere.json")


def test_a_folder_in_place_of_a_split_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"can't read the split file .*directory"):
        read_split(tmp_path)


def split_of(train: list[tuple[int, str]], test: list[tuple[int, str]]) -> Split:
    parts = [[SplitItem(f"{name}{i}.jpg", label, name) for i, (label, name) in enumerate(p)] for p in (train, test)]
    return Split(parts[0], [], parts[1])


def test_two_labels_may_share_a_name() -> None:
    check_labels(split_of([(0, "missile"), (1, "missile")], [(0, "missile")]), "split.json")


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ([(0, "a"), (2, "c")], [(0, "a")], "split.json has no training image of label 1"),
        ([(1, "b"), (2, "c")], [(1, "b")], "no training image of label 0"),
        ([(0, "a"), (10**12, "b")], [(0, "a")], "no training image of label 1;"),
        ([(0, "a"), (0, "b")], [(0, "a")], 'label 0 has two names in split.json: "a" and "b"'),
        ([(0, "a")], [(0, "A")], 'label 0 has two names in split.json: "a" and "A"'),
        ([(0, "a")], [(1, "b")], '"b0.jpg" in split.json has label 1, which no training image has'),
        ([], [(0, "a")], 'the list "train" of split.json is empty'),
        ([(0, "a")], [], 'the list "test" of split.json is empty'),
    ],
)
def test_labels_that_do_not_make_a_class_list_are_refused(train: list, test: list, message: str) -> None:
    with pytest.raises(DataError, match=message):
        check_labels(split_of(train, test), "split.json")


def test_text_of_a_split_has_no_trailing_newline() -> None:
    assert split_as_text(CAFE) == FORMATTED


def split_with_labels(labels: list[int]) -> Split:
    items = [SplitItem(f"{position}.jpg", label, f"name {label}") for position, label in enumerate(labels)]
    return Split(items, items[:2], items[::-1])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("class_sets")
    Digits(root=root)
    return root


@pytest.mark.parametrize(
    ("classes", "sets", "sizes"),
    [(10, 2, [5, 5]), (37, 2, [19, 18]), (10, 3, [4, 3, 3]), (11, 4, [3, 3, 3, 2]), (4, 4, [1, 1, 1, 1]), (7, 1, [7])],
)
def test_sets_are_consecutive_and_the_first_are_larger(classes: int, sets: int, sizes: list[int]) -> None:
    made = class_sets(split_with_labels(list(range(classes))), sets)
    assert [len(class_names(part)) for part in made] == sizes
    assert [name for part in made for name in class_names(part)] == [f"name {label}" for label in range(classes)]
    assert all([item.label for item in part.train] == list(range(len(part.train))) for part in made)


def test_two_sets_are_the_base_and_the_new_classes() -> None:
    split = split_with_labels([4, 0, 3, 1, 2, 4])
    assert class_sets(split, 2) == [select_classes(split, "base"), select_classes(split, "new")]


@pytest.mark.parametrize("sets", range(2, 12))
def test_any_number_of_sets_up_to_the_classes_has_every_class_once(sets: int) -> None:
    made = class_sets(split_with_labels(list(range(11))), sets, order_seed=5)
    sizes = [len(class_names(part)) for part in made]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1
    assert sorted(name for part in made for name in class_names(part)) == sorted(f"name {i}" for i in range(11))


def test_the_order_of_seed_1993_is_the_fields() -> None:
    order = class_order(100, 1993)
    assert order[:10] == [68, 56, 78, 8, 23, 84, 90, 65, 74, 76]
    assert sorted(order) == list(range(100)) == class_order(100, -1)
    made = class_sets(split_with_labels(list(range(100))), 10, order_seed=1993)
    assert [name for part in made for name in class_names(part)] == [f"name {label}" for label in order]
    for part, start in zip(made, range(0, 100, 10), strict=True):
        for items in (part.train, part.test):
            assert all(item.classname == f"name {order[start + item.label]}" for item in items)


def test_a_first_set_of_another_size_leaves_the_rest_to_equal_sets() -> None:
    split = split_with_labels(list(range(11)))
    assert [len(class_names(part)) for part in class_sets(split, 6, first=6)] == [6, 1, 1, 1, 1, 1]
    assert [len(class_names(part)) for part in class_sets(split, 3, first=2)] == [2, 5, 4]
    for sets, first in ((1, 3), (4, 9)):
        with pytest.raises(ConfigError, match=rf"INCREMENTAL\.FIRST is {first} of 11 classes"):
            class_sets(split, sets, first=first)


def test_one_set_is_the_split() -> None:
    split = split_with_labels([2, 0, 1])
    assert class_sets(split, 1) == [split]


def test_more_sets_than_classes_are_an_error() -> None:
    with pytest.raises(ConfigError, match=r"INCREMENTAL\.STEPS is 4, but there are 3 classes"):
        class_sets(split_with_labels([0, 1, 2, 2]), 4)


def test_a_step_has_the_picks_that_all_classes_would_have(root: Path) -> None:
    whole = Digits(root=root, num_shots=3, seed=2)
    steps = [Digits(root=root, num_shots=3, seed=2, steps=3, step=step) for step in (1, 2, 3)]
    picked = {item.impath for dataset in steps for item in dataset.train_x}
    assert picked == {item.impath for item in whole.train_x}
    assert sum(len(dataset.train_x) for dataset in steps) == len(whole.train_x) == 30
    assert {dataset.split_hash for dataset in steps} == {whole.split_hash}


def test_a_step_knows_the_classes_and_test_images_of_the_steps_before(root: Path) -> None:
    whole = Digits(root=root, num_shots=1, seed=1)
    dataset = Digits(root=root, num_shots=1, seed=1, steps=3, step=2)
    assert [seen.class_names for seen in dataset.seen_sets] == [list(CLASS_NAMES[:4]), list(CLASS_NAMES[4:7])]
    assert list(dataset.classnames) == list(CLASS_NAMES[4:7])
    for seen, first in zip(dataset.seen_sets, (0, 4), strict=True):
        labels = range(first, first + len(seen.class_names))
        for part, items in (("val", seen.val), ("test", seen.test)):
            expected = [(item.impath, item.label - first) for item in getattr(whole, part) if item.label in labels]
            assert [(item.impath, item.label) for item in items] == expected
    assert [item.impath for item in dataset.seen_sets[-1].test] == [item.impath for item in dataset.test]


def test_the_config_says_the_step(root: Path) -> None:
    content = {"DATASET": {"ROOT": str(root), "NUM_SHOTS": 1}, "SEED": 1, "INCREMENTAL": {"STEPS": 2, "STEP": 2}}
    assert list(Digits(CfgNode(content)).classnames) == list(CLASS_NAMES[5:])
    content["INCREMENTAL"] |= {"ORDER_SEED": 1993, "FIRST": 3}
    expected = [CLASS_NAMES[label] for label in class_order(10, 1993)[3:]]
    assert list(Digits(CfgNode(content)).classnames) == expected


def test_without_steps_there_are_no_sets(root: Path) -> None:
    assert not Digits(root=root, num_shots=1, seed=1).seen_sets


@pytest.mark.parametrize("step", [0, 3])
def test_a_step_that_does_not_exist_is_an_error(root: Path, step: int) -> None:
    with pytest.raises(ConfigError, match=rf"INCREMENTAL\.STEP is {step}: it must be from 1 to"):
        Digits(root=root, num_shots=1, seed=1, steps=2, step=step)


def test_data_for_testing_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ImageNetV2 is for testing only"):
        ImageNetV2(root=tmp_path, steps=2, step=1)


def labels_of(split: Split) -> list[int]:
    return [item.label for item in split.train]


def test_all_is_the_split_itself() -> None:
    split = split_with_labels([2, 0, 1])
    assert select_classes(split, "all") is split


@pytest.mark.parametrize(("classes", "base"), [(1, 1), (2, 1), (3, 2), (37, 19), (100, 50), (397, 199)])
def test_base_is_the_larger_half(classes: int, base: int) -> None:
    split = split_with_labels(list(range(classes)))
    assert labels_of(select_classes(split, "base")) == list(range(base))
    if classes > 1:
        assert labels_of(select_classes(split, "new")) == list(range(classes - base))


def test_halves_go_by_label_and_keep_order_and_names() -> None:
    split = split_with_labels([4, 0, 3, 1, 2, 4])
    base, new = select_classes(split, "base"), select_classes(split, "new")
    assert [tuple(item) for item in base.train] == [
        ("1.jpg", 0, "name 0"),
        ("3.jpg", 1, "name 1"),
        ("4.jpg", 2, "name 2"),
    ]
    assert [tuple(item) for item in new.train] == [
        ("0.jpg", 1, "name 4"),
        ("2.jpg", 0, "name 3"),
        ("5.jpg", 1, "name 4"),
    ]
    assert [tuple(item) for item in new.test] == [
        ("5.jpg", 1, "name 4"),
        ("2.jpg", 0, "name 3"),
        ("0.jpg", 1, "name 4"),
    ]
    assert [tuple(item) for item in new.val] == [("0.jpg", 1, "name 4")]


def test_labels_with_gaps_are_numbered_from_zero() -> None:
    assert labels_of(select_classes(split_with_labels([10, 70, 30, 50]), "new")) == [1, 0]


def test_new_of_one_class_is_an_error() -> None:
    with pytest.raises(DataError, match='the subset "new" has none'):
        select_classes(split_with_labels([0, 0]), "new")


def test_an_unknown_subset_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match='unknown class subset "bse"; did you mean "base"'):
        select_classes(split_with_labels([0, 1]), "bse")
