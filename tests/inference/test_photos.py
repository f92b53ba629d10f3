"""Photos for the tests: squares of one colour, and files that are none."""

import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import ExifTags, Image
from torch import Tensor
from torchvision import transforms as T

from lamm.images import begin_notices
from lamm.inference.photos import Layout, PhotoFiles, Prediction, Table, Unreadable, find_photos, predictions
from tests.pictures import noise

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def photo(path: Path, colour: tuple[int, int, int] = RED, side: int = 8) -> str:
    """Write a square; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side, side), colour).save(path, "PNG")
    return str(path)


def no_photo(path: Path, content: bytes = b"not an image") -> str:
    """Write a file that can't be read as an image; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path)


def cut_short(path: Path) -> str:
    """Write a JPEG that ends too early; its path."""
    noise(64, 64).convert("L").save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-400])
    return str(path)


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def touch(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


def test_files_come_in_their_order_whatever_their_ending() -> None:
    touch("b.jpg", "a.dat", "kein Bild.ü")
    assert find_photos(["b.jpg", "a.dat", "kein Bild.ü"]) == (["b.jpg", "a.dat", "kein Bild.ü"], [])


def test_a_folder_stands_for_all_photos_below_it_sorted() -> None:
    touch("p/b.JPG", "p/a.png", "p/unter ordner/ä.webp", "p/notes.txt", "p/.hidden.png", "p/.cache/c.png")
    touch("p/__MACOSX/d.png", "p/a.png.txt", "p/telefon.HEIC")
    found = find_photos(["p"])
    assert found.files == ["p/a.png", "p/b.JPG", "p/telefon.HEIC", "p/unter ordner/ä.webp"]
    assert found.missing == []


def test_patterns_that_no_shell_expanded_are_expanded_sorted() -> None:
    touch("p/2.png", "p/1.png", "p/1.txt", "p/q/3.png", "p/.hidden.png")
    assert find_photos(["p/*.png"]).files == ["p/1.png", "p/2.png"]
    assert find_photos(["p/?.t*"]).files == ["p/1.txt"]
    assert find_photos(["p/[2-9].png"]).files == ["p/2.png"]
    assert find_photos(["**/*.png"]).files == ["p/1.png", "p/2.png", "p/q/3.png"]


def test_a_pattern_that_matches_a_folder_stands_for_its_photos() -> None:
    touch("day 1/a.png", "day 1/notes.txt", "day 2/b.png")
    assert find_photos(["day*"]).files == ["day 1/a.png", "day 2/b.png"]


def test_a_name_that_looks_like_a_pattern_is_the_file_of_that_name() -> None:
    touch("photo[1].png", "photo1.png", "what?.png")
    assert find_photos(["photo[1].png", "what?.png"]).files == ["photo[1].png", "what?.png"]


def test_a_photo_that_is_meant_twice_counts_once() -> None:
    touch("p/a.png", "p/b.png")
    assert find_photos(["p/b.png", "p", "./p/a.png", os.path.abspath("p/b.png")]).files == ["p/b.png", "p/a.png"]


def test_what_means_nothing_is_listed_and_the_rest_is_found() -> None:
    touch("a.png", "empty/notes.txt")
    found = find_photos(["nowhere.png", "a.png", "empty", "*.gif"])
    assert found.files == ["a.png"]
    assert found.missing == [
        Unreadable("nowhere.png", "no such file or folder"),
        Unreadable("empty", "holds no photos"),
        Unreadable("*.gif", "matches no file"),
    ]


def test_a_link_to_nothing_is_a_file_to_try() -> None:
    os.symlink("gone.png", "link.png")
    assert find_photos(["link.png"]) == (["link.png"], [])


def test_linked_folders_are_followed_each_once() -> None:
    touch("p/a.png", "elsewhere/b.png")
    os.symlink(os.path.abspath("p"), "p/loop")
    os.symlink(os.path.abspath("elsewhere"), "p/linked")
    assert find_photos(["p"]).files == ["p/a.png", "p/linked/b.png"]


def test_the_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    touch("a.png")
    assert find_photos(["~/a.png", "~/*.png"]).files == [str(tmp_path / "a.png")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_told() -> None:
    touch("p/a.png", "p/closed/b.png")
    os.chmod("p/closed", 0)
    found = find_photos(["p"])
    os.chmod("p/closed", 0o700)
    assert found.files == ["p/a.png"]
    assert found.missing == [Unreadable("p/closed", "can't be listed: Permission denied")]


def test_a_line_about_a_photo_names_it_once_and_stays_one_line() -> None:
    assert Unreadable("a.png", "no such file").line() == "a.png: no such file"
    assert Unreadable("a.png", '"a.png" is no image').line() == '"a.png" is no image'
    assert Unreadable("a\nb\tü\udcff.png", "bad").line() == "a\\nb\\tü\\udcff.png: bad"


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


NAMES = ["rot", "grün", "blau"]


def shares_of_colours(images: Tensor) -> Tensor:
    """(mean of each channel + its place / 10), as shares."""
    shares = images.mean(dim=(2, 3)) + torch.tensor([0.1, 0.2, 0.3])
    return shares / shares.sum(dim=1, keepdim=True)


def judged_by(probabilities: Any) -> Any:
    """Probabilities, and that no photo is strange."""
    return lambda images: (probabilities(images), torch.zeros(len(images), dtype=torch.bool))


def test_a_strange_photo_is_unknown_first(tmp_path: Path) -> None:
    paths = [photo(tmp_path / "a.png", GREEN), photo(tmp_path / "b.png")]

    def judged(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return shares_of_colours(images), torch.tensor([True, False])

    ((first, second),) = predictions(paths, TRANSFORM, judged, NAMES, 2, 2, workers=0)
    assert isinstance(first, Prediction)
    assert isinstance(second, Prediction)
    assert [name for name, _ in first.ranked] == ["unknown", "grün"]
    assert "unknown" not in [name for name, _ in second.ranked]


def predicted(paths: list[str], top_k: int = 1, batch_size: int = 2) -> list[Prediction | Unreadable]:
    batches = predictions(paths, TRANSFORM, judged_by(shares_of_colours), NAMES, top_k, batch_size, workers=0)
    return [one for batch in batches for one in batch]


def test_the_best_classes_come_first_with_their_probabilities(tmp_path: Path) -> None:
    path = photo(tmp_path / "a.png", GREEN)
    (one,) = predicted([path], top_k=3)
    assert isinstance(one, Prediction)
    assert one.path == path
    assert [name for name, _ in one.ranked] == ["grün", "blau", "rot"]
    assert [value for _, value in one.ranked] == pytest.approx([1.2 / 1.6, 0.3 / 1.6, 0.1 / 1.6])


def test_more_classes_than_there_are_is_all_of_them(tmp_path: Path) -> None:
    (one,) = predicted([photo(tmp_path / "a.png")], top_k=9)
    assert isinstance(one, Prediction)
    assert len(one.ranked) == 3


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 2), (2, 0), (100, 2)])
def test_every_photo_comes_once_and_in_its_order(paths: list[str], batch_size: int, workers: int) -> None:
    images: list[Tensor] = []

    def seen(batch: Tensor) -> Tensor:
        images.extend(batch)
        return shares_of_colours(batch)

    batches = list(predictions(paths, TRANSFORM, judged_by(seen), NAMES, 1, batch_size, workers))
    assert all(len(batch) <= batch_size for batch in batches)
    results = [one for batch in batches for one in batch]
    assert [one.path for one in results] == paths
    best = [one.ranked[0][0] if isinstance(one, Prediction) else None for one in results]
    assert best == ["rot", None, "grün", None, None, "blau", None, "rot", "grün"]
    bad = [one for one in results if isinstance(one, Unreadable)]
    assert all(one.path in one.reason and "\n" not in one.reason for one in bad)
    expected = [torch.eye(3)[channel] for channel in (0, 1, 2, 0, 1)]
    for image, colour in zip(images, expected, strict=True):
        assert torch.equal(image, colour[:, None, None].expand(3, 4, 4))


