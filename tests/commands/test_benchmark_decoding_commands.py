"""`benchmark --decoding` and `benchmark --loading` as a user runs them, on few small photos."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from lamm.benchmark.decoding import write_photos
from lamm.commands import benchmark
from lamm.commands.parser import run


class Done(NamedTuple):
    """What a command left behind."""

    code: object
    out: str
    errors: str


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command in this process."""

    def call(*arguments: object) -> Done:
        with pytest.raises(SystemExit) as ended:
            run(benchmark.parser(), benchmark.main, [str(argument) for argument in arguments])
        return Done(ended.value.code, *capsys.readouterr())

    return call


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos" / "deeper", (80, 60), 3)
    return tmp_path / "photos"


def test_decoding_is_measured_for_training_and_test_images(command, folder: Path) -> None:
    done = command("--decoding", "--images", folder, "--limit", 2, "--rounds", 1, "--size", 48)
    assert (done.code, done.errors) == (0, "")
    assert f"2 photos of {folder}; training images" in done.out
    assert f"2 photos of {folder}; test images" in done.out
    exact = [line.split() for line in done.out.splitlines() if line.startswith("exact")]
    assert [(row[3], row[4]) for row in exact] == [("none", "1.00000")] * 2


def test_loading_is_measured_for_numbers_of_workers(command, folder: Path) -> None:
    line = ["--images", folder, "--batch", 2, "--rounds", 1, "--step", 0, "--size", 224]
    done = command("--loading", *line)
    assert (done.code, done.errors) == (0, "")
    assert done.out.startswith("3 images, 1 batches of 2")
    assert "DATALOADER.NUM_WORKERS -1 takes" in done.out


@pytest.mark.parametrize("mode", ["--decoding", "--loading"])
def test_a_mistake_is_one_line(command, mode: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (folder / "broken.jpg").write_bytes(b"no photo")
    for line, said in [
        (["--images", folder], 'broken.jpg" is not an image'),
        (["--images", tmp_path / "nowhere"], "nowhere is not a folder"),
        (["--images", tmp_path / "empty"], "has no .jpg"),
        (["--rounds", "0"], "must be a whole number from 1 up, got 0"),
    ]:
        done = command(mode, *line)
        assert done.code == 2
        assert said in done.errors
        assert len(done.errors.splitlines()) == 1
