"""Methods beside each other, a column a number of shots."""

from lamm.results.curves import Curve, render_by_shots
from lamm.results.table import Statistic


def curve(trainer: str, points: dict[int, tuple[float, ...]]) -> Curve:
    return Curve(trainer, trainer, {shots: Statistic(values) for shots, values in points.items()})


CURVES = {
    "digits": [
        curve("ZeroshotCLIP", {0: (76.0, 76.0)}),
        curve("CoOp", {1: (70.0, 74.0), 16: (89.0, 90.0)}),
        curve("LAMM", {2: (80.0,), 16: (92.0, 94.0), -1: (99.0,)}),
    ],
    "shapes": [curve("ZeroshotCLIP", {0: (35.0,)})],
}


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "|" in line]


def test_each_number_stands_under_its_shots() -> None:
    digits, shapes = render_by_shots(CURVES, "github").split("shapes")
    header, _, zero_shot, coop, lamm = cells(digits)
    assert header == ["trainer", "1", "2", "16", "all"]
    assert zero_shot == ["ZeroshotCLIP", *["76.0 ± 0.0"] * 4]
    assert coop == ["CoOp", "72.0 ± 2.0", "", "89.5 ± 0.5", ""]
    assert lamm == ["LAMM", "", "80.0", "93.0 ± 1.0", "99.0"]
    header, _, zero_shot = cells(shapes)
    assert (header, zero_shot) == (["trainer", "0"], ["ZeroshotCLIP", "35.0"])


def test_the_confidence_interval_takes_the_place_of_the_deviation() -> None:
    assert "72.0 ± 2.8" in render_by_shots(CURVES, ci95=True)  # 1.96 · 2 / √2
