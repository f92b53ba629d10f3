"""Stored features, and the names that they are stored under."""

import os
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lamm.engine import get_cfg_default
from lamm.features.store import (
    KEY_BYTES,
    FeatureStore,
    image_identity,
    space_identity,
    tower_identity,
    transform_identity,
)

LARGE = 10**9


def keys_of(*numbers: int) -> list[bytes]:
    return [number.to_bytes(KEY_BYTES, "big") for number in numbers]


def features_of(*numbers: int) -> Tensor:
    return torch.stack([torch.arange(8.0) + number for number in numbers])


def filled(folder: Path, *numbers: int, limit: int = LARGE, space: str = "space") -> FeatureStore:
    store = FeatureStore(folder, space, limit)
    store.write(keys_of(*numbers), features_of(*numbers))
    return store


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"), key=lambda file: file.stat().st_mtime)


def test_what_was_written_is_read_by_another_store(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3)
    found = FeatureStore(tmp_path, "space", LARGE).read(keys_of(3, 1, 9))
    assert found.keys() == set(keys_of(1, 3))
    assert torch.equal(found[keys_of(3)[0]], features_of(3)[0])


def test_spaces_do_not_see_each_other(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    assert FeatureStore(tmp_path, "other", LARGE).read(keys_of(1)) == {}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff" * 100])
def test_a_damaged_file_counts_as_absent(tmp_path: Path, content: bytes) -> None:
    store = filled(tmp_path, 1)
    files(tmp_path)[0].write_bytes(content)
    assert store.read(keys_of(1)) == {}
    store.write(keys_of(1), features_of(1))
    assert store.read(keys_of(1)).keys() == set(keys_of(1))


def test_a_file_that_a_killed_run_left_half_written_is_not_read(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    whole = files(tmp_path)[0].read_bytes()
    (tmp_path / "space" / ".half.safetensors.x.tmp").write_bytes(whole[: len(whole) // 2])
    assert store.read(keys_of(1)).keys() == set(keys_of(1))


def test_what_killed_runs_left_long_ago_is_removed(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    old, new = (tmp_path / "space" / f".{name}.safetensors.x.tmp" for name in ("old", "new"))
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    store.write(keys_of(2), features_of(2))
    assert not old.exists()
    assert new.exists()


def test_what_was_read_longest_ago_goes_first_in_all_spaces(tmp_path: Path) -> None:
    size = files_size = 0
    for number in (1, 2, 3):
        filled(tmp_path, number, space=f"space {number}")
    for age, file in enumerate(files(tmp_path)):
        size, files_size = file.stat().st_size, files_size + file.stat().st_size
        os.utime(file, (1000.0 + age, 1000.0 + age))
    FeatureStore(tmp_path, "space 1", LARGE).read(keys_of(1))  # now the one read last
    filled(tmp_path, 4, limit=int(2.5 * size))
    left = [n for n in (1, 2, 3) if FeatureStore(tmp_path, f"space {n}", LARGE).read(keys_of(n))]
    assert left == [1]
    assert FeatureStore(tmp_path, "space", LARGE).read(keys_of(4))
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 2.5 * size < files_size


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=filled, args=(tmp_path, number, number + 1), kwargs={"limit": LARGE})
        for number in range(0, 40, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(FeatureStore(tmp_path, "space", LARGE).read(keys_of(*range(40)))) == 40


def test_a_place_that_can_not_be_written_costs_a_log_line(tmp_path: Path, log_lines: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    store = filled(tmp_path / "file", 1)
    assert store.read(keys_of(1)) == {}
    assert "image features are not stored" in log_lines[0]


def tower(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)).to(dtype)


def test_equal_weights_have_one_name() -> None:
    assert tower_identity(tower()) == tower_identity(tower())


@pytest.mark.parametrize("name", ["0.weight", "0.bias", "1.running_mean", "1.num_batches_tracked"])
def test_a_single_changed_value_changes_the_name(name: str) -> None:
    changed = tower()
    changed.state_dict()[name].view(-1)[-1:].add_(1)
    assert tower_identity(changed) != tower_identity(tower())


def test_two_values_that_change_places_change_the_name() -> None:
    changed = tower()
    weight = changed.state_dict()["0.weight"].view(-1)
    weight[:2] = weight[:2].flip(0).clone()
    assert tower_identity(changed) != tower_identity(tower())


def test_the_dtype_changes_the_name() -> None:
    assert tower_identity(tower(torch.float16)) != tower_identity(tower())


def test_an_image_is_known_by_path_size_time_and_view(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"1")
    first = image_identity(str(file))
    assert image_identity(str(file)) == first != image_identity(str(file), view=1)
    os.utime(file, ns=(0, 0))
    touched = image_identity(str(file))
    file.write_bytes(b"22")
    os.utime(file, ns=(0, 0))
    assert len({first, touched, image_identity(str(file))}) == 3


def options(*overrides: object):
    cfg = get_cfg_default()
    cfg.merge_from_list(list(overrides))
    return cfg.INPUT


@pytest.mark.parametrize("override", [("INPUT.SIZE", (32, 32)), ("INPUT.TRANSFORMS", ("normalize",))])
@pytest.mark.parametrize("is_train", [True, False])
def test_what_changes_the_pixels_changes_the_transform(override: tuple, is_train: bool) -> None:
    assert transform_identity(options(*override), is_train) != transform_identity(options(), is_train)


def test_augmentation_changes_training_views_alone() -> None:
    flipped = options("INPUT.TRANSFORMS", ("random_flip",))
    assert transform_identity(flipped, False) == transform_identity(options(), False)
    assert transform_identity(flipped, True) != transform_identity(options(), True)


def test_precision_and_device_have_spaces_of_their_own() -> None:
    spaces = {space_identity("t", precision, device, {}) for precision in ("fp32", "amp") for device in ("cpu", "cuda")}
    assert len(spaces) == 4
