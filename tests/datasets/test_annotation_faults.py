"""The text and MATLAB files that data sets come with, broken in the ways that they are broken in practice."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lamm.datasets import dataset_class
from lamm.errors import DataError
from tests.datasets.miniature_files import write_cells, write_matlab, write_structs
from tests.datasets.miniature_trees import Truth, build_miniature

# Every list: data set, file.
TEXTS = [
    ("oxford_pets", "annotations/trainval.txt"),
    ("oxford_pets", "annotations/test.txt"),
    ("fgvc_aircraft", "variants.txt"),
    ("fgvc_aircraft", "images_variant_train.txt"),
    ("fgvc_aircraft", "images_variant_val.txt"),
    ("fgvc_aircraft", "images_variant_test.txt"),
    ("sun397", "ClassName.txt"),
    ("sun397", "Training_01.txt"),
    ("sun397", "Testing_01.txt"),
    ("ucf101", "ucfTrainTestlist/classInd.txt"),
    ("ucf101", "ucfTrainTestlist/trainlist01.txt"),
    ("ucf101", "ucfTrainTestlist/testlist01.txt"),
    ("imagenet", "classnames.txt"),
    ("imagenetv2", "classnames.txt"),
    ("imagenet_sketch", "classnames.txt"),
    ("imagenet_a", "classnames.txt"),
    ("imagenet_r", "classnames.txt"),
]
# One for each data set with lists of its own.
LISTS = [TEXTS[0], TEXTS[3], TEXTS[7], TEXTS[9], TEXTS[12]]
MATLAB = [
    ("stanford_cars", "devkit/cars_meta.mat"),
    ("stanford_cars", "devkit/cars_train_annos.mat"),
    ("stanford_cars", "cars_test_annos_withlabels.mat"),
    ("oxford_flowers", "imagelabels.mat"),
]


def loaded(name: str, root: Path) -> tuple[str, list[str]]:
    found = dataset_class(name)(root=root)
    return found.split_hash, list(found.classnames)


def message_of(name: str, root: Path) -> str:
    with pytest.raises(DataError, match=r".") as error:
        dataset_class(name)(root=root)
    assert "\n" not in str(error.value)
    return str(error.value)


def edited(truth: Truth, file: str, change: Callable[[list[bytes]], list[bytes]], end: bytes = b"\n") -> None:
    """Change the lines of a text file."""
    path = truth.folder / file
    path.write_bytes(b"".join(line + end for line in change(path.read_bytes().splitlines())))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\r\n", b"\n").rstrip(b"\n"),
        lambda text: b"\n\n" + text.replace(b"\n", b"\n\n", 2) + b"\n  \n\t\n",
        lambda text: text.replace(b"\n", b"  \n"),
    ],
    ids=["byte order mark", "CRLF", "no newline at the end", "blank lines", "spaces at the ends"],
)
@pytest.mark.parametrize(("name", "file"), LISTS)
def test_harmless_differences_change_nothing(
    name: str, file: str, change: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    build_miniature(name, tmp_path / "plain")
    truth = build_miniature(name, tmp_path / "changed")
    path = truth.folder / file
    path.write_bytes(change(path.read_bytes()))
    assert loaded(name, tmp_path / "changed") == loaded(name, tmp_path / "plain")


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16-le"])
@pytest.mark.parametrize(("name", "file"), LISTS[:2])
def test_text_of_another_encoding_is_refused_with_its_file(name: str, file: str, encoding: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    path = truth.folder / file
    path.write_bytes((path.read_text(encoding="utf-8") + "Café 1\n").encode(encoding))
    message = message_of(name, tmp_path)
    assert str(path) in message
    assert "UTF-8" in message


@pytest.mark.parametrize(("name", "file"), LISTS)
def test_an_empty_list_is_refused_with_its_file(name: str, file: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    (truth.folder / file).write_text("\n \n")
    assert str(truth.folder / file) in message_of(name, tmp_path)


@pytest.mark.parametrize(("name", "file"), [*TEXTS, *MATLAB, ("oxford_flowers", "cat_to_name.json")])
def test_a_file_that_is_missing_is_named(name: str, file: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    (truth.folder / file).unlink()
    message = message_of(name, tmp_path)
    assert str(truth.folder / file) in message
    assert not list(truth.folder.glob("split_*"))


@pytest.mark.parametrize(
    ("name", "file", "line"),
    [
        ("oxford_pets", "annotations/trainval.txt", "Abyssinian_1 1 1"),
        ("oxford_pets", "annotations/trainval.txt", "Abyssinian_1 1 1 1 1"),
        ("oxford_pets", "annotations/trainval.txt", "Abyssinian_1 one 1 1"),
        ("oxford_pets", "annotations/trainval.txt", "Abyssinian_1 0 1 1"),
        ("oxford_pets", "annotations/test.txt", "Abyssinian 1 1 1"),
        ("oxford_pets", "annotations/trainval.txt", "../../outside_1 1 1 1"),
        ("fgvc_aircraft", "images_variant_train.txt", "0034309"),
        ("fgvc_aircraft", "images_variant_train.txt", "0034309 F/A-19"),
        ("fgvc_aircraft", "images_variant_test.txt", "0034309 F/A-18 Hornet"),
        ("fgvc_aircraft", "images_variant_test.txt", "../../0034309 F/A-18"),
        ("sun397", "Training_01.txt", "/a/abbeys/sun_a.jpg"),
        ("sun397", "Testing_01.txt", "sun_a.jpg"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "5"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "Fencing 5"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", "0 Fencing"),
        ("ucf101", "ucfTrainTestlist/trainlist01.txt", "ApplyLipstick/v_ApplyLipstick_g08_c01.avi 2"),
        ("ucf101", "ucfTrainTestlist/testlist01.txt", "v_YoYo_g01_c01.avi"),
        ("imagenet", "classnames.txt", "n01440767"),
        ("imagenet_a", "classnames.txt", "n01440764 tench"),
    ],
)
def test_a_malformed_line_is_named_with_its_number(name: str, file: str, line: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    edited(truth, file, lambda lines: [*lines[:2], b"", line.encode(), *lines[2:]])
    message = message_of(name, tmp_path)
    assert str(truth.folder / file) in message
    assert "line 4" in message or line.split()[0] in message


def test_an_aircraft_list_separates_at_the_first_space_only(tmp_path: Path) -> None:
    truth = build_miniature("fgvc_aircraft", tmp_path)
    found = dataset_class("fgvc_aircraft")(root=tmp_path)
    assert "Model B200" in found.classnames
    assert "F/A-18" in found.classnames
    assert {Path(item.impath).name for item in found.train_x} == (truth.official or {})["train"]


@pytest.mark.parametrize(
    ("name", "file", "twice"),
    [
        ("fgvc_aircraft", "variants.txt", b"707-320"),
        ("sun397", "ClassName.txt", b"/a/abbey"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", b"5 ApplyEyeMakeup"),
        ("ucf101", "ucfTrainTestlist/classInd.txt", b"1 Fencing"),
        ("imagenetv2", "classnames.txt", b"n01440764 another tench"),
    ],
)
def test_a_class_that_comes_twice_is_refused(name: str, file: str, twice: bytes, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    edited(truth, file, lambda lines: [twice, *lines])
    assert message_of(name, tmp_path)


def test_the_lines_of_classnames_may_come_in_any_order(tmp_path: Path) -> None:
    for name in ("imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"):
        truth = build_miniature(name, tmp_path)
        edited(truth, "classnames.txt", lambda lines: lines[::-1])
        assert loaded(name, tmp_path)[1] == truth.classnames


def test_a_class_name_may_hold_umlauts_and_spaces(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    edited(truth, "classnames.txt", lambda lines: ["n01440764 Große  Schleie".encode(), *lines[1:]])
    assert loaded("imagenet", tmp_path)[1][0] == "Große  Schleie"


def test_a_breed_that_no_training_image_has_is_a_gap(tmp_path: Path) -> None:
    truth = build_miniature("oxford_pets", tmp_path)
    edited(truth, "annotations/trainval.txt", lambda lines: [line for line in lines if b"Bengal" not in line])
    assert "label 2" in message_of("oxford_pets", tmp_path)


def test_a_breed_with_two_numbers_is_refused(tmp_path: Path) -> None:
    truth = build_miniature("oxford_pets", tmp_path)
    edited(truth, "annotations/test.txt", lambda lines: [line.replace(b"Bengal_9 3", b"Bengal_9 2") for line in lines])
    assert "label 1 has two names" in message_of("oxford_pets", tmp_path)


@pytest.mark.parametrize(
    ("name", "file", "damage"),
    [
        (*MATLAB[0], "empty"),
        (*MATLAB[1], "cut"),
        (*MATLAB[2], "text"),
        (*MATLAB[3], "another variable"),
        (*MATLAB[3], "hdf5"),
    ],
)
def test_a_broken_matlab_file_is_named(name: str, file: str, damage: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    path = truth.folder / file
    if damage == "another variable":
        write_matlab(path, {"other": np.zeros((1, 3))})
    else:
        whole = path.read_bytes()
        hdf5 = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"
        texts = {"empty": b"", "cut": whole[: len(whole) * 2 // 3], "text": b"<html>404</html>", "hdf5": hdf5}
        path.write_bytes(texts[damage])
    assert str(path) in message_of(name, tmp_path)


def test_the_unlabelled_test_annotations_are_refused(tmp_path: Path) -> None:
    truth = build_miniature("stanford_cars", tmp_path)
    (truth.folder / "devkit" / "cars_test_annos.mat").rename(truth.folder / "cars_test_annos_withlabels.mat")
    assert "cars_test_annos_withlabels.mat" in message_of("stanford_cars", tmp_path)


@pytest.mark.parametrize("number", [0, 5])
def test_a_car_of_a_class_without_name_is_refused(number: int, tmp_path: Path) -> None:
    truth = build_miniature("stanford_cars", tmp_path)
    annotations = [{"class": np.uint8(number), "fname": "00001.jpg"}]
    write_structs(truth.folder / "cars_test_annos_withlabels.mat", "annotations", annotations)
    message = message_of("stanford_cars", tmp_path)
    assert "00001.jpg" in message
    assert "cars_test_annos_withlabels.mat" in message


def test_a_car_file_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    truth = build_miniature("stanford_cars", tmp_path)
    (tmp_path / "outside.jpg").write_bytes(b"outside")
    annotations = [{"class": np.uint8(1), "fname": "../../outside.jpg"}]
    write_structs(truth.folder / "cars_test_annos_withlabels.mat", "annotations", annotations)
    assert "outside.jpg" in message_of("stanford_cars", tmp_path)


@pytest.mark.parametrize("names", [["", "Audi TTS Coupe 2012", "Ram C/V Cargo Van Minivan 2012", "smart 2012"]])
def test_a_car_without_name_is_refused(names: list[str], tmp_path: Path) -> None:
    truth = build_miniature("stanford_cars", tmp_path)
    write_cells(truth.folder / "devkit" / "cars_meta.mat", "class_names", names)
    assert "cars_meta.mat" in message_of("stanford_cars", tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"1": "pink primrose"}', '{"1": 1, "2": 2, "3": 3, "4": 4}', '{"1": "", "2": "b", "3": "c", "4": "d"}'],
)
def test_flower_names_that_are_not_all_there_are_refused(text: str, tmp_path: Path) -> None:
    truth = build_miniature("oxford_flowers", tmp_path)
    (truth.folder / "cat_to_name.json").write_text(text)
    assert "cat_to_name.json" in message_of("oxford_flowers", tmp_path)


def test_flower_names_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    truth = build_miniature("oxford_flowers", tmp_path)
    path = truth.folder / "cat_to_name.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1), encoding="utf-8-sig")
    assert loaded("oxford_flowers", tmp_path)[1] == truth.classnames


def test_more_flower_labels_than_images_are_missing_images(tmp_path: Path) -> None:
    truth = build_miniature("oxford_flowers", tmp_path)
    labels = [label + 1 for label in truth.label_of.values()] + [1, 2]
    write_matlab(truth.folder / "imagelabels.mat", {"labels": np.array([labels], dtype=np.uint8)})
    assert "2 of 36 images" in message_of("oxford_flowers", tmp_path)


@pytest.mark.parametrize("label", [float("nan"), float("inf"), -1.0, 0.0, 1e300])
def test_flower_labels_that_mean_nothing_are_refused(label: float, tmp_path: Path) -> None:
    truth = build_miniature("oxford_flowers", tmp_path)
    labels = [float(known + 1) for known in truth.label_of.values()]
    write_matlab(truth.folder / "imagelabels.mat", {"labels": np.array([[label, *labels[1:]]])})
    message = message_of("oxford_flowers", tmp_path)
    assert "imagelabels.mat" in message or "cat_to_name.json" in message
