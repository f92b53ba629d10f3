"""Few-shot picks: those of the benchmark's sampling, stored ones, and those that the original code left as pickles."""

import json
import os
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from yacs.config import CfgNode

from lamm.datasets import dataset_class
from lamm.datasets import few_shot as few_shot_cache
from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.few_shot import cache_file, few_shot_split, sample_shots
from lamm.datasets.splits import Split, SplitItem
from lamm.errors import DataError
from tests.datasets.miniature_trees import Truth, build_miniature, write_published_split
from tests.datasets.simulated_disks import make_read_only


def reference_picks(content: dict[str, list], shots: int, seed: int) -> tuple[list[str], list[str]]:
    """Seed the global generator, then draw train and val label by label in the order the labels are first met."""
    before = random.getstate()
    random.seed(seed)
    picked = []
    for part, wanted in (("train", shots), ("val", 4 if shots > 4 else shots)):
        seen_labels = []
        for _, label, _ in content[part]:
            if label not in seen_labels:
                seen_labels.append(label)
        paths = []
        for label in seen_labels:
            of_label = [path for path, other, _ in content[part] if other == label]
            if len(of_label) >= wanted:
                of_label = random.sample(of_label, wanted)
            paths.extend(of_label)
        picked.append(paths)
    random.setstate(before)
    return picked[0], picked[1]


def as_split(content: dict[str, list]) -> Split:
    return Split(*([SplitItem(*entry) for entry in content[part]] for part in ("train", "val", "test")))


def paths_of(items: list[SplitItem]) -> list[str]:
    return [item.path for item in items]


@pytest.mark.parametrize(("shots", "seed"), [(1, 0), (2, 1), (4, 2), (5, 3), (6, 1), (16, 2**40)])
def test_picks_equal_those_of_the_seeded_global_generator(toy_content: dict, shots: int, seed: int) -> None:
    drawn = few_shot_split(as_split(toy_content), shots, seed)
    assert (paths_of(drawn.train), paths_of(drawn.val)) == reference_picks(toy_content, shots, seed)


def test_the_transcription_met_a_class_drawn_whole_in_shuffled_order(toy_content: dict) -> None:
    train, _ = reference_picks(toy_content, 6, 1)
    first_class = [path for path in train if path.startswith("3/")]
    assert sorted(first_class) == [f"3/train_{i}.jpg" for i in range(6)] != first_class


def test_a_class_with_too_few_images_is_taken_whole_and_draws_nothing() -> None:
    items = [SplitItem(f"{i}.jpg", 0, "a") for i in range(3)]
    rng = random.Random(5)
    assert sample_shots(items, 4, rng) == items
    assert rng.getstate() == random.Random(5).getstate()


def test_test_images_are_never_sampled(toy_content: dict) -> None:
    split = as_split(toy_content)
    assert few_shot_split(split, 1, 1).test == split.test


def test_the_global_generator_is_left_alone(toy_content: dict) -> None:
    before = random.getstate()
    few_shot_split(as_split(toy_content), 2, 1)
    few_shot_split(as_split(toy_content), 2, -1)
    assert random.getstate() == before


def test_without_a_seed_draws_differ() -> None:
    items = [SplitItem(f"{i}.jpg", 0, "a") for i in range(1000)]
    split = Split(items, [], items)
    assert few_shot_split(split, 20, -1) != few_shot_split(split, 20, -1)


def test_seed_zero_is_a_seed(toy_content: dict) -> None:
    first, second = (few_shot_split(as_split(toy_content), 3, 0) for _ in range(2))
    assert first == second


def split_with(images: int) -> Split:
    items = [SplitItem(f"{label}/{i}.jpg", label, f"class {label}") for label in range(3) for i in range(images)]
    return Split(items, items, items)


def drawn(split: Split, shots: int, seed: int) -> Split:
    return few_shot_split(split, shots, seed)


def refuse_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("drew instead of reading the cache")

    monkeypatch.setattr(few_shot_cache, "few_shot_split", fail)


