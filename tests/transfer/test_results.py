"""Evaluations of trained models put together: which protocol, which numbers, what is missing."""

import shutil
import tempfile
from pathlib import Path

import pytest

from lamm.errors import ResultsError
from lamm.results import load
from lamm.transfer.results import TransferFindings, TransferResult, harmonic, transfer_findings, with_base_to_new_means
from tests.transfer.transferred_runs import TransferredRuns


def findings_in(*folders: Path) -> TransferFindings:
    return transfer_findings(load(*folders))


def results_in(*folders: Path) -> list[TransferResult]:
    return findings_in(*folders).results


@pytest.fixture
def runs(tmp_path: Path) -> TransferredRuns:
    return TransferredRuns(tmp_path / "output")


def test_a_model_on_the_same_classes_is_domain_generalisation(runs: TransferredRuns) -> None:
    for seed, (source, noisy, sketch) in {1: (90.0, 60.0, 30.0), 2: (94.0, 70.0, 40.0)}.items():
        model = runs.train("shapes", source, seed)
        runs.evaluate(model, "shapes_noisy", noisy, seed, labels=(2, 0))
        runs.evaluate(model, "shapes_sketch", sketch, seed, labels=(2, 0))
    (result,) = results_in(runs.output)
    assert (result.protocol, result.source, result.trainer) == ("domain_generalization", "shapes", "LAMM")
    assert (result.shots, result.cfg, result.seeds, result.backbone) == (16, "tiny_ep50", (1, 2), "tiny")
    assert result.source_accuracy.values == (90.0, 94.0)
    assert {name: value.values for name, value in result.targets.items()} == {
        "shapes_sketch": (30.0, 40.0),
        "shapes_noisy": (60.0, 70.0),
    }
    assert result.average == pytest.approx((92 + 65 + 35) / 3)
    assert result.harmonic_mean is None
    assert result.labels_from_clip == {"shapes_sketch": 0, "shapes_noisy": 0}
    assert len(result.files) == 6
    assert result.problems == ()


def test_a_model_on_other_classes_is_cross_data_set_transfer(runs: TransferredRuns) -> None:
    model = runs.train("shapes", 90.0)
    runs.evaluate(model, "digits", 60.0, labels=(0, 4))
    runs.evaluate(model, "imagenet", 50.0, labels=(0, 3))
    (result,) = results_in(runs.output)
    assert result.protocol == "cross_dataset"
    assert result.average == pytest.approx(55.0)
    assert result.labels_from_clip == {"imagenet": 3, "digits": 4}
    assert result.classes == {"imagenet": 3, "digits": 4}


def test_base_to_new_has_the_harmonic_mean_of_the_means_and_of_each_seed(runs: TransferredRuns) -> None:
    for seed, (base, new) in {1: (80.0, 40.0), 2: (60.0, 60.0)}.items():
        model = runs.train("digits", base, seed, "base")
        runs.evaluate(model, "digits", new, seed, "new", labels=(0, 2))
    (result,) = results_in(runs.output)
    assert (result.protocol, result.source, result.cfg) == ("base_to_new", "digits", "tiny_ep50")
    assert result.harmonic_means == pytest.approx((2 * 80 * 40 / 120, 60.0))
    assert result.harmonic_mean == pytest.approx(2 * 70 * 50 / 120)
    assert result.average is None
    assert result.labels_from_clip == {"new": 2}


@pytest.mark.parametrize(("base", "new", "expected"), [(100, 0, 0), (0, 0, 0), (60, 30, 40)])
def test_the_harmonic_mean(base: float, new: float, expected: float) -> None:
    assert harmonic(base, new) == pytest.approx(expected)


def test_a_trainer_without_labels_has_no_counts(runs: TransferredRuns) -> None:
    runs.evaluate(runs.train("shapes", 90.0, trainer="CoOp"), "digits", 60.0, trainer="CoOp")
    (result,) = results_in(runs.output)
    assert result.labels_from_clip == result.classes == {}


def test_zero_shot_evaluations_go_with_its_ordinary_run(runs: TransferredRuns) -> None:
    runs.train("shapes", 40.0, trainer="ZeroshotCLIP")
    runs.evaluate(None, "shapes_noisy", 30.0, trainer="ZeroshotCLIP")
    runs.evaluate(None, "shapes_sketch", 20.0, seed=2, trainer="ZeroshotCLIP")
    (result,) = results_in(runs.output)
    assert (result.trainer, list(result.targets), result.seeds) == ("ZeroshotCLIP", ["shapes_noisy"], (1,))


