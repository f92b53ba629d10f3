"""Features of images: the store and the cache of runs."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers import TRAINERS as ALL
from torch import Tensor, nn

from lamm.engine import get_cfg_default, set_random_seed
from lamm.errors import ConfigError, DataError
from lamm.features.ahead import AheadEncoder
from lamm.features.encoding import View, ViewDataset
from lamm.features.encoding import features_of as encode_views
from lamm.features.store import (
    KEY_BYTES,
    FeatureStore,
    image_identity,
    space_identity,
    tower_identity,
    transform_identity,
)
from lamm.files import atomic_path

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


def test_what_killed_runs_left_is_removed_and_what_others_write_is_not(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    left = tmp_path / "space" / ".left.safetensors.0123abcd.tmp"
    left.write_bytes(b"half")
    with atomic_path(tmp_path / "space" / "other.safetensors") as in_use:
        store.write(keys_of(2), features_of(2))
        assert not left.exists()
        assert in_use.exists()


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
    assert tower_identity(changed) == tower_identity(tower())
    changed.state_dict()[name].view(-1)[-1:].add_(1)
    assert tower_identity(changed) != tower_identity(tower())


def test_two_values_that_change_places_change_the_name() -> None:
    changed = tower()
    weight = changed.state_dict()["0.weight"].view(-1)
    weight[:2] = weight[:2].flip(0).clone()
    assert tower_identity(changed) != tower_identity(tower())


def test_replaced_weights_change_the_name() -> None:
    changed = tower()
    before = tower_identity(changed)
    changed[0].weight = nn.Parameter(torch.zeros(3, 5))
    between = tower_identity(changed)
    changed[0].weight.data = torch.ones(3, 5)
    assert len({before, between, tower_identity(changed)}) == 3


def test_values_are_summed_up_weighted_by_their_place() -> None:
    layer = nn.Linear(1000, 99, bias=False)
    values = layer.weight.detach().view(torch.int32).flatten().tolist()
    total = sum((2 * place + 1) * value for place, value in enumerate(values, 1))
    line = f"weight (99, 1000) torch.float32 {(total + 2**63) % 2**64 - 2**63}\n"
    assert tower_identity(layer) == hashlib.sha256(line.encode()).hexdigest()


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


TRAINERS = {trainer.__name__: trainer for trainer in ALL}
LEAVES_THE_TOWER = ("ZeroshotCLIP", "CoOp", "CoCoOp", "LAMM", "CoOp_LAMM", "CoCoOp_LAMM", "GDA", "TipAdapterF")
Config = Callable[..., Any]


def start(cfg: Any) -> Any:
    set_random_seed(3)
    return TRAINERS[cfg.TRAINER.NAME](cfg)


def without_tower(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the image tower ran")

    monkeypatch.setattr(trainer.clip, "encode_image", refuse)


@pytest.mark.parametrize("name", LEAVES_THE_TOWER)
def test_cached_test_images_are_scored_as_the_images_are(name: str, squares_config: Config) -> None:
    trainer = start(squares_config(name, "run"))
    scores, labels = [], []
    for batch in trainer.test_loader:
        scores.append(trainer.model_inference(batch["img"]))
        labels.append(batch["label"])
    accuracy = (torch.cat(scores).argmax(dim=1) == torch.cat(labels)).float().mean().item() * 100
    assert trainer.test() == pytest.approx(accuracy)
    cached = torch.cat([trainer.model_inference(batch["img"]) for batch in trainer.test_loader])
    torch.testing.assert_close(cached, torch.cat(scores), rtol=1e-5, atol=1e-4)


def test_test_images_are_encoded_once(squares_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = start(squares_config("LAMM", "run"))
    accuracy = trainer.test()
    without_tower(trainer, monkeypatch)
    assert trainer.test() == accuracy


@pytest.mark.parametrize("name", ["LAMM", "CoCoOp"])
def test_training_on_cached_views_never_runs_the_tower(
    name: str, squares_config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = start(squares_config(name, "run", "INPUT.CACHE_VIEWS", 3, "TEST.NO_TEST", True))
    before = {key: value.clone() for key, value in trainer.learner.named_parameters()}
    trainer.before_train()
    without_tower(trainer, monkeypatch)
    monkeypatch.setattr(trainer, "before_train", lambda: None)
    trainer.train()
    assert not any(torch.equal(value, before[key]) for key, value in trainer.learner.named_parameters())


def test_a_batch_of_features_has_the_images_that_the_loader_would_have_given(squares_config: Config) -> None:
    trainer = start(squares_config("LAMM", "run", "INPUT.CACHE_VIEWS", 1, "INPUT.TRANSFORMS", ("normalize",)))
    images = trainer.train_loader_x
    features = trainer.feature_cache.training_loader(images)
    set_random_seed(5)
    of_images = [(trainer.image_features(batch["img"]), batch) for batch in images]
    set_random_seed(5)
    of_features = list(features)
    assert len(of_features) == len(of_images) == len(features)
    for (expected, images_of_batch), batch in zip(of_images, of_features, strict=True):
        torch.testing.assert_close(batch["img"], expected)
        for key in ("label", "domain", "index"):
            assert torch.equal(batch[key], images_of_batch[key])
        assert batch["impath"] == images_of_batch["impath"]


def test_views_differ_and_all_are_trained_on(squares_config: Config) -> None:
    trainer = start(squares_config("LAMM", "run", "INPUT.CACHE_VIEWS", 4))
    loader = trainer.feature_cache.training_loader(trainer.train_loader_x)
    seen = {tuple(row.tolist()) for _ in range(40) for batch in loader for row in batch["img"]}
    assert len(seen) == 4 * len(loader.dataset)


def test_a_view_depends_on_content_and_number_alone_and_leaves_the_generators(
    squares_config: Config, tmp_path: Path
) -> None:
    dataset = start(squares_config("LAMM", "run")).train_loader_x.dataset
    original = dataset.data_source[0].impath
    copy = shutil.copy(original, tmp_path / "elsewhere.png")
    os.utime(copy, ns=(0, 0))
    views = [View(path, number, b"") for path, number in ((original, 0), (original, 1), (copy, 0))]
    made = ViewDataset(views, dataset.transform)
    state = torch.get_rng_state()
    first, other, moved = made[0], made[1], made[2]
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(made[0], first)
    assert torch.equal(moved, first)
    assert not torch.equal(first, other)


def test_training_on_cached_views_does_not_depend_on_when_files_were_written(
    squares_config: Config, tmp_path: Path
) -> None:
    learned = []
    for time_of_files in (1_000_000_000, 1_700_000_000):
        cfg = squares_config("LAMM", f"run{time_of_files}", "INPUT.CACHE_VIEWS", 2, "TEST.NO_TEST", True)
        for file in Path(cfg.DATASET.ROOT).rglob("*.png"):
            os.utime(file, (time_of_files, time_of_files))
        trainer = start(cfg)
        trainer.train()
        learned.append(torch.cat([value.detach().flatten() for value in trainer.learner.parameters()]))
    assert torch.equal(*learned)


def test_trainers_that_prompt_the_tower_refuse_cached_views(squares_config: Config) -> None:
    with pytest.raises(ConfigError, match="MaPLe_LAMM changes the image tower"):
        start(squares_config("MaPLe_LAMM", "run", "INPUT.CACHE_VIEWS", 2))


@pytest.mark.parametrize(
    ("key", "value"),
    [("VIEWS", -1), ("VIEWS", 10**9), ("GB", -1.0), ("GB", float("nan")), ("GB", float("inf")), ("GB", 1e300)],
)
def test_views_that_there_is_no_room_for_are_refused_at_once(squares_config: Config, key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"INPUT\.CACHE_{key}"):
        start(squares_config("LAMM", "run", f"INPUT.CACHE_{key}", value))


def test_no_image_is_encoded_alone(tmp_path: Path) -> None:
    """One image alone rounds differently, and what else was missing must not show in the features."""
    sizes = []

    def encode(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return images.flatten(1)

    pixels = torch.arange(5.0).view(5, 1, 1, 1)
    views = [View(str(place), 0, key) for place, key in enumerate(keys_of(*range(5)))]
    store = FeatureStore(tmp_path, "space", LARGE)
    encoded = encode_views(views, store, lambda some: [pixels[int(view.path)] for view in some], encode, 2, 0)
    assert encoded.flatten().tolist() == [0, 1, 2, 3, 4]
    assert sizes == [2, 2, 2]


def test_an_error_in_loading_ahead_comes_out_when_its_batch_is_due() -> None:
    def batches() -> Any:
        for number in range(3):
            yield {"img": torch.full((1, 3, 4, 4), float(number))}
        raise DataError("broken")

    coming = iter(AheadEncoder(batches(), lambda images: images.mean(dim=(1, 2, 3))[:, None], 2))
    assert [batch["img"].item() for batch in islice(coming, 3)] == [0, 1, 2]
    with pytest.raises(DataError, match="broken"):
        next(coming)


def test_batches_encoded_ahead_come_in_their_order_and_an_error_comes_out() -> None:
    batches = [{"img": torch.full((2, 3, 4, 4), float(number)), "label": torch.tensor([number])} for number in range(7)]
    barrier = threading.Barrier(2)

    def encode(images: Tensor) -> Tensor:
        if images[0, 0, 0, 0] < 2:
            barrier.wait(20)  # two batches at a time, or it breaks
        if images[0, 0, 0, 0] == 6:
            raise DataError("no features")
        return images.mean(dim=(1, 2, 3))[:, None]

    coming = iter(AheadEncoder(batches, encode, 2))
    seen = [(batch["img"][0, 0].item(), batch["label"].item()) for batch in islice(coming, 6)]
    with pytest.raises(DataError, match="no features"):
        next(coming)
    assert seen == [(number, number) for number in range(6)]