def cached_few_shot_split(folder: Path, split: Split, shots: int, seed: int) -> Split:
    """The picks, stored."""
    picks, store = few_shot_cache.cached_few_shot_split(folder, split, shots, seed)
    store()
    return picks


def test_picks_are_kept_as_relative_paths_with_the_hash_of_the_split(tmp_path: Path) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    content = json.loads((tmp_path / "split_fewshot" / "lamm_shot_2-seed_1.json").read_text())
    assert [entry[0] for entry in content["train"]] == [item.path for item in drawn(split_with(9), 2, 1).train]
    assert sorted(content) == ["seed", "shots", "split_hash", "train", "val"]


def test_a_second_call_reads_the_kept_picks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached_few_shot_split(tmp_path, split_with(9), 2, 0)
    refuse_drawing(monkeypatch)
    assert cached_few_shot_split(tmp_path, split_with(9), 2, 0) == first


def test_a_changed_split_is_drawn_anew_and_replaces_the_kept_picks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    changed = split_with(8)
    assert cached_few_shot_split(tmp_path, changed, 2, 1) == drawn(changed, 2, 1)
    refuse_drawing(monkeypatch)
    assert cached_few_shot_split(tmp_path, changed, 2, 1) is not None


def test_shots_and_seeds_have_files_of_their_own(tmp_path: Path) -> None:
    for shots, seed in [(1, 1), (2, 1), (1, 0)]:
        cached_few_shot_split(tmp_path, split_with(9), shots, seed)
    assert len(list((tmp_path / "split_fewshot").iterdir())) == 3


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", '{"split_hash": 1}', "[" * 100_000])
def test_a_damaged_file_is_drawn_anew(tmp_path: Path, damage: str) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    cache_file(tmp_path, 2, 1).write_text(damage)
    assert cached_few_shot_split(tmp_path, split_with(9), 2, 1) == drawn(split_with(9), 2, 1)


@pytest.mark.parametrize("entry", [["../secret.jpg", 0, "class 0"], ["0/0.jpg", 2, "class 0"], [1], [[], 0, "a"]])
def test_picks_that_are_not_of_the_split_are_not_served(tmp_path: Path, entry: list) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, 1)
    content = json.loads(cache_file(tmp_path, 2, 1).read_text())
    content["train"][0] = entry
    cache_file(tmp_path, 2, 1).write_text(json.dumps(content))
    assert cached_few_shot_split(tmp_path, split_with(9), 2, 1) == drawn(split_with(9), 2, 1)


def test_unseeded_picks_are_not_kept(tmp_path: Path) -> None:
    cached_few_shot_split(tmp_path, split_with(9), 2, -1)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_one_log_line_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]
) -> None:
    def refuse(path: object, value: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(few_shot_cache, "write_json", refuse)
    for _ in range(3):
        assert cached_few_shot_split(tmp_path, split_with(9), 2, 1) == drawn(split_with(9), 2, 1)
    assert len(logged) == 1
    assert "few-shot picks are not stored" in logged[0]


MODULE = "dassl.data.datasets.base_dataset"
ELSEWHERE = "/home/someone/DATA"


@pytest.fixture
def original(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The original code's record class under its own name, for writing pickles with."""

    class Datum:
        def __init__(self, impath: str, label: int, domain: int, classname: str) -> None:
            self._impath, self._label, self._domain, self._classname = impath, label, domain, classname

    Datum.__module__, Datum.__qualname__ = MODULE, "Datum"
    parts = MODULE.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), ModuleType(".".join(parts[:end])))
    sys.modules[MODULE].Datum = Datum  # type: ignore[attr-defined]
    return Datum


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    return build_miniature("dtd", tmp_path)


def pickle_file(truth: Truth, shots: int = 2, seed: int = 1) -> Path:
    file = truth.folder / "split_fewshot" / f"shot_{shots}-seed_{seed}.pkl"
    file.parent.mkdir(exist_ok=True)
    return file


