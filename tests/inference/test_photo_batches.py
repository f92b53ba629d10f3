"""Photos in batches, decoded by workers; bad ones are values."""

import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from lamm.inference.photos import PhotoFiles, photo_batches
from tests.inference.photo_files import BLUE, GREEN, RED, cut_short, no_photo, photo

TRANSFORM = T.Compose([T.Resize(4), T.CenterCrop(4), T.ToTensor()])


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Five photos in turn red, green, blue, and four files that are none between them."""
    return [
        photo(tmp_path / "0.png", RED),
        no_photo(tmp_path / "1.jpg"),
        photo(tmp_path / "2 ü.png", GREEN),
        no_photo(tmp_path / "3.png", b""),
        cut_short(tmp_path / "4.jpg"),
        photo(tmp_path / "5.png", BLUE),
        str(tmp_path / "6 gone.png"),
        photo(tmp_path / "7.png", RED, side=40),
        photo(tmp_path / "8.png", GREEN),
    ]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_every_photo_comes_once_and_in_its_order(paths: list[str], batch_size: int, workers: int) -> None:
    places, reasons, images = [], {}, []
    for batch in photo_batches(paths, TRANSFORM, batch_size, workers):
        assert len(batch.places) + len(batch.reasons) <= batch_size
        places += batch.places
        reasons |= batch.reasons
        images += [] if batch.images is None else list(batch.images)
    assert places == [0, 2, 5, 7, 8]
    assert list(reasons) == [1, 3, 4, 6]
    assert all(paths[place] in reason and "\n" not in reason for place, reason in reasons.items())
    expected = [torch.eye(3)[channel] for channel in (0, 1, 2, 0, 1)]
    for image, colour in zip(images, expected, strict=True):
        assert torch.equal(image, colour[:, None, None].expand(3, 4, 4))


def test_a_batch_of_bad_files_has_no_images(tmp_path: Path) -> None:
    bad = [no_photo(tmp_path / name) for name in ("a.png", "b.png")]
    (batch,) = photo_batches(bad, TRANSFORM, 8, 0)
    assert (batch.places, batch.images, list(batch.reasons)) == ([], None, [0, 1])


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    pipe = str(tmp_path / "pipe.png")
    os.mkfifo(pipe)
    assert PhotoFiles([pipe], TRANSFORM)[0] == (0, f'"{pipe}" is not a file')


def test_whatever_a_transform_trips_over_belongs_to_its_photo(tmp_path: Path) -> None:
    def refuse(image: Image.Image) -> torch.Tensor:
        raise RuntimeError("two\nlines")

    path = photo(tmp_path / "a.png")
    assert PhotoFiles([path], refuse)[0] == (0, f'image file "{path}" can\'t be used (two lines)')


def test_a_photo_too_large_for_memory_is_a_bad_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = photo(tmp_path / "large.png", side=40)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # Pillow refuses twice as many
    place, reason = PhotoFiles([path], TRANSFORM)[0]
    assert place == 0
    assert "decompression bomb" in str(reason)
