"""The most probable classes of photos, and how they are written down."""

import csv
import io
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision import transforms as T

from lamm.inference.photos import Unreadable
from lamm.inference.top_k import Layout, Prediction, Table, predictions
from tests.inference.photo_files import BLUE, GREEN, RED, no_photo, photo

NAMES = ["rot", "grün", "blau"]
TRANSFORM = T.Compose([T.Resize(4), T.ToTensor()])


def shares_of_colours(images: Tensor) -> Tensor:
    """(mean of each channel + its place / 10), as shares."""
    shares = images.mean(dim=(2, 3)) + torch.tensor([0.1, 0.2, 0.3])
    return shares / shares.sum(dim=1, keepdim=True)


def predicted(paths: list[str], top_k: int = 1, batch_size: int = 2) -> list[Prediction | Unreadable]:
    batches = predictions(paths, TRANSFORM, shares_of_colours, NAMES, top_k, batch_size, workers=0)
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


@pytest.mark.parametrize("batch_size", [1, 3, 10])
def test_bad_photos_stand_in_their_places(batch_size: int, tmp_path: Path) -> None:
    paths = [photo(tmp_path / "0.png", RED), no_photo(tmp_path / "1.png"), photo(tmp_path / "2.png", BLUE)]
    first, second, third = predicted([*paths], batch_size=batch_size)
    assert isinstance(first, Prediction)
    assert isinstance(third, Prediction)
    assert (first.ranked[0][0], third.ranked[0][0]) == ("rot", "blau")
    assert isinstance(second, Unreadable)
    assert second.path == paths[1]


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