def test_zero_shot_stands_only_where_a_trained_model_does(runs: TransferredRuns) -> None:
    for source in ("shapes", "digits"):
        runs.train(source, 40.0, trainer="ZeroshotCLIP")
    runs.evaluate(None, "shapes_noisy", 30.0, trainer="ZeroshotCLIP")
    assert [(result.protocol, result.source) for result in results_in(runs.output)] == [
        ("domain_generalization", "shapes")
    ]
    runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    assert [(result.trainer, result.source) for result in results_in(runs.output)] == [
        ("ZeroshotCLIP", "shapes"),
        ("LAMM", "shapes"),
    ]


def test_zero_shot_where_no_model_was_evaluated_is_named(runs: TransferredRuns) -> None:
    runs.train("shapes", 40.0, trainer="ZeroshotCLIP")
    folder = runs.evaluate(None, "shapes_sketch", 20.0, trainer="ZeroshotCLIP")
    runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    found = findings_in(runs.output)
    assert [result.trainer for result in found.results] == ["LAMM"]
    assert found.left_out == [f"left out, zero-shot CLIP where no model was evaluated: {folder}"]


def test_zero_shot_without_its_ordinary_run_is_named(runs: TransferredRuns) -> None:
    folder = runs.evaluate(None, "shapes_sketch", 20.0, trainer="ZeroshotCLIP")
    found = findings_in(runs.output)
    assert (found.results, found.problems) == ([], [])
    assert found.left_out == [f"left out, no ordinary run of ZeroshotCLIP on other data that it goes with: {folder}"]


def test_zero_shot_goes_by_settings_where_names_are_cut_off(runs: TransferredRuns) -> None:
    """A value that a folder's name can't hold gives a hash of all overrides, that of the class subset among them."""
    zero_shot = {"trainer": "ZeroshotCLIP"}
    trained = runs.train("digits", 80.0, subset="base", cfg="tiny+TEMPLATE=a_scan_of_-abc123", **zero_shot)
    tested = runs.evaluate(None, "digits", 40.0, subset="new", cfg="tiny+TEMPLATE=a_scan_of_-def456", **zero_shot)
    for folder in (trained, tested):
        config = folder / "config.yaml"
        config.write_text(config.read_text().replace("DATASET:", "DATASET:\n  TEMPLATE: a scan of {}."))
    (result,) = results_in(runs.output)
    assert (result.protocol, result.targets["new"].values) == ("base_to_new", (40.0,))
    config.write_text(config.read_text().replace("a scan of", "another scan of"))
    assert results_in(runs.output) == []


def test_an_evaluation_on_another_split_is_named_in_place_of_mixed_in(runs: TransferredRuns) -> None:
    model = runs.train("shapes", 90.0)
    folder = runs.evaluate(model, "shapes_noisy", 80.0, split="val")
    found = findings_in(runs.output)
    assert found.results == []
    assert found.left_out == [f"left out, tested on the val split, the training run was on test: {folder}"]


def test_an_evaluation_with_other_settings_is_named_in_place_of_mixed_in(runs: TransferredRuns) -> None:
    folder = runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "INPUT: {SIZE: [64, 64], CACHE_VIEWS: 8}\n")
    found = findings_in(runs.output)
    assert found.left_out == [f"left out, other settings than its training run (INPUT.SIZE): {folder}"]


def test_of_two_places_the_one_beside_the_evaluation_counts(runs: TransferredRuns, tmp_path: Path) -> None:
    runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    shutil.copytree(runs.output, tmp_path / "earlier")
    runs.train("shapes", 50.0)
    (result,) = results_in(tmp_path / "earlier")
    assert result.source_accuracy.values == (90.0,)
    assert all(file.is_relative_to(tmp_path / "earlier") for file in result.files)


def test_what_is_no_transfer_is_left_out(runs: TransferredRuns) -> None:
    runs.evaluate(runs.train("digits", 80.0), "digits", 80.0)
    runs.evaluate(runs.train("digits", 80.0, subset="base"), "digits", 70.0, subset="base")
    assert results_in(runs.output) == []


