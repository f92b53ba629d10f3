"""The mean of base-to-new results over data sets: which methods have one, over what, and where it is shown."""

from pathlib import Path

import pytest

from lamm.transfer.results import TransferResult, transfer_results, with_base_to_new_means
from tests.train_command import command_module
from tests.transfer.transferred_runs import TransferredRuns


@pytest.fixture
def runs(tmp_path: Path) -> TransferredRuns:
    return TransferredRuns(tmp_path / "output")


def half(runs: TransferredRuns, dataset: str, seed: int, base: float, new: float, **changes: object) -> None:
    """A model trained on the base classes, tested on the new ones."""
    model = runs.train(dataset, base, seed, "base", **changes)
    runs.evaluate(model, dataset, new, seed, "new", (0, 2), **changes)


def means(runs: TransferredRuns) -> tuple[list[TransferResult], list[str]]:
    results, lacking = with_base_to_new_means(transfer_results([runs.output]))
    return [result for result in results if result.averaged], lacking


def test_the_mean_is_taken_seed_by_seed_and_its_harmonic_mean_is_of_the_two_means(runs: TransferredRuns) -> None:
    for seed, accuracies in {1: (80.0, 40.0, 60.0, 20.0), 2: (90.0, 50.0, 70.0, 50.0)}.items():
        half(runs, "digits", seed, *accuracies[:2])
        half(runs, "shapes", seed, *accuracies[2:])
    (mean,), lacking = means(runs)
    assert (mean.source, mean.averaged) == ("mean of 2 data sets", ("digits", "shapes"))
    assert mean.source_accuracy.values == (70.0, 80.0)
    assert mean.targets["new"].values == (30.0, 50.0)
    assert mean.harmonic_means == pytest.approx((2 * 70 * 30 / 100, 2 * 80 * 50 / 130))
    assert mean.harmonic_mean == pytest.approx(2 * 75 * 40 / 115)
    assert (mean.labels_from_clip, mean.classes) == ({"new": 4}, {"new": 4})
    assert len(mean.files) == 8
    assert lacking == []


def test_seeds_that_one_data_set_lacks_are_in_no_mean(runs: TransferredRuns) -> None:
    for seed in (1, 2):
        half(runs, "digits", seed, 80.0 + seed, 40.0)
    half(runs, "shapes", 2, 60.0, 20.0)
    (mean,), _ = means(runs)
    assert (mean.seeds, mean.source_accuracy.values) == ((2,), (71.0,))


def test_a_method_that_lacks_a_data_set_has_no_mean_and_is_named(runs: TransferredRuns) -> None:
    half(runs, "digits", 1, 80.0, 40.0)
    half(runs, "shapes", 1, 60.0, 20.0)
    half(runs, "digits", 1, 80.0, 40.0, trainer="CoOp")
    found, lacking = means(runs)
    assert [mean.trainer for mean in found] == ["LAMM"]
    assert lacking == ["left out of the mean of 2 data sets, not on shapes: CoOp, tiny_ep50"]


def test_data_sets_without_a_common_seed_have_no_mean(runs: TransferredRuns) -> None:
    half(runs, "digits", 1, 80.0, 40.0)
    half(runs, "shapes", 2, 60.0, 20.0)
    found, lacking = means(runs)
    assert found == []
    assert lacking == ["left out of the mean of 2 data sets, no seed on all of them: LAMM, tiny_ep50"]


def test_one_data_set_has_no_mean(runs: TransferredRuns) -> None:
    half(runs, "digits", 1, 80.0, 40.0)
    assert means(runs) == ([], [])


def test_other_numbers_of_shots_are_not_mixed(runs: TransferredRuns) -> None:
    half(runs, "digits", 1, 80.0, 40.0)
    half(runs, "shapes", 1, 60.0, 20.0, shots=1)
    assert means(runs) == ([], [])


def test_the_command_prints_the_mean_below_the_data_sets(
    runs: TransferredRuns, capsys: pytest.CaptureFixture[str]
) -> None:
    half(runs, "digits", 1, 80.0, 40.0)
    half(runs, "shapes", 1, 60.0, 20.0)
    command = command_module("parse_results")
    assert command.main(command.parser().parse_args([str(runs.output), "--transfer"])) == 0
    digits, shapes, mean = capsys.readouterr().out.split("Base to new: ")[1:]
    assert digits.startswith("digits")
    assert shapes.startswith("shapes")
    assert mean.startswith("mean of 2 data sets, 16 shots")
    assert [word for word in mean.split() if word in ("70.00", "30.00", "42.00")] == ["70.00", "30.00", "42.00"]
    assert "not comparable: demo data" in mean