def test_a_batch_of_bad_files_has_no_images(tmp_path: Path) -> None:
    bad = [no_photo(tmp_path / name) for name in ("a.png", "b.png")]
    assert [one.path for one in predicted(bad, batch_size=8)] == bad


def test_a_line_has_its_fields_between_tabs() -> None:
    one = Prediction("a b/ü.png", [("grün", 0.75), ("rot", 0.25)])
    assert Layout().line(one) == "a b/ü.png\tgrün\t0.7500\trot\t0.2500"


def test_control_characters_of_a_name_do_not_break_a_line() -> None:
    assert Layout().line(Prediction("a\tb\n\udcff.png", [("x\ty", 1.0)])) == "a\\tb\\n\\udcff.png\tx\\ty\t1.0000"


def test_lines_for_a_terminal_stand_under_each_other() -> None:
    layout = Layout(["a.png", "longer.png"], ["rot", "violett"])
    lines = [
        layout.line(Prediction(path, [(name, 0.5)])) for path, name in (("a.png", "violett"), ("longer.png", "rot"))
    ]
    assert lines == ["a.png       violett  0.5000", "longer.png  rot      0.5000"]


def test_the_table_is_csv_that_reads_back() -> None:
    file = io.StringIO(newline="")
    table = Table(file, 2)
    table.write(
        [Prediction('a, "b"/ü.png', [("x,y", 0.75), ("ä", 0.25)]), Prediction("c.png", [("ä", 1.0), ("x,y", 0.0)])]
    )
    rows = list(csv.reader(io.StringIO(file.getvalue())))
    assert rows == [
        ["path", "class_1", "probability_1", "class_2", "probability_2"],
        ['a, "b"/ü.png', "x,y", "0.750000", "ä", "0.250000"],
        ["c.png", "ä", "1.000000", "x,y", "0.000000"],
    ]


