"""Whatever changes a feature changes the name it is kept under."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from lamm.engine import get_cfg_default
from lamm.features.store import image_identity, space_identity, tower_identity, transform_identity


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
