"""Decoding in processes finds what decoding one after another finds."""

from pathlib import Path

import pytest
from PIL import Image

from lamm.checking.images import DAMAGED, EMPTY, FOREIGN, problem_of, undecodable


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "webp", "tiff"])
def test_whole_images_have_no_problem_and_cut_ones_do(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{suffix}"
    Image.effect_noise((64, 64), 60).convert("RGB").save(file)
    assert problem_of(str(file)) is None
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    problem = problem_of(str(file))
    assert problem is not None
    assert problem[0] in (DAMAGED, FOREIGN)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("cut", [2, 30, 500])
def test_a_jpeg_that_lacks_its_last_bytes_is_damaged(cut: int, progressive: bool, tmp_path: Path) -> None:
    file = tmp_path / "a.jpg"
    Image.effect_noise((100, 80), 60).convert("RGB").save(file, progressive=progressive)
    file.write_bytes(file.read_bytes()[:-cut])
    assert (problem_of(str(file)) or ("",))[0] == DAMAGED


def test_processes_find_the_same_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = []
    for number in range(130):
        file = tmp_path / f"{number}.jpg"
        if number % 50 == 0:
            file.write_bytes(b"")
        else:
            Image.new("RGB", (8, 8), (number, 0, 0)).save(file)
        paths.append(str(file))
    (tmp_path / "7.jpg").write_text("text", encoding="utf-8")
    monkeypatch.setattr("lamm.checking.images._WORTH_PROCESSES", 1)
    alone = sorted(undecodable(paths, "decoding", workers=1))
    assert [(Path(path).name, kind) for path, kind, _ in alone] == [
        ("0.jpg", EMPTY), ("100.jpg", EMPTY), ("50.jpg", EMPTY), ("7.jpg", FOREIGN),
    ]  # fmt: skip
    assert sorted(undecodable(paths, "decoding", workers=2)) == alone
