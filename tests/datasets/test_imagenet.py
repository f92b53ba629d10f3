"""ImageNet and its variants: the list of images, kept beside the data; and what goes wrong with class folders."""

import json
import os
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lamm.datasets import dataset_class
from lamm.datasets import listing as listed_images
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.imagenet import ImageNet
from lamm.datasets.splits import hash_of_split, split_as_text
from lamm.errors import DataError
from tests.datasets.miniature_trees import NAMES, SOME_IDS, Truth, build_miniature
from tests.datasets.simulated_disks import list_in_another_order
from tests.reference.published_rules import few_shot

PROGRAM = Path(__file__).parent / "simulated_imagenet.py"
LONG_AGO = 1_500_000_000


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    """An ImageNet whose folders have not changed for long."""
    found = build_miniature("imagenet", tmp_path)
    for folder in class_folders(found):
        os.utime(folder, (LONG_AGO, LONG_AGO))
    return found


def class_folders(truth: Truth) -> list[Path]:
    return [folder for part in ("train", "val") for folder in sorted((truth.folder / "images" / part).iterdir())]


def kept_file(truth: Truth) -> Path:
    (file,) = truth.folder.glob("listing_lamm_ImageNet*")
    return file


def load(truth: Truth, **options: Any) -> ImageNet:
    return ImageNet(root=truth.folder.parent, **options)


def relative(truth: Truth, items: Any) -> list[str]:
    return [Path(item.impath).relative_to(truth.folder / "images").as_posix() for item in items]


def listed_folders(monkeypatch: pytest.MonkeyPatch, truth: Truth) -> list[str]:
    """The class folders that are listed during the rest of the test."""
    scandir, listdir, seen = os.scandir, os.listdir, []

    def note(path: Any) -> None:
        if Path(path).parent.parent == truth.folder / "images":
            seen.append(f"{Path(path).parent.name}/{Path(path).name}")

    def noting(original: Any) -> Any:
        def call(path: Any = ".") -> Any:
            note(path)
            return original(path)

        return call

    monkeypatch.setattr(os, "scandir", noting(scandir))
    monkeypatch.setattr(os, "listdir", noting(listdir))
    return seen


