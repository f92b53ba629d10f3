"""`lamm review` as a user runs it."""

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lamm
from lamm.commands import review
from lamm.commands.parser import run

pytest.importorskip("imagehash", reason="the extra review is not installed")
Command = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Line → exit code and what was printed."""

    def start(line: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            run(review.parser(), review.main, shlex.split(line))
        return int(stop.value.code or 0), *capsys.readouterr()

    return start


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """Two classes by colour; one photo is in the wrong folder, one is damaged."""
    colours = {"red": (220, 30, 30), "blue": (30, 30, 220)}
    generator = np.random.default_rng(0)
    for name, colour in colours.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            other = colours["blue"] if (name, number) == ("red", 4) else colour
            pixels = generator.normal(other, 40, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos" / "blue" / "5.png").write_bytes(b"damaged")
    return tmp_path / "photos"


def test_review_ranks_a_wrong_label_first_and_writes_nothing_but_its_files(
    command: Command, photo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = sorted(photo_folder.rglob("*"))
    line = f"{photo_folder} --backbone tiny --workers 0 --csv {tmp_path}/review.csv --html {tmp_path}/review.html"
    code, out, err = command(line)
    assert code == 1, err
    assert "not looked at" in err
    assert "5.png" in err
    assert (tmp_path / "review.csv").read_text().splitlines()[1].startswith("label,red/4.png,red,")
    assert "red/4.png" in out
    assert "</html>" in (tmp_path / "review.html").read_text()
    assert sorted(photo_folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "give the folder"),
        ("photos --dataset digits", "give the folder"),
        ("--dataset digit", 'did you mean "digits"'),
        ("nowhere --backbone tiny", "is not a folder"),
    ],
)
def test_a_review_of_nothing_is_one_line(command: Command, line: str, said: str) -> None:
    code, _, err = command(line)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1


def test_a_classifier_judges_the_labels_of_the_classes_that_it_knows(
    command: Command, photo_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (photo_folder / "blue" / "5.png").unlink()
    wrong = photo_folder / "red" / "4.png"
    right = [str(photo) for photo in sorted(photo_folder.rglob("*.png")) if photo != wrong]
    classifier = lamm.Classifier(backbone="tiny", method="GDA", folds=0)
    classifier.fit(right, [Path(photo).parent.name for photo in right]).save(tmp_path / "colours.lamm")
    (photo_folder / "green").mkdir()
    Image.new("RGB", (32, 32), (30, 220, 30)).save(photo_folder / "green" / "0.png")
    code, out, err = command(f"{photo_folder} {tmp_path}/colours.lamm --csv {tmp_path}/review.csv --workers 0")
    assert code == 0, err
    assert "has no class green" in err
    assert "judged by colours.lamm" in out
    labels = [line for line in (tmp_path / "review.csv").read_text().splitlines() if line.startswith("label,")]
    assert len(labels) == 11
    assert labels[0].startswith("label,red/4.png,red,")
