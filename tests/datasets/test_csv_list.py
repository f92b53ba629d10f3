"""A CSV or JSONL list of someone's own images: what is read, which part an image is in, and how mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from yacs.config import CfgNode

from lamm.datasets import dataset_class
from lamm.datasets.base import BenchmarkDataset
from lamm.errors import ConfigError, DataError
from tests.datasets.miniature_files import PETS, label_by_path, paths_by_part, write_images
from tests.datasets.simulated_disks import make_read_only, tree

ROWS = [(f"photos/{name} {number}.jpg", name) for name in PETS for number in range(1, 6)]


def load(file: Path, **options: Any) -> BenchmarkDataset:
    return dataset_class("csv")(csv=file, **options)


def message_of(file: Path, **options: Any) -> str:
    with pytest.raises(DataError, match=r".") as error:
        load(file, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos of each of three classes, and nothing that says which is which."""
    write_images(tmp_path / "data", [path for path, _ in ROWS])
    return tmp_path / "data"


def write_table(folder: Path, rows: list[tuple], header: str = "path,label", name: str = "list.csv") -> Path:
    file = folder / name
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def parted(rows: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Of each class: three photos to train on, one for validation, one for testing."""
    parts = ("train", "train", "train", "val", "test")
    return [(path, label, parts[place % 5]) for place, (path, label) in enumerate(rows)]


def test_paths_and_labels_are_enough(folder: Path) -> None:
    dataset = load(write_table(folder, ROWS), num_shots=4, seed=1)
    assert list(dataset.classnames) == sorted(PETS)
    assert (len(dataset.train_x), dataset.val, len(dataset.test)) == (12, None, 3)
    assert label_by_path(dataset) == dict(ROWS)


def test_a_config_names_the_file(folder: Path) -> None:
    file = write_table(folder, ROWS)
    wanted = paths_by_part(load(file, num_shots=2, seed=1))
    for given in ({"CSV": str(file), "ROOT": "ignored"}, {"CSV": "", "ROOT": str(file)}, {"ROOT": str(file)}):
        cfg = CfgNode({"DATASET": {**given, "NUM_SHOTS": 2}, "SEED": 1})
        assert paths_by_part(dataset_class("csv")(cfg)) == wanted


def test_a_split_column_is_followed(folder: Path) -> None:
    dataset = load(write_table(folder, parted(ROWS), "path,label,split"))
    wanted: dict[str, set[str]] = {"train": set(), "val": set(), "test": set()}
    for path, _, part in parted(ROWS):
        wanted[part].add(path)
    assert paths_by_part(dataset) == wanted
    assert not list(folder.glob("split_lamm_*"))


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [("Train", "Validation", "Testing"), (" training ", "valid", "TEST"), ("train", "dev", "test")],
)
def test_parts_may_be_called_as_usual(train: str, val: str, test: str, folder: Path) -> None:
    names = {"train": train, "val": val, "test": test}
    rows = [(path, label, names[part]) for path, label, part in parted(ROWS)]
    dataset = load(write_table(folder, rows, "path,label,split"))
    assert [len(items) for items in (dataset.train_x, dataset.val, dataset.test)] == [9, 3, 3]


def test_the_order_of_the_file_is_that_of_the_images(folder: Path) -> None:
    rows = [(path, label, "test" if path.endswith("5.jpg") else "train") for path, label in ROWS[::-1]]
    dataset = load(write_table(folder, rows, "path,label,split"))
    assert [Path(item.impath).name for item in dataset.train_x] == [
        Path(path).name for path, _, part in rows if part == "train"
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_separators_line_ends_and_marks_of_spreadsheets_are_understood(
    delimiter: str, mark: bytes, end: str, folder: Path
) -> None:
    lines = [delimiter.join(row) for row in [("path", "label"), *ROWS]]
    file = folder / "list.csv"
    file.write_bytes(mark + end.join(lines).encode("utf-8"))
    assert label_by_path(load(file)) == dict(ROWS)


def test_names_may_hold_spaces_umlauts_slashes_and_separators(folder: Path) -> None:
    names = dict(zip(PETS, ["Große Bücherstütze", "F/A-18 (C/V)", 'the "best", 日本; x'], strict=True))
    lines = ["path;label"] + ['{};"{}"'.format(path, names[label].replace('"', '""')) for path, label in ROWS]
    (folder / "list.csv").write_text("\n".join(lines), encoding="utf-8")
    dataset = load(folder / "list.csv", num_shots=1, seed=1)
    assert sorted(dataset.classnames) == sorted(names.values())
    assert label_by_path(load(folder / "list.csv")) == {path: names[label] for path, label in ROWS}
    assert {entry.name for entry in folder.iterdir()} == {"list.csv", "photos", "split_fewshot", "split_lamm_list.json"}


def test_columns_may_have_other_names_an_order_of_their_own_and_company(folder: Path) -> None:
    rows = [(7, label, "a note", path) for path, label in ROWS]
    assert label_by_path(load(write_table(folder, rows, "id, Class ,comment,FILENAME"))) == dict(ROWS)


def test_white_space_around_values_and_blank_lines_do_not_count(folder: Path) -> None:
    lines = ["path , label", ""] + [f" {path} ,  {label} \n" for path, label in ROWS] + ["", ""]
    (folder / "list.csv").write_text("\n".join(lines))
    assert label_by_path(load(folder / "list.csv")) == dict(ROWS)


@pytest.mark.parametrize("name", ["list.jsonl", "list.ndjson"])
def test_jsonl_is_read(name: str, folder: Path) -> None:
    lines = [json.dumps({"label": label, "path": path, "split": part, "id": 3}) for path, label, part in parted(ROWS)]
    (folder / name).write_text("\n\n".join(lines), encoding="utf-8-sig")
    dataset = load(folder / name)
    assert label_by_path(dataset) == dict(ROWS)
    assert [len(items) for items in (dataset.train_x, dataset.val, dataset.test)] == [9, 3, 3]


def test_labels_that_are_numbers_are_ordered_by_value(folder: Path) -> None:
    numbers = dict(zip(PETS, [10, 9, 2], strict=True))
    assert load(write_table(folder, [(path, numbers[label]) for path, label in ROWS])).classnames == ["2", "9", "10"]
    lines = [json.dumps({"path": path, "label": numbers[label]}) for path, label in ROWS]
    (folder / "list.jsonl").write_text("\n".join(lines))
    assert load(folder / "list.jsonl").classnames == ["2", "9", "10"]


def test_numbers_that_are_written_in_two_ways_do_not_make_two_classes_of_one_number(folder: Path) -> None:
    rows = [(path, {"cat": "7", "dog": "07", "guinea pig": "3"}[label]) for path, label in ROWS]
    dataset = load(write_table(folder, rows))
    assert sorted(dataset.classnames) == ["07", "3", "7"]
    assert load(write_table(folder, rows[::-1])).classnames == dataset.classnames


def test_classnames_txt_beside_the_list_gives_better_names(folder: Path) -> None:
    numbers = dict(zip(PETS, [10, 9, 2], strict=True))
    file = write_table(folder, [(path, numbers[label]) for path, label in ROWS])
    (folder / "classnames.txt").write_text("2\tguinea pig\n9: dog\n10 house cat\n", encoding="utf-8")
    assert load(file).classnames == ["guinea pig", "dog", "house cat"]


def test_paths_are_relative_to_the_file_not_to_where_one_stands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(folder, ROWS)
    monkeypatch.chdir(folder.parent)
    for file in ("data/list.csv", "./data/../data/list.csv"):
        assert all(Path(item.impath).is_file() for item in load(Path(file)).train_x)
        assert Path(load(Path(file)).train_x[0].impath).is_absolute()


def test_backward_slashes_and_leading_dots_are_the_same_path(folder: Path) -> None:
    plain = paths_by_part(load(write_table(folder, ROWS)))
    windows = [(path.replace("/", "\\"), label) for path, label in ROWS]
    dotted = [(f"./{path}", label) for path, label in ROWS]
    for rows in (windows, dotted):
        assert paths_by_part(load(write_table(folder, rows))) == plain


def test_paths_may_be_absolute_or_lead_elsewhere(folder: Path) -> None:
    rows = [(folder / path if label == "cat" else f"../data/{path}", label) for path, label in ROWS]
    (folder / "lists").mkdir()
    file = write_table(folder / "lists", [(str(path).replace("../data", ".."), label) for path, label in rows])
    dataset = load(file)
    items = [*dataset.train_x, *dataset.test]
    assert {Path(item.impath).resolve().relative_to(folder).as_posix(): item.classname for item in items} == dict(ROWS)


def test_what_is_split_here_is_kept_beside_the_list(folder: Path) -> None:
    file = write_table(folder, ROWS, name="my.best.photos.csv")
    found = paths_by_part(load(file))
    kept = json.loads((folder / "split_lamm_my.best.photos.json").read_bytes())
    assert {part: set(paths) for part, paths in kept.items()} == found
    assert paths_by_part(load(write_table(folder, ROWS[::-1], name="my.best.photos.csv"))) == found


def test_rows_that_join_get_a_part_and_the_others_keep_theirs(folder: Path) -> None:
    old = paths_by_part(load(write_table(folder, ROWS)))
    new_rows = [(f"photos/new {number}.jpg", "dog") for number in range(5)]
    write_images(folder, [path for path, _ in new_rows])
    new = paths_by_part(load(write_table(folder, [*new_rows, *ROWS])))
    assert all(old[part] <= new[part] for part in old)
    assert len(new["test"]) == 4


def test_two_lists_in_one_folder_do_not_mix(folder: Path) -> None:
    whole, half = write_table(folder, ROWS), write_table(folder, ROWS[:10], name="half.csv")
    for _ in range(2):
        for file, rows in ((whole, ROWS), (half, ROWS[:10])):
            assert label_by_path(load(file)) == dict(rows)
            picked = paths_by_part(load(file, num_shots=2, seed=1))["train"]
            assert len(picked) == 2 * len({label for _, label in rows})
            assert picked <= paths_by_part(load(file))["train"]


def test_a_read_only_place_has_the_same_parts_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    file = write_table(folder, ROWS)
    before = tree(folder)
    with monkeypatch.context() as patched:
        make_read_only(patched, folder)
        first, second = (paths_by_part(load(file, num_shots=3, seed=1)) for _ in range(2))
    assert tree(folder) == before
    assert any("not stored" in line for line in logged)
    assert first == second == paths_by_part(load(file, num_shots=3, seed=1))


def test_validation_images_are_tested_on_where_there_are_no_others(folder: Path, logged: list[str]) -> None:
    rows = [(path, label, "val" if part == "test" else part) for path, label, part in parted(ROWS)]
    dataset = load(write_table(folder, rows, "path,label,split"))
    assert (len(dataset.train_x), len(dataset.test)) == (9, 6)
    assert any("validation images are the test images" in line for line in logged)


def test_halves_of_the_classes_work(folder: Path) -> None:
    new = load(write_table(folder, ROWS), subsample_classes="new", num_shots=1, seed=1)
    assert (new.classnames, len(new.train_x)) == (["guinea pig"], 1)


def test_a_folder_in_place_of_the_list_is_an_error_that_names_the_argument(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"--csv FILE.*is a folder"):
        load(folder)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "nowhere.csv") in message_of(tmp_path / "nowhere.csv")
    assert list(tmp_path.iterdir()) == []


def test_missing_images_are_counted_and_the_first_is_named(folder: Path) -> None:
    file = write_table(folder, [*ROWS, ("photos/gone.jpg", "cat"), ("photos/lost.jpg", "cat")])
    message = message_of(file, num_shots=1, seed=1)
    assert "2 of 17 images are missing" in message
    assert '"photos/gone.jpg"' in message or '"photos/lost.jpg"' in message
    assert not list(folder.glob("split_*"))


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    write_images(tmp_path, [f"{name}{number}.jpg" for name in "ab" for number in range(5)])
    return tmp_path


def mistake_in(file: Path) -> str:
    with pytest.raises(DataError, match=r".") as error:
        dataset_class("csv")(csv=file)
    assert "\n" not in str(error.value)
    assert str(file) in str(error.value)
    assert not list(file.parent.glob("split_*"))
    return str(error.value)


def good_rows(part: str = "") -> list[str]:
    return [f"{name}{number}.jpg,{name}{part}" for name in "ab" for number in range(5)]


def csv_of(letters: Path, lines: list[str]) -> Path:
    (letters / "list.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return letters / "list.csv"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("a0.jpg,", ["label"]),
        ("a9.jpg", ["label"]),
        (",a", ["path"]),
        (" ,a", ["path"]),
        ("a0.jpg,b", ["a0.jpg", "line 2"]),
        ("./a0.jpg,a", ["a0.jpg", "line 2"]),
        ("a5.jpg,red, big and heavy", ["big and heavy"]),
    ],
    ids=["no label", "one field", "no path", "blank path", "twice", "twice with a dot", "a comma too many"],
)
def test_a_wrong_row_is_named_with_its_line(row: str, words: list[str], letters: Path) -> None:
    write_images(letters, ["a5.jpg"])
    message = mistake_in(csv_of(letters, ["path,label", *good_rows(), row]))
    assert "line 12" in message
    assert all(word in message for word in words)


def test_blank_lines_count_as_lines(letters: Path) -> None:
    rows = good_rows()
    assert "line 15" in mistake_in(csv_of(letters, ["path,label", "", *rows[:5], "", "", *rows[5:], "a0.jpg,"]))


def test_lines_within_quotes_count_as_lines(letters: Path) -> None:
    quoted = '"a5.jpg","a\nname of\nthree lines"'
    write_images(letters, ["a5.jpg"])
    message = mistake_in(csv_of(letters, ["path,label", quoted, *good_rows(), "b9.jpg,"]))
    assert "line 15" in message


@pytest.mark.parametrize("part", ["trainval"])
def test_an_unknown_part_is_named_with_its_line(part: str, letters: Path) -> None:
    rows = [*good_rows(",train"), f"a5.jpg,a,{part}"]
    message = mistake_in(csv_of(letters, ["path,label,split", *rows]))
    assert "line 12" in message
    assert f'"{part}"' in message
    assert "train, val, test" in message


def test_a_part_that_only_some_rows_have_is_refused(letters: Path) -> None:
    rows = good_rows(",train")
    rows[4] = "a4.jpg,a,"
    assert "line 6" in mistake_in(csv_of(letters, ["path,label,split", *rows]))


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_class_without_training_image_is_named_with_its_line(part: str, letters: Path) -> None:
    write_images(letters, ["c.jpg"])
    message = mistake_in(csv_of(letters, ["path,label,split", *good_rows(",train"), f"c.jpg,stranger,{part}"]))
    assert "line 12" in message
    assert "stranger" in message


@pytest.mark.parametrize(
    "header", ["a0.jpg,a", "path,name", "label,split", "path|label"],
)  # fmt: skip
def test_a_header_without_path_and_label_is_refused(header: str, letters: Path) -> None:
    message = mistake_in(csv_of(letters, [header, *good_rows()]))
    assert "path" in message
    assert "label" in message


@pytest.mark.parametrize("text", ["", "path,label\n\n"])
def test_a_list_of_nothing_is_refused(text: str, letters: Path) -> None:
    (letters / "list.csv").write_text(text, encoding="utf-8")
    assert mistake_in(letters / "list.csv")


def test_a_single_class_is_refused(letters: Path) -> None:
    assert '"a"' in mistake_in(csv_of(letters, ["path,label", *good_rows()[:5]]))


def test_a_single_image_of_every_class_is_refused(letters: Path) -> None:
    (letters / "list.csv").write_text("path,label\na0.jpg,a\nb0.jpg,b\n")
    with pytest.raises(DataError, match=r"test"):
        dataset_class("csv")(csv=letters / "list.csv")
    assert not list(letters.glob("split_*"))


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
def test_another_encoding_is_refused_with_the_remedy(encoding: str, letters: Path) -> None:
    text = "path,label\n" + "\n".join(good_rows()) + "\na5.jpg,Kätzchen\n"
    (letters / "list.csv").write_bytes(text.encode(encoding))
    assert "UTF-8" in mistake_in(letters / "list.csv")


def test_a_quote_that_never_ends_is_refused(letters: Path) -> None:
    mistake_in(csv_of(letters, ["path,label", *good_rows(), '"a5.jpg,a']))


def test_a_field_longer_than_any_name_is_refused(letters: Path) -> None:
    mistake_in(csv_of(letters, ["path,label", *good_rows(), f'"{"x" * 200_000}",a']))


def test_a_column_that_comes_twice_is_refused(letters: Path) -> None:
    rows = [f"{row},{'ab'[number % 2]}" for number, row in enumerate(good_rows())]
    assert "label" in mistake_in(csv_of(letters, ["path,label,label", *rows]))


@pytest.mark.parametrize("name", ["a\0b.jpg", "\0"])
def test_a_path_that_no_file_can_have_is_refused(name: str, letters: Path) -> None:
    mistake_in(csv_of(letters, ["path,label", *good_rows(), f"{name},a"]))


@pytest.mark.parametrize(
    "line",
    [
        "{", "[]", '{"path": "a5.jpg"}', '{"label": "a"}', '{"path": "a5.jpg", "label": ""}',
        '{"path": "a5.jpg", "label": true}', '{"path": "a5.jpg", "label": ["a"]}', '{"path": null, "label": "a"}',
        '{"path": "a5.jpg", "label": "a", "split": "tests"}', '{"path": "a0.jpg", "label": "a"}', "[" * 5000,
        '{"path": "a5.jpg", "label": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_wrong_line_of_jsonl_is_named_with_its_number(line: str, letters: Path) -> None:
    good = [json.dumps({"path": f"{name}{number}.jpg", "label": name}) for name in "ab" for number in range(5)]
    (letters / "list.jsonl").write_text("\n".join([*good[:2], "", line, *good[2:]]), encoding="utf-8")
    assert "line 4" in mistake_in(letters / "list.jsonl") or '"a0.jpg"' in line


def test_a_folder_with_metadata_is_its_list(folder: Path) -> None:
    write_table(folder, ROWS, "file_name,label", "metadata.csv")
    assert label_by_path(dataset_class("csv")(root=folder)) == dict(ROWS)
    (folder / "metadata.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="--csv FILE"):
        dataset_class("csv")(root=folder)


def test_words_beside_numbers_are_the_class_names_and_it_is_said(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = {name: number for number, name in enumerate(reversed(PETS))}
    rows = [(path, numbers[label], label) for path, label in ROWS]
    assert load(write_table(folder, rows, "path,label,classname")).classnames == list(PETS)[::-1]
    assert 'the words in "classname"' in capsys.readouterr().out


def test_class_names_of_digits_only_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {name: float(number) for number, name in enumerate(PETS)}
    assert load(write_table(folder, [(path, numbers[label]) for path, label in ROWS])).classnames == ["0", "1", "2"]
    assert '3 class names are digits only ("0", "1", "2")' in capsys.readouterr().out
