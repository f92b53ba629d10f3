"""Ways timed in turns, the photos they are given, and the ways themselves."""

import numpy as np
import pytest
import torch
from PIL import Image

from lamm.benchmark.decoding import REFERENCE, ways, write_photos
from lamm.benchmark.measure import side_by_side
from lamm.engine import get_cfg_default


def spin(amount: int) -> float:
    return sum(range(amount))


def test_ratio_difference_and_equality_are_those_to_the_first_way():
    def slow(value):
        spin(400_000)
        return torch.full((2,), value) + torch.rand(2)

    def quick(value):
        spin(100_000)
        return torch.full((2,), value) + torch.rand(2)

    def other(value):
        return quick(value) + torch.tensor([0.0, value])

    rows = side_by_side({"slow": slow, "quick": quick, "other": other}, [1.0, 2.0], 5, torch.tensor(10.0)).T
    assert rows["slow"].ratio == 1
    assert 1.5 < rows["quick"].ratio < 10
    assert rows["quick"].equal
    assert not rows["other"].equal
    assert rows["other"].mean_difference == pytest.approx(7.5)
    assert rows["other"].largest_difference == pytest.approx(20)


def test_photos_are_the_same_at_every_call_and_differ_among_each_other(tmp_path):
    first = write_photos(tmp_path / "a", (120, 90), 2)
    again = write_photos(tmp_path / "b", (120, 90), 2)
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in again]
    pictures = [np.asarray(Image.open(file)) for file in first]
    assert pictures[0].shape == (90, 120, 3)
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 10
    assert all(picture.std() > 10 for picture in pictures)


@pytest.mark.parametrize("is_train", [True, False])
def test_every_way_gives_about_the_image_of_the_reference(tmp_path, is_train):
    cfg = get_cfg_default()
    cfg.INPUT.update({"SIZE": (64, 64), "INTERPOLATION": "bicubic"})
    cfg.INPUT.TRANSFORMS = ("random_resized_crop", "random_flip", "normalize")
    cfg.INPUT.PIXEL_MEAN, cfg.INPUT.PIXEL_STD = [0.0] * 3, [1.0] * 3
    files = [str(file) for file in write_photos(tmp_path, (500, 400), 3)]
    rows = side_by_side(ways(cfg, is_train), files, 1, torch.tensor(255.0))
    assert rows.index[0] == REFERENCE
    assert rows.equal["exact"]
    assert len(rows) == 8
    assert (rows.mean_difference < 3).all()