def turned(path: Path, orientation: int = 6) -> str:
    """Write a photo whose left half is white, of a camera held sideways; its path."""
    image, exif = Image.new("RGB", (64, 64)), Image.Exif()
    image.paste("white", (0, 0, 32, 64))
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, "JPEG", exif=exif, quality=95)
    return str(path)


def test_photos_are_turned_as_exif_says_unless_told_otherwise(tmp_path: Path) -> None:
    path = turned(tmp_path / "a.jpg")
    for upright, top_right in ((True, 1.0), (False, 0.0)):
        _, image = PhotoFiles([path], T.ToTensor(), upright)[0]
        assert isinstance(image, Tensor)
        assert image[0, 8, 56].item() == pytest.approx(top_right, abs=0.05)


def test_what_is_said_of_pixels_is_not_among_the_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin_notices()
    Image.new("RGBA", (8, 8)).save(tmp_path / "a.png")
    PhotoFiles([str(tmp_path / "a.png")], T.ToTensor())[0]
    said = capsys.readouterr()
    assert (said.out, "put on white" in said.err) == ("", True)


def test_a_photo_without_a_decoder_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lamm.images.readable_formats", lambda: ("JPEG", "PNG"))
    path = no_photo(tmp_path / "a.heic", b"\0\0\0\x18ftypheic")
    _, reason = PhotoFiles([path], T.ToTensor())[0]
    assert reason == f'image file "{path}" is not readable here: HEIC needs `pip install pillow-heif`'


def test_any_batch_size_and_number_of_workers_will_do(tmp_path: Path) -> None:
    paths = [photo(tmp_path / "a.png"), photo(tmp_path / "b.png")]
    batches = list(
        predictions(
            paths, T.ToTensor(), judged_by(lambda images: images.mean((2, 3))), ["r", "g", "b"], 1, 10**30, 10**9
        )
    )
    assert [[one.path for one in batch] for batch in batches] == [paths]
