"""Transfer results as text: marked labels, averages, and published numbers or why there are none."""

import csv
import io
import json
from pathlib import Path

import pytest

from lamm.results import load
from lamm.results.published import DEMO
from lamm.transfer.results import transfer_findings, with_base_to_new_means
from lamm.transfer.table import render_transfer
from tests.transfer.transferred_runs import TransferredRuns

PAPER_CFG = "vit_b16_ep50_ctxv1"


def shown(runs: TransferredRuns, layout: str = "plain") -> str:
    return render_transfer(with_base_to_new_means(transfer_findings(load(runs.output)).results)[0], layout)


def row(text: str, start: str) -> list[str]:
    """The cells of a line of a plain table."""
    (line,) = (line for line in text.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.fixture
def demo(tmp_path: Path) -> TransferredRuns:
    runs = TransferredRuns(tmp_path / "demo")
    for seed, (base, new) in {1: (80.0, 40.0), 2: (60.0, 60.0)}.items():
        runs.evaluate(runs.train("digits", base, seed, "base"), "digits", new, seed, "new", labels=(0, 2))
    return runs


def from_imagenet(output: Path, targets: tuple[str, ...], seeds: int = 3, cfg: str = PAPER_CFG) -> TransferredRuns:
    """LAMM trained on ImageNet with ViT-B/16: 72 on the source, 66 on each target."""
    runs = TransferredRuns(output, "ViT-B/16")
    for seed in range(1, seeds + 1):
        model = runs.train("imagenet", 72.0, seed, cfg=cfg)
        for target in targets:
            runs.evaluate(model, target, 66.0, seed, labels=(3, 0), cfg=cfg)
    return runs


def test_base_to_new_shows_the_harmonic_mean_and_whose_labels_the_new_classes_have(demo: TransferredRuns) -> None:
    text = shown(demo)
    assert text.startswith("Base to new: digits, 16 shots; H: harmonic mean of the two means\n")
    assert row(text, "LAMM") == ["LAMM", "tiny_ep50", "1 2", "70.00 ± 10.00", "50.00 ± 10.00 *", "58.33"]
    assert "* LAMM: no learned label, for classes it never saw: new 2 of 2" in text


def test_demo_data_say_that_they_are_not_comparable(demo: TransferredRuns) -> None:
    assert f"Published numbers: {DEMO}" in shown(demo)
    assert "(reported)" not in shown(demo)


def test_comparable_runs_stand_above_the_papers_row(tmp_path: Path) -> None:
    text = shown(from_imagenet(tmp_path, ("imagenetv2", "imagenet_sketch")))
    own, reported = (line for line in text.splitlines() if line.startswith("LAMM"))
    assert own.split()[-1] == "68.00"
    assert row(text, "LAMM (reported)") == ["LAMM (reported)", "72.73", "65.13", "48.11", "61.99"]
    assert "*" not in own
    assert "Reported: Table 1 of LAMM, AAAI 2024 (arXiv:2312.08212), average is the mean of source" in text
    assert len(reported) == len(own)


def test_with_further_targets_the_papers_average_is_not_shown(tmp_path: Path) -> None:
    text = shown(from_imagenet(tmp_path, ("imagenetv2", "imagenet_sketch", "imagenet_a")))
    assert row(text, "LAMM (reported)") == ["LAMM (reported)", "72.73", "65.13", "48.11"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": 1}, "not comparable: 1 seed, reported with 3"),
        ({"cfg": f"{PAPER_CFG}+MAX_EPOCH=2"}, "not comparable: other settings (MAX_EPOCH=2)"),
        ({"cfg": f"{PAPER_CFG}_released"}, f"not comparable: config {PAPER_CFG}_released, reported with {PAPER_CFG}"),
    ],
)
def test_runs_unlike_the_papers_get_the_reason_in_place_of_numbers(tmp_path: Path, changes: dict, reason: str) -> None:
    text = shown(from_imagenet(tmp_path, ("imagenetv2",), **changes))
    assert f"Published numbers: {reason}" in text
    assert "65.13" not in text