def load(truth: Truth, name: str = "dtd", **options: Any) -> BenchmarkDataset:
    asked = {"num_shots": 2, "seed": 1, "original_picks": True, **options}
    return dataset_class(name)(root=truth.folder.parent, **asked)


def message_of(truth: Truth, **options: Any) -> str:
    with pytest.raises(DataError, match=r".") as error:
        load(truth, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def names_of(items: Any) -> list[str]:
    return [Path(item.impath).name for item in items]


def leave_picks(
    truth: Truth,
    original: Callable[..., Any],
    name: str = "dtd",
    prefix: str = "dtd/images",
    parts: tuple[str, ...] = ("train", "val"),
    protocol: int = pickle.HIGHEST_PROTOCOL,
) -> dict[str, list[str]]:
    """A pickle as the original code writes it: of each class the last two images of a part, with paths of elsewhere."""
    split = dataset_class(name).split_on_disk(truth.folder.parent)
    content: dict[str, list[Any]] = {}
    for part in parts:
        content[part] = []
        for label, classname in reversed(list(enumerate(truth.classnames))):
            of_class = [item.path for item in getattr(split, part) if item.label == label]
            content[part] += [original(f"{ELSEWHERE}/{prefix}/{path}", label, 0, classname) for path in of_class[-2:]]
    pickle_file(truth).write_bytes(pickle.dumps(content, protocol=protocol))
    return {part: [Path(record._impath).name for record in records] for part, records in content.items()}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_picks_are_those_of_the_pickle_under_our_root(
    protocol: int, truth: Truth, original: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_picks(truth, original, protocol=protocol)
    monkeypatch.undo()
    dataset = load(truth)
    assert names_of(dataset.train_x) == left["train"]
    assert names_of(dataset.val) == left["val"]
    assert all(Path(item.impath).is_file() for item in [*dataset.train_x, *dataset.val])
    assert list(dataset.classnames) == truth.classnames
    assert len(dataset.test) == truth.sizes[2]


def test_picks_are_read_only_when_asked_for(truth: Truth, original: Callable[..., Any]) -> None:
    left = leave_picks(truth, original)
    plain = load(truth, original_picks=False)
    assert names_of(plain.train_x) != left["train"]
    pickle_file(truth).write_bytes(b"not even a pickle")
    assert names_of(load(truth, original_picks=False).train_x) == names_of(plain.train_x)


def test_a_config_asks_for_them(truth: Truth, original: Callable[..., Any]) -> None:
    left = leave_picks(truth, original)
    cfg = CfgNode({"DATASET": {"ROOT": str(truth.folder.parent), "NUM_SHOTS": 2, "ORIGINAL_PICKS": True}, "SEED": 1})
    assert names_of(dataset_class("dtd")(cfg).train_x) == left["train"]
    cfg.DATASET.ORIGINAL_PICKS = False
    assert names_of(dataset_class("dtd")(cfg).train_x) != left["train"]


def test_paths_of_windows_are_matched(truth: Truth, original: Callable[..., Any]) -> None:
    left = leave_picks(truth, original)
    content = pickle.loads(pickle_file(truth).read_bytes())
    for record in [record for records in content.values() for record in records]:
        record._impath = record._impath.replace(ELSEWHERE, "D:\\DATA").replace("/", "\\")
    pickle_file(truth).write_bytes(pickle.dumps(content))
    assert names_of(load(truth).train_x) == left["train"]


@pytest.mark.parametrize("name", ["oxford_pets", "sun397"])
def test_they_match_published_splits_of_every_depth(name: str, original: Callable[..., Any], tmp_path: Path) -> None:
    truth = build_miniature(name, tmp_path)
    write_published_split(name, truth)
    left = leave_picks(truth, original, name, f"{truth.folder.name}/x")
    assert names_of(load(truth, name).train_x) == left["train"]


@pytest.mark.parametrize("parts", [("train", "val"), ("train",), ()])
def test_picks_as_json_are_those_of_the_pickle(parts: tuple, truth: Truth, original: Callable[..., Any]) -> None:
    left = leave_picks(truth, original)
    records = {
        part: [{name[1:]: value for name, value in vars(record).items()} for record in picks]
        for part, picks in pickle.loads(pickle_file(truth).read_bytes()).items()
    }
    pickle_file(truth).unlink()
    content = {part: records[part] for part in parts} if parts else records["train"]
    pickle_file(truth).with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    dataset = load(truth)
    assert names_of(dataset.train_x) == left["train"]
    assert "val" not in parts or names_of(dataset.val) == left["val"]


@pytest.mark.parametrize("key", ["_impath", "_label", "_classname"])
def test_a_pick_of_exponential_size_is_refused_at_once(key: str, truth: Truth, original: Callable[..., Any]) -> None:
    leave_picks(truth, original)
    content = pickle.loads(pickle_file(truth).read_bytes())
    nested: list[Any] = []
    for _ in range(64):
        nested = [nested, nested]
    for value in (nested, 10**9999):
        vars(content["train"][0])[key] = value
        pickle_file(truth).write_bytes(pickle.dumps(content))
        assert len(message_of(truth).replace(str(truth.folder), "")) < 400


def test_imagenets_pickle_has_training_picks_only(original: Callable[..., Any], tmp_path: Path) -> None:
    truth = build_miniature("imagenet", tmp_path)
    left = leave_picks(truth, original, "imagenet", "imagenet/images", parts=("train",))
    dataset = load(truth, "imagenet")
    assert names_of(dataset.train_x) == left["train"]
    assert (dataset.val is dataset.test, len(dataset.test)) == (True, 24)


def test_halves_are_taken_of_the_whole_picks(truth: Truth, original: Callable[..., Any]) -> None:
    left = leave_picks(truth, original)
    found = [names_of(load(truth, subsample_classes=half).train_x) for half in ("base", "new")]
    assert sorted(found[0] + found[1]) == sorted(left["train"])


def test_reading_them_writes_nothing(
    truth: Truth, original: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave_picks(truth, original)
    load(truth)
    make_read_only(monkeypatch, truth.folder)
    assert names_of(load(truth).train_x) == left["train"]
    assert [file.name for file in (truth.folder / "split_fewshot").iterdir()] == ["shot_2-seed_1.pkl"]


@pytest.mark.parametrize(("shots", "seed"), [(1, 1), (2, -1)])
def test_a_pickle_that_is_not_there_is_an_error_that_names_it(shots: int, seed: int, truth: Truth) -> None:
    assert f"shot_{shots}-seed_{seed}.pkl" in message_of(truth, num_shots=shots, seed=seed)


def test_picks_of_an_unseeded_run_can_be_read(truth: Truth, original: Callable[..., Any]) -> None:
    left = leave_picks(truth, original)["train"]
    pickle_file(truth).rename(pickle_file(truth, seed=-1))
    assert names_of(load(truth, seed=-1).train_x) == left


class Malicious:
    """Runs a command when a plain unpickler reads it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("place", ["alone", "as a path"])
def test_a_malicious_pickle_is_refused_and_runs_nothing(
    place: str, truth: Truth, original: Callable[..., Any], tmp_path: Path
) -> None:
    trap = Malicious(f"touch {tmp_path / 'ran'}")
    content: Any = {
        "alone": trap,
        "as a path": {"train": [original(trap, 0, 0, "banded")], "val": []},
    }[place]
    pickle_file(truth).write_bytes(pickle.dumps(content))
    message = message_of(truth)
    assert "shot_2-seed_1.pkl" in message
    assert "system" in message
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "code",
    [
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cdassl.data.datasets.base_dataset\nDatasetBase\n(tR.",
        b"\x80\x04\x8c\x24dassl.data.datasets.base_dataset\x8c\x10Datum.__init__\x93.",
        b"\x80\x04\x8c\x24dassl.data.datasets.base_dataset\x8c\x11Datum.__globals__\x93.",
        b"ccollections\nOrderedDict\n(tR.",
        b"\x80\x02\x82\x01.",
        b"Pwhatever\n.",
    ],
    ids=["eval", "another class", "a method", "a dotted name", "ordered dict", "extension code", "persistent id"],
)
def test_only_the_record_class_itself_is_known(code: bytes, truth: Truth) -> None:
    pickle_file(truth).write_bytes(code)
    assert "shot_2-seed_1.pkl" in message_of(truth)


def test_another_class_of_the_records_module_is_refused(truth: Truth, original: Callable[..., Any]) -> None:
    leave_picks(truth, original)
    content = pickle_file(truth).read_bytes()
    assert b"\x8c\x05Datum" in content
    pickle_file(truth).write_bytes(content.replace(b"\x8c\x05Datum", b"\x8c\x05Datim"))
    assert "Datim" in message_of(truth)


def test_a_class_of_another_module_is_refused(truth: Truth) -> None:
    record = type("Datum", (), {})
    module = ModuleType("another_module")
    record.__module__, module.Datum = "another_module", record  # type: ignore[attr-defined]
    sys.modules["another_module"] = module
    try:
        pickle_file(truth).write_bytes(pickle.dumps({"train": [record()], "val": []}))
    finally:
        del sys.modules["another_module"]
    assert "another_module.Datum" in message_of(truth)


@pytest.mark.parametrize(
    "content",
    [
        3,
        {},
        {"train": [], "val": None},
        {"train": [1], "val": []},
    ],
)
def test_a_pickle_of_something_else_is_refused(content: Any, truth: Truth) -> None:
    pickle_file(truth).write_bytes(pickle.dumps(content))
    assert "shot_2-seed_1.pkl" in message_of(truth)


@pytest.mark.parametrize("cut", [0, 40])
def test_a_half_written_pickle_is_refused(cut: int, truth: Truth, original: Callable[..., Any]) -> None:
    leave_picks(truth, original)
    whole = pickle_file(truth).read_bytes()
    pickle_file(truth).write_bytes(whole[:cut])
    assert "shot_2-seed_1.pkl" in message_of(truth)


@pytest.mark.parametrize(
    ("path", "label", "classname"),
    [
        (f"{ELSEWHERE}/dtd/images/banded/banded_9999.jpg", 0, "banded"),
        (f"{ELSEWHERE}/dtd/images/banded/banded_0001.jpg", 1, "banded"),
        (f"{ELSEWHERE}/dtd/images/banded/banded_0001.jpg", 0, "striped"),
        (f"{ELSEWHERE}/dtd/images/", 0, "banded"),
        (3, 0, "banded"),
        (None, 0, "banded"),
        ("", 0, "banded"),
    ],
)
def test_picks_of_another_split_are_refused(
    path: Any, label: int, classname: str, truth: Truth, original: Callable[..., Any]
) -> None:
    leave_picks(truth, original)
    content = pickle.loads(pickle_file(truth).read_bytes())
    content["train"].append(
        original(f"{ELSEWHERE}/dtd/images/{path}" if path and path != 3 else path, label, 0, classname)
    )
    pickle_file(truth).write_bytes(pickle.dumps(content))
    assert "shot_2-seed_1.pkl" in message_of(truth)


def test_a_test_image_among_the_picks_is_refused(truth: Truth, original: Callable[..., Any]) -> None:
    leave_picks(truth, original)
    content = pickle.loads(pickle_file(truth).read_bytes())
    test = dataset_class("dtd").split_on_disk(truth.folder.parent).test[0]
    content["train"].append(original(f"{ELSEWHERE}/dtd/images/{test.path}", test.label, 0, test.classname))
    pickle_file(truth).write_bytes(pickle.dumps(content))
    assert test.path in message_of(truth)


def test_a_class_that_has_no_pick_is_refused(truth: Truth, original: Callable[..., Any]) -> None:
    leave_picks(truth, original)
    content = pickle.loads(pickle_file(truth).read_bytes())
    content["train"] = [record for record in content["train"] if record._label != 1]
    pickle_file(truth).write_bytes(pickle.dumps(content))
    assert "shot_2-seed_1.pkl" in message_of(truth)