@pytest.mark.parametrize(("trained", "tested"), [("all", "new"), ("base", "all"), ("base", "new")])
@pytest.mark.parametrize(("source", "target"), [("shapes", "digits")])
def test_between_two_data_sets_a_part_of_the_classes_does_not_count_and_is_named(
    runs: TransferredRuns, source: str, target: str, trained: str, tested: str
) -> None:
    model = runs.train(source, 90.0, subset=trained)
    folder = runs.evaluate(model, target, 84.76, subset=tested)
    found = findings_in(runs.output)
    assert (found.results, found.problems) == ([], [])
    parts = [f"{part} of {name}" for part, name in ((trained, source), (tested, target)) if part != "all"]
    assert found.left_out == [f"left out, a part of the classes ({', '.join(parts)}): {folder}"]


@pytest.mark.parametrize("dataset", ["digits"])
def test_zero_shot_on_a_part_of_the_classes_that_goes_with_no_run_is_named(runs: TransferredRuns, dataset: str) -> None:
    runs.train("shapes", 40.0, trainer="ZeroshotCLIP")
    folder = runs.evaluate(None, dataset, 30.0, subset="new", trainer="ZeroshotCLIP")
    found = findings_in(runs.output)
    assert found.results == []
    assert found.left_out == [f"left out, a part of the classes (new of {dataset}): {folder}"]


def test_only_the_trainers_asked_for_are_looked_at(runs: TransferredRuns) -> None:
    runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    runs.evaluate(runs.output / "nowhere/a/b/c/d", "shapes_noisy", 80.0, trainer="CoOp")
    assert len(findings_in(runs.output).problems) == 1
    found = transfer_findings(load(runs.output, trainers=["LAMM"]))
    assert [result.trainer for result in found.results] == ["LAMM"]
    assert found.problems == []


def test_a_part_of_the_target_is_not_mixed_with_the_whole(runs: TransferredRuns) -> None:
    model = runs.train("shapes", 90.0)
    runs.evaluate(model, "digits", 84.76, subset="new")
    runs.evaluate(model, "digits", 76.1)
    (result,) = results_in(runs.output)
    assert result.targets["digits"].values == (76.1,)
    assert result.problems == ()


def test_zero_shot_runs_on_a_part_of_the_classes_are_no_source_of_other_data_sets(runs: TransferredRuns) -> None:
    for subset in ("all", "base"):
        runs.train("digits", 40.0, subset=subset, trainer="ZeroshotCLIP")
    runs.evaluate(None, "digits", 50.0, subset="new", trainer="ZeroshotCLIP")
    runs.evaluate(None, "shapes_noisy", 30.0, trainer="ZeroshotCLIP")
    results = results_in(runs.output)
    assert [(one.protocol, one.cfg, list(one.targets)) for one in results] == [
        ("base_to_new", "tiny_ep50", ["new"]),
        ("cross_dataset", "tiny_ep50", ["shapes_noisy"]),
    ]


def test_an_evaluation_of_an_earlier_epoch_is_left_out_and_named(runs: TransferredRuns) -> None:
    model = runs.train("shapes", 90.0)
    runs.evaluate(model, "shapes_noisy", 80.0)
    folder = runs.evaluate(model, "shapes_noisy", 10.0, cfg="tiny_ep50+LOAD_EPOCH=2", load_epoch=2)
    found = findings_in(runs.output)
    (result,) = found.results
    assert result.targets["shapes_noisy"].values == (80.0,)
    assert found.left_out == [f"left out, an evaluation with --load-epoch 2: {folder}"]
    assert found.problems == []


def test_the_findings_have_the_problems_of_runs_and_of_results(runs: TransferredRuns) -> None:
    for seed in (1, 2):
        runs.evaluate(runs.train("shapes", 90.0, seed), "shapes_noisy", 80.0, seed)
    runs.evaluate(runs.output / "shapes/shots_16/LAMM/tiny_ep50/seed1", "shapes_sketch", 50.0)
    runs.evaluate(runs.output / "nowhere/a/b/c/d", "shapes_noisy", 80.0, 3)
    found = findings_in(runs.output)
    assert [problem.split(" ")[0] for problem in found.problems] == ["the", "missing:"]
    assert found.results == results_in(runs.output)


