"""Duplicates and odd photos, on drawn ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from torch import Tensor

from lamm.review.photos import Look, away, duplicates, look, looks, odd_photos, similarity_to_nearest

pytest.importorskip("imagehash", reason="the extra review is not installed")


def scene(seed: int, size: int = 160) -> Image.Image:
    """A picture with coarse and fine structure."""
    draw = np.random.default_rng(seed)
    coarse = Image.fromarray(draw.integers(0, 256, (5, 5, 3), dtype=np.uint8)).resize((size, size), Image.BICUBIC)
    fine = draw.integers(-30, 31, (size, size, 3))
    return Image.fromarray((np.asarray(coarse).astype(int) + fine).clip(0, 255).astype(np.uint8))


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Eight scenes; 8 has the bytes of 0, 9 is scene 1 smaller and compressed."""
    for number in range(8):
        scene(number).save(tmp_path / f"{number}.png")
    shutil.copy(tmp_path / "0.png", tmp_path / "8.png")
    scene(1).resize((120, 120)).save(tmp_path / "9.jpg", quality=60)
    return [str(next(tmp_path.glob(f"{number}.*"))) for number in range(10)]


def apart(count: int, same: dict[int, int]) -> Tensor:
    """Features at right angles, but for photos that look the same."""
    features = torch.eye(count)
    for one, other in same.items():
        features[one] = F.normalize(features[other] + 0.05 * features[one], dim=0)
    return features


def test_copies_and_smaller_versions_are_duplicates_and_nothing_else_is(paths: list[str]) -> None:
    seen = [look(path) for path in paths]
    found = duplicates(paths, seen, apart(10, {8: 0, 9: 1}))
    assert [(one.photos, one.identical) for one in found] == [([0, 8], True), ([1, 9], False)]


def test_alike_to_the_hash_alone_is_no_duplicate_and_the_same_bytes_always_are(paths: list[str]) -> None:
    found = duplicates(paths, [look(path) for path in paths], apart(10, {}))
    assert [one.photos for one in found] == [[0, 8]]
    assert duplicates(paths[1:8], [look(path) for path in paths[1:8]], torch.ones(7, 4) / 2) == []


def test_what_is_the_matter_with_a_photo_is_told(tmp_path: Path) -> None:
    pictures = [scene(number) for number in range(20)]
    pictures[3] = pictures[3].filter(ImageFilter.GaussianBlur(6))
    pictures[5] = pictures[5].point(lambda value: value // 8)
    pictures[7] = pictures[7].point(lambda value: 247 + value // 32)
    pictures[9] = pictures[9].resize((24, 24))
    pictures[11] = pictures[11].crop((0, 0, 160, 40))
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    seen = [look(str(tmp_path / f"{number}.png")) for number in range(20)]
    assert (seen[11].width, seen[11].height) == (160, 40)
    generator = torch.Generator().manual_seed(0)
    features = F.normalize(torch.ones(20, 8) + 0.1 * torch.randn(20, 8, generator=generator), dim=1)
    features[13] = -features[13]
    found = odd_photos(seen, features, smallest=32)
    assert next(one.photo for one in found if one.kind == "odd") == 13
    kinds = {(one.photo, one.kind) for one in found if one.kind != "odd"}
    assert {(3, "blurred"), (5, "dark"), (7, "bright"), (9, "small"), (11, "long")} <= kinds
    assert {photo for photo, _ in kinds} == {3, 5, 7, 9, 11}


def test_a_photo_that_can_not_be_read_is_a_reason_in_its_place(tmp_path: Path) -> None:
    scene(0).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    first, second = looks([str(tmp_path / "a.png"), str(tmp_path / "b.png")], workers=2)
    assert isinstance(first, Look)
    assert "b.png" in str(second)


def test_distance_from_the_median_is_robust_and_small_among_values_that_are_nearly_the_same() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert away(values, least=0.5) == pytest.approx((values - 3) / 1.4826)
    assert away(values, least=2.0) == pytest.approx((values - 3) / 2)
    assert away(np.array([1.0, 1.0, 1.0, 5.0]), least=0.5).tolist() == [0, 0, 0, 8]


def test_similarity_is_the_mean_over_the_three_nearest_others() -> None:
    features = F.normalize(torch.randn(9, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    cosines = (features @ features.T).fill_diagonal_(-9)
    expected = cosines.sort(dim=1, descending=True).values[:, :3].mean(dim=1)
    assert similarity_to_nearest(features) == pytest.approx(expected.numpy(), abs=1e-6)