@pytest.mark.parametrize(("seeds", "reason"), [(3, "1 seed, reported with 3")])
def test_a_target_with_fewer_seeds_is_named_and_nothing_is_compared(tmp_path: Path, seeds: int, reason: str) -> None:
    runs = from_imagenet(tmp_path, ("imagenetv2",), seeds)
    model = runs.output / f"imagenet/shots_16/LAMM/{PAPER_CFG}/seed1"
    runs.evaluate(model, "imagenet_sketch", 48.0, 1, labels=(3, 0), cfg=PAPER_CFG)
    text = shown(runs)
    assert "(reported)" not in text
    assert f"Published numbers: not comparable: {reason}" in text
    every = " ".join(map(str, range(1, seeds + 1)))
    assert f"LAMM, {PAPER_CFG}: not with all seeds ({every}): imagenet_sketch 1" in text
    (result,) = json.loads(shown(runs, "json"))
    assert (result["published"], result["seeds_of_targets"]["imagenet_sketch"]) == (None, [1])
    lines = csv.DictReader(io.StringIO(shown(runs, "csv")))
    assert {line["target"]: line["seeds"] for line in lines} == {
        "imagenet": every,
        "imagenetv2": every,
        "imagenet_sketch": "1",
    }


def test_three_seeds_of_four_are_not_comparable_either(tmp_path: Path) -> None:
    runs = from_imagenet(tmp_path, ("imagenetv2",), 4)
    for file in tmp_path.glob("evaluation/**/seed4/results.json"):
        file.unlink()
    for seed in (1, 2, 3, 4):
        model = runs.output / f"imagenet/shots_16/LAMM/{PAPER_CFG}/seed{seed}"
        runs.evaluate(model, "imagenet_a", 48.0, seed, labels=(2, 0), cfg=PAPER_CFG)
    assert "not comparable: 4 seeds, reported with 3" in shown(runs)


def test_with_all_seeds_on_each_target_nothing_is_said_of_seeds(tmp_path: Path) -> None:
    assert "seeds (" not in shown(from_imagenet(tmp_path, ("imagenetv2", "imagenet_sketch")))


def test_the_average_of_a_model_that_lacks_a_target_of_another_is_left_out(tmp_path: Path) -> None:
    runs = TransferredRuns(tmp_path)
    for trainer, targets in {"CoOp": ("shapes_noisy",), "MaPLe": ("shapes_noisy", "shapes_sketch")}.items():
        model = runs.train("shapes", 90.0, trainer=trainer)
        for target in targets:
            runs.evaluate(model, target, 60.0, trainer=trainer)
    text = shown(runs)
    assert row(text, "CoOp") == ["CoOp", "tiny_ep50", "1", "90.00", "60.00"]
    assert row(text, "MaPLe") == ["MaPLe", "tiny_ep50", "1", "90.00", "60.00", "60.00", "70.00"]


def test_json_holds_each_seed_and_csv_a_line_a_target(demo: TransferredRuns) -> None:
    (result,) = json.loads(shown(demo, "json"))
    assert result["harmonic_means"] == pytest.approx([2 * 80 * 40 / 120, 60.0])
    assert result["targets"]["new"]["values"] == [40.0, 60.0]
    assert (result["labels_from_clip"], result["classes"]) == ({"new": 2}, {"new": 2})
    assert (result["published"], result["not_comparable"]) == (None, DEMO)
    base, new = csv.DictReader(io.StringIO(shown(demo, "csv")))
    assert (base["target"], base["accuracy_mean"], base["labels_from_clip"]) == ("base", "70.0", "")
    assert (new["target"], new["accuracy_mean"], new["labels_from_clip"]) == ("new", "50.0", "2")


def test_json_holds_the_papers_numbers_of_comparable_runs(tmp_path: Path) -> None:
    (result,) = json.loads(shown(from_imagenet(tmp_path, ("imagenetv2", "imagenet_sketch")), "json"))
    assert result["published"] == {"imagenet": 72.73, "imagenetv2": 65.13, "imagenet_sketch": 48.11, "average": 61.99}
    assert result["not_comparable"] == ""


def test_latex_is_escaped_and_its_title_a_comment(demo: TransferredRuns) -> None:
    text = shown(demo, "latex")
    assert text.startswith("% Base to new")
    assert r"tiny\_ep50" in text
    assert all(line.startswith("%") for line in text.splitlines() if "no learned label" in line)


def test_github_tables_stand_under_their_titles(demo: TransferredRuns) -> None:
    assert "\n\n| trainer" in shown(demo, "github")


def test_the_mean_over_data_sets_stands_below_them(demo: TransferredRuns) -> None:
    demo.evaluate(demo.train("shapes", 60.0, 1, "base"), "shapes", 20.0, 1, "new", labels=(0, 2))
    digits, shapes, mean = shown(demo).split("Base to new: ")[1:]
    assert (digits[:6], shapes[:6]) == ("digits", "shapes")
    assert mean.startswith("mean of 2 data sets, 16 shots")
    assert row(mean, "LAMM") == ["LAMM", "tiny_ep50", "1", "70.00", "30.00 *", "42.00"]
    assert DEMO in mean