def test_images_come_by_class_and_name_whatever_the_system_lists(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    list_in_another_order(monkeypatch, 5)
    dataset = load(truth)
    wanted = sorted(truth.label_of)
    assert relative(truth, dataset.train_x) == [path for path in wanted if path.startswith("train/")]
    assert relative(truth, dataset.test) == [path for path in wanted if path.startswith("val/")]


def test_few_shot_picks_are_those_of_the_sorted_list(truth: Truth) -> None:
    train = [(path, truth.label_of[path]) for path in sorted(truth.label_of) if path.startswith("train/")]
    for shots, seed in ((1, 1), (4, 0), (5, 2), (16, 3)):
        drawn = relative(truth, load(truth, num_shots=shots, seed=seed).train_x)
        assert drawn == few_shot(train, shots, random.Random(seed))


def test_validation_images_are_the_test_images_and_are_not_sampled(truth: Truth) -> None:
    dataset = load(truth, num_shots=1, seed=1)
    assert dataset.val is dataset.test
    assert len(dataset.test) == 24


def test_a_second_load_lists_no_class_folder(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(truth)
    before = kept_file(truth).read_bytes()
    seen = listed_folders(monkeypatch, truth)
    second = load(truth)
    assert seen == []
    assert second.split_hash == first.split_hash
    assert relative(truth, second.train_x) == relative(truth, first.train_x)
    assert kept_file(truth).read_bytes() == before


@pytest.mark.parametrize("change", ["join", "go", "rename"])
def test_a_changed_folder_is_listed_again_and_no_other(
    change: str, truth: Truth, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = load(truth)
    folder = truth.folder / "images" / "train" / "n01484850"
    first = min(folder.iterdir())
    if change == "join":
        (folder / "n01484850_1.JPEG").write_bytes(first.read_bytes())
    elif change == "go":
        first.unlink()
    else:
        first.rename(folder / "n01484850_renamed.JPEG")
    seen = listed_folders(monkeypatch, truth)
    after = load(truth)
    assert seen == ["train/n01484850"]
    assert after.split_hash != before.split_hash
    assert {Path(item.impath).name for item in after.train_x if item.label == 2} == set(os.listdir(folder))


def test_changed_images_get_new_few_shot_picks(truth: Truth) -> None:
    before = relative(truth, load(truth, num_shots=2, seed=1).train_x)
    gone = truth.folder / "images" / before[0]
    gone.unlink()
    after = load(truth, num_shots=2, seed=1)
    train = [(item.path, item.label) for item in ImageNet.split_on_disk(truth.folder.parent).train]
    assert relative(truth, after.train_x) == few_shot(train, 2, random.Random(1))
    assert before[0] not in relative(truth, after.train_x)


def test_a_folder_that_changes_within_the_clocks_tick_is_not_served_stale(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    folder = truth.folder / "images" / "train" / "n01440764"
    load(truth)
    stamp = os.stat(folder)
    (folder / "n01440764_1.JPEG").write_bytes(b"joined in the same tick")
    os.utime(folder, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert "train/n01440764/n01440764_1.JPEG" in relative(truth, load(truth).train_x)


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]\n", b"null\n", b'{"folder": "train/n01440764"}\n', b"\xff\xfe\n", b'{"a": ' * 50_000, None],
    ids=["empty", "cut", "list", "null", "no names", "binary", "deep", "half"],
)
def test_a_damaged_list_is_made_anew(damage: bytes | None, truth: Truth) -> None:
    before = load(truth)
    file = kept_file(truth)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert load(truth).split_hash == before.split_hash
    assert file.read_bytes() == whole


def test_a_kept_list_with_a_path_in_it_is_not_served(truth: Truth) -> None:
    before = load(truth)
    file = kept_file(truth)
    file.write_text(file.read_text().replace("n01440764_74.JPEG", "../../../../secret.JPEG"))
    assert load(truth).split_hash == before.split_hash


def test_the_kept_list_holds_no_absolute_path_and_no_pickle(truth: Truth) -> None:
    load(truth)
    text = kept_file(truth).read_text(encoding="utf-8")
    assert str(truth.folder) not in text
    assert [json.loads(line)["folder"] for line in text.splitlines()] == [
        folder.relative_to(truth.folder / "images").as_posix() for folder in class_folders(truth)
    ]
    assert not list(truth.folder.rglob("*.pkl"))


def test_a_pickled_list_of_the_published_code_is_left_alone(truth: Truth) -> None:
    (truth.folder / "preprocessed.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    assert len(load(truth).train_x) == 60


def test_the_hash_is_that_of_the_whole_split_as_text(truth: Truth) -> None:
    split = ImageNet.split_on_disk(truth.folder.parent)
    assert load(truth).split_hash == hash_of_split(split)
    text = split_as_text(type(split)(list(split.train), list(split.val), list(split.test)))
    content = json.loads(text)
    assert (len(content["train"]), len(content["test"])) == (60, 24)


def test_listed_data_are_a_sequence(truth: Truth) -> None:
    data = load(truth).train_x
    paths = [item.impath for item in data]
    assert len(data) == len(paths) == 60
    assert [data[place].impath for place in range(60)] == paths
    assert [data[place - 60].impath for place in range(60)] == paths
    assert [item.impath for item in data[7:31:5]] == paths[7:31:5]
    for place in (60, -61):
        with pytest.raises(IndexError, match=r"60"):
            data[place]


def test_listed_data_reach_a_loader_process_that_starts_afresh(truth: Truth) -> None:
    data = load(truth).train_x
    sent = pickle.loads(pickle.dumps(data))
    assert [(item.impath, item.label) for item in sent] == [(item.impath, item.label) for item in data]


def test_an_image_that_is_asked_for_is_made_alone(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(truth).train_x
    made: list[str] = []
    plain = listed_images.SplitItem

    def counted(path: str, *rest: Any) -> Any:
        made.append(path)
        return plain(path, *rest)

    monkeypatch.setattr(listed_images, "SplitItem", counted)
    assert data[31].label == 6
    assert len(made) == 1


def simulated(root: Path, classes: int, images: int, shots: int) -> dict[str, Any]:
    arguments = [str(root), str(classes), str(images), str(shots)]
    done = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_memory_grows_by_little_more_than_the_names(tmp_path: Path) -> None:
    said = simulated(tmp_path, 100, 640, -1)
    assert (said["classes"], said["train"], said["test"], said["folders_listed"]) == (100, 64_000, 5_000, 200)
    assert (said["mb_peak"] - said["mb_before"]) * 2**20 / (64_000 + 5_000) < 200


@pytest.mark.slow
@pytest.mark.skipif("LAMM_FULL_SIZE" not in os.environ, reason="takes minutes: set LAMM_FULL_SIZE=1")
def test_all_of_imagenet_is_listed_within_a_minute_and_a_gigabyte(tmp_path: Path) -> None:
    first = simulated(tmp_path, 1000, 1281, 16)
    assert (first["classes"], first["train"], first["test"]) == (1000, 16_000, 50_000)
    assert first["seconds"] < 60
    assert first["mb_peak"] - first["mb_before"] < 200
    second = simulated(tmp_path, 1000, 1281, 16)
    assert second["folders_listed"] == 0
    assert (second["split_hash"], second["some"]) == (first["split_hash"], first["some"])
    whole = simulated(tmp_path, 1000, 1281, -1)
    assert (whole["train"], whole["folders_listed"]) == (1_281_000, 0)
    assert whole["mb_peak"] - whole["mb_before"] < 200


CLASS_FOLDERS = {
    "imagenet": ["images/train", "images/val"],
    "imagenetv2": ["imagenetv2-matched-frequency-format-val"],
    "imagenet_sketch": ["images"],
    "imagenet_a": ["imagenet-a"],
    "imagenet_r": ["imagenet-r"],
}


def load_variant(name: str, root: Path, **options: object) -> BenchmarkDataset:
    return dataset_class(name)(root=root, **options)


def message_of(name: str, root: Path, **options: object) -> str:
    with pytest.raises(DataError, match=r".") as error:
        load_variant(name, root, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", ["imagenet", "imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"])
def test_classes_with_one_name_stay_apart(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    found = load_variant(name, tmp_path)
    labels = [label for label, classname in enumerate(found.classnames) if classname == "missile"]
    assert len(labels) == 2
    for label, wnid in zip(labels, ("n03773504", "n04008634"), strict=True):
        images = {path for path, of_path in truth.label_of.items() if of_path == label}
        assert {item.impath for item in found.test if item.label == label} <= {
            str(found.image_folder / path) for path in images
        }
        assert sum(item.label == label for item in found.test) > 0
        assert name == "imagenetv2" or all(f"{wnid}/" in path for path in images)


def test_one_name_in_both_halves_is_two_classes(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    first, last = truth.folder / "images" / "train", truth.folder / "images" / "val"
    for part in (first, last):
        for wnid in sorted(set(NAMES) - {"n01440764", "n03773504", "n04008634"}):
            (part / wnid).rename(tmp_path / f"{part.name}_{wnid}")
    assert load_variant("imagenet", tmp_path, subsample_classes="base").classnames == ["tench", "missile"]
    assert load_variant("imagenet", tmp_path, subsample_classes="new").classnames == ["missile"]


def test_a_flat_imagenet_val_is_an_error_that_says_so(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    val = truth.folder / "images" / "val"
    for file in list(val.rglob("*.JPEG")):
        file.rename(val / file.name)
    for folder in [entry for entry in val.iterdir() if entry.is_dir()]:
        folder.rmdir()
    message = message_of("imagenet", tmp_path, num_shots=1, seed=1)
    assert str(val) in message
    assert re.search(r"folder for each class", message)


@pytest.mark.parametrize(("part", "other"), [("val", "train"), ("train", "val")])
def test_a_class_folder_that_one_part_of_imagenet_lacks_is_named(part: str, other: str, tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    (truth.folder / "images" / part / "n01491361").rename(tmp_path / "gone")
    message = message_of("imagenet", tmp_path)
    assert "n01491361" in message
    assert not list(truth.folder.glob("listing_lamm_*"))


def test_an_empty_training_folder_of_imagenet_is_an_error(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    for file in (truth.folder / "images" / "train" / "n01491361").iterdir():
        file.unlink()
    message = message_of("imagenet", tmp_path)
    assert "label 3" in message or "n01491361" in message


def test_an_empty_test_folder_of_imagenet_shifts_no_label(tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    for file in (truth.folder / "images" / "val" / "n01491361").iterdir():
        file.unlink()
    found = load_variant("imagenet", tmp_path)
    assert list(found.classnames) == truth.classnames
    images = {Path(item.impath).relative_to(found.image_folder).as_posix(): item.label for item in found.test}
    assert images == {path: truth.label_of[path] for path in images}
    assert set(images.values()) == set(range(12)) - {3}


@pytest.mark.parametrize("name", ["imagenet", "imagenet_sketch", "imagenet_a", "imagenet_r"])
def test_a_class_folder_that_classnames_does_not_know_is_an_error(name: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    for place in CLASS_FOLDERS[name]:
        known = sorted(entry for entry in (truth.folder / place).iterdir() if entry.is_dir())[0]
        (truth.folder / place / "n02000000").mkdir()
        for image in known.iterdir():
            (truth.folder / place / "n02000000" / image.name).write_bytes(image.read_bytes())
    message = message_of(name, tmp_path)
    assert "n02000000" in message
    assert "classnames.txt" in message


def test_a_sketch_class_without_folder_is_said_since_it_shifts_the_labels(tmp_path: Path, logged: list[str]) -> None:
    truth = build_miniature("imagenet_sketch", tmp_path)
    (truth.folder / "images" / "n01491361").rename(tmp_path / "gone")
    try:
        load_variant("imagenet_sketch", tmp_path)
    except DataError as error:
        logged.append(str(error))
    assert any("n01491361" in line for line in logged)


def test_a_number_that_imagenetv2_lacks_is_an_error(tmp_path: Path) -> None:
    truth = build_miniature("imagenetv2", tmp_path)
    (truth.folder / CLASS_FOLDERS["imagenetv2"][0] / "7").rename(tmp_path / "gone")
    assert "label 7" in message_of("imagenetv2", tmp_path)


def test_a_number_beyond_the_names_of_imagenetv2_is_an_error(tmp_path: Path) -> None:
    truth = build_miniature("imagenetv2", tmp_path)
    images = truth.folder / CLASS_FOLDERS["imagenetv2"][0]
    (images / "7").rename(images / "12")
    message = message_of("imagenetv2", tmp_path)
    assert "12" in message
    assert "classnames.txt" in message


@pytest.mark.parametrize(("name", "prefix"), [("imagenet_a", "imagenet-a"), ("imagenet_r", "imagenet-r")])
def test_labels_of_a_and_r_are_ranks_among_the_classes_present(name: str, prefix: str, tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    (truth.folder / prefix / SOME_IDS[0]).rename(tmp_path / "gone")
    found = load_variant(name, tmp_path)
    assert list(found.classnames) == [NAMES[wnid] for wnid in SOME_IDS[1:]]
    assert {item.label for item in found.test} == {0, 1, 2, 3}


@pytest.mark.parametrize("name", CLASS_FOLDERS)
def test_images_come_class_by_class_in_label_order_and_by_name(name: str, tmp_path: Path) -> None:
    build_miniature(name, tmp_path)
    found = load_variant(name, tmp_path)
    for items in (found.train_x, found.test):
        order = [(item.label, Path(item.impath).name) for item in items]
        assert order == sorted(order)