def test_the_fewest_seeds_are_those_of_the_target_with_the_fewest(runs: TransferredRuns) -> None:
    for seed in (1, 2, 3):
        runs.evaluate(runs.train("shapes", 90.0, seed), "shapes_noisy", 80.0, seed)
    assert results_in(runs.output)[0].fewest_seeds == 3
    runs.evaluate(runs.output / "shapes/shots_16/LAMM/tiny_ep50/seed2", "shapes_sketch", 50.0, 2)
    (result,) = results_in(runs.output)
    assert result.seeds_of_targets == {"shapes_sketch": (2,), "shapes_noisy": (1, 2, 3)}
    assert (result.seeds, result.fewest_seeds) == ((1, 2, 3), 1)


def test_other_settings_are_another_result(runs: TransferredRuns) -> None:
    for cfg in ("tiny_ep50", "tiny_ep50+LR=0.5"):
        runs.evaluate(runs.train("shapes", 90.0, cfg=cfg), "shapes_noisy", 80.0, cfg=cfg)
    assert [result.cfg for result in results_in(runs.output)] == ["tiny_ep50", "tiny_ep50+LR=0.5"]


def test_a_missing_seed_and_one_that_is_there_twice_are_said(runs: TransferredRuns) -> None:
    for seed in (1, 2):
        runs.evaluate(runs.train("shapes", 90.0, seed), "shapes_noisy", 80.0, seed)
    runs.evaluate(runs.output / "shapes/shots_16/LAMM/tiny_ep50/seed1", "shapes_sketch", 50.0)
    runs.evaluate(runs.output / "shapes/shots_16/LAMM/tiny_ep50/seed1", "shapes_sketch", 51.0, cfg="zz")
    (result,) = results_in(runs.output)
    twice, missing = result.problems
    assert twice.startswith("there twice, the first counts: seed 1 on shapes_sketch in ")
    assert missing == "missing: seed 2 of LAMM, shapes, 16 shots, tiny_ep50 on shapes_sketch"
    assert result.targets["shapes_sketch"].values == (50.0,)


def test_an_unfinished_evaluation_or_training_run_is_a_problem(runs: TransferredRuns) -> None:
    runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0, status="running", metrics={})
    runs.evaluate(runs.train("shapes", 90.0, 2, status="running", metrics={}), "shapes_noisy", 80.0, 2)
    runs.evaluate(runs.output / "nowhere/a/b/c/d", "shapes_noisy", 80.0, 3)
    found = findings_in(runs.output)
    assert found.results == []
    source_missing, unfinished, source_unfinished = sorted(found.problems, key=lambda line: line.split()[-1])
    assert unfinished.startswith("unfinished: ")
    assert source_unfinished.endswith("is unfinished")
    assert source_missing.endswith("is missing")


def test_a_moved_output_folder_is_read_all_the_same(runs: TransferredRuns, tmp_path: Path) -> None:
    runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    shutil.move(runs.output, tmp_path / "elsewhere")
    (result,) = results_in(tmp_path / "elsewhere")
    assert result.source_accuracy.values == (90.0,)


def test_a_copied_evaluation_with_few_folders_above_it_is_read(runs: TransferredRuns) -> None:
    evaluation = runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(evaluation, folder, dirs_exist_ok=True)
        (result,) = results_in(folder)
        assert result.source_accuracy.values == (90.0,)
        shutil.rmtree(runs.output)
        (problem,) = findings_in(folder).problems
    assert problem.endswith("is missing")


def test_a_folder_that_is_not_there_and_a_damaged_file_are_errors(runs: TransferredRuns, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="nowhere is not a folder"):
        results_in(tmp_path / "nowhere")
    folder = runs.evaluate(runs.train("shapes", 90.0), "shapes_noisy", 80.0)
    (folder / "config.yaml").write_text("a: [")
    with pytest.raises(ResultsError, match="config.yaml can't be read"):
        results_in(runs.output)


def half(runs: TransferredRuns, dataset: str, seed: int, base: float, new: float, **changes: object) -> None:
    """A model trained on the base classes, tested on the new ones."""
    model = runs.train(dataset, base, seed, "base", **changes)
    runs.evaluate(model, dataset, new, seed, "new", (0, 2), **changes)


def means(runs: TransferredRuns) -> tuple[list[TransferResult], list[str]]:
    results, lacking = with_base_to_new_means(results_in(runs.output))
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
