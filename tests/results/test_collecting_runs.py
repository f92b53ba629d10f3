"""Runs are found wherever they lie, grouped by all but the seed, and what is not there is listed."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.errors import ResultsError
from lamm.results.collect import GroupKey, collect, key_from_path
from lamm.results.frame import load

RunWriter = Callable[..., Path]
LAMM_16 = GroupKey("digits", 16, "LAMM", "tiny_ep50", "few_shot", "test")


def test_any_folder_above_the_runs_finds_them(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run(seed=1)
    write_run(seed=2)
    for folder in (tmp_path, seed.parents[3], seed.parents[2], seed.parents[1], seed.parent):
        found = collect([folder])
        assert list(found.finished) == [LAMM_16]
        assert [run.seed for run in found.finished[LAMM_16]] == [1, 2]
    assert [run.seed for run in collect([seed]).finished[LAMM_16]] == [1]


def test_a_folder_given_twice_or_linked_counts_once(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run()
    (tmp_path / "link").symlink_to(seed.parent)
    (seed / "loop").symlink_to(tmp_path)
    found = collect([tmp_path, seed, tmp_path])
    assert len(found.all[LAMM_16]) == 1
    assert found.problems() == []


def test_groups_and_seeds_are_in_natural_order(tmp_path: Path, write_run: RunWriter) -> None:
    for shots in (16, 2, 1):
        write_run(seed=10, shots=shots)
        write_run(seed=9, shots=shots)
    write_run(seed=9, dataset="digits10")
    write_run(seed=10, dataset="digits2")
    found = collect([tmp_path])
    names = [(key.dataset, key.shots) for key in found.finished]
    assert names == [("digits", 1), ("digits", 2), ("digits", 16), ("digits2", 16), ("digits10", 16)]
    assert [run.seed for run in found.finished[LAMM_16]] == [9, 10]


@pytest.mark.parametrize("difference", ["dataset", "trainer", "cfg", "protocol", "split"])
def test_runs_that_differ_in_more_than_the_seed_are_apart(
    tmp_path: Path, write_run: RunWriter, difference: str
) -> None:
    first = write_run(seed=1)
    first.rename(first.with_name("seed7"))
    write_run(seed=1, **{difference: "other"})
    assert len(collect([tmp_path]).finished) == 2


def test_a_run_that_died_is_unfinished(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=1)
    write_run(seed=2, status="running", metrics={})
    found = collect([tmp_path])
    assert [run.seed for run in found.finished[LAMM_16]] == [1]
    (problem,) = found.problems()
    assert problem.startswith("unfinished: ")
    assert problem.endswith("seed2 (its results.json says running)")


def test_a_damaged_results_file_is_listed_and_the_others_are_read(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=1)
    (write_run(seed=2) / "results.json").write_text("{")
    found = collect([tmp_path])
    assert [run.seed for run in found.finished[LAMM_16]] == [1]
    (problem,) = found.problems()
    assert "damaged" in problem


def test_an_empty_seed_folder_is_an_unfinished_run_of_its_siblings(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run(seed=1)
    seed.with_name("seed2").mkdir()
    found = collect([tmp_path])
    assert [run.seed for run in found.all[LAMM_16]] == [1, 2]
    assert found.problems(seeds=[1, 2]) == [f"unfinished: {seed.with_name('seed2')} (no results.json)"]


def test_expected_seeds_that_are_not_there_are_missing(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=1)
    expected = ["missing: seed 2 of digits, 16 shots, LAMM, tiny_ep50, few_shot"]
    assert collect([tmp_path]).problems(seeds=[1, 2]) == expected


def test_without_expected_seeds_groups_of_a_trainer_and_shots_are_compared(
    tmp_path: Path, write_run: RunWriter
) -> None:
    for seed in (1, 2):
        write_run(seed=seed)
    write_run(seed=1, dataset="shapes")
    write_run(seed=1, dataset="shapes", trainer="ZeroshotCLIP")
    write_run(seed=1, dataset="shapes", shots=1)
    expected = ["missing: seed 2 of shapes, 16 shots, LAMM, tiny_ep50, few_shot"]
    assert collect([tmp_path]).problems() == expected


def test_the_same_seed_from_two_places_is_a_problem(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run(seed=1)
    copy = tmp_path / "copy" / "seed1"
    copy.mkdir(parents=True)
    (copy / "results.json").write_bytes((seed / "results.json").read_bytes())
    (problem,) = collect([tmp_path]).problems()
    assert problem.startswith("there twice, and counted twice: seed 1 of digits")


def test_results_win_over_the_log_beside_them(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    seed = write_run(seed=1, accuracy=60.0)
    (seed / "log.txt").write_text(training_log(93.2, 6.8, 90.1))
    assert collect([tmp_path]).finished[LAMM_16][0].metrics["accuracy"] == 60.0


def test_a_step_without_results_is_not_put_with_another_step(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    seed = tmp_path / "output/incremental/digits/shots_16/LAMM/tiny_ep50+STEPS=2/seed1"
    (seed / "step2").mkdir(parents=True)
    (seed / "step2" / "log.txt").write_text(training_log(60.0, 40.0, 59.0))
    written = write_run(cfg="tiny_ep50+STEPS=2/step1", protocol="incremental", accuracy=90.0)
    written.rename(seed / "step1")
    groups = collect([tmp_path]).finished
    assert sorted([run.metrics["accuracy"] for run in runs] for runs in groups.values()) == [[60.0], [90.0]]


def test_a_log_beside_results_is_put_with_them(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    folder = write_run(seed=1).with_name("seed2")
    folder.mkdir()
    (folder / "log.txt").write_text(training_log(64.0, 36.0, 63.0))
    assert [run.metrics["accuracy"] for run in collect([tmp_path]).finished[LAMM_16]] == [60.0, 64.0]


def test_logs_of_the_original_layout_are_grouped(tmp_path: Path, training_log: Callable[..., str]) -> None:
    folder = tmp_path / "output" / "caltech101" / "CoOp" / "rn50_ep50_16shots" / "nctx16_cscFalse_ctpend"
    for seed, accuracy in ((1, 90.0), (2, 91.0), (3, None)):
        (folder / f"seed{seed}").mkdir(parents=True)
        text = "Loading trainer: CoOp\n" if accuracy is None else training_log(accuracy, 100 - accuracy, accuracy)
        (folder / f"seed{seed}" / "log.txt").write_text(text)
    found = collect([tmp_path / "output"])
    key = GroupKey("caltech101", 16, "CoOp", "rn50_ep50/nctx16_cscFalse_ctpend", "", "test")
    assert [run.metrics["accuracy"] for run in found.finished[key]] == [90.0, 91.0]
    assert found.problems() == [f"unfinished: {folder / 'seed3'} (no final result after training in log.txt)"]


def test_training_and_evaluation_trees_are_not_averaged_together(
    tmp_path: Path, training_log: Callable[..., str]
) -> None:
    for part in ("train_base", "test_new"):
        seed = tmp_path / "base2new" / part / "dtd" / "shots_16" / "CoCoOp" / "vit" / "seed1"
        seed.mkdir(parents=True)
        (seed / "log.txt").write_text(training_log(50.0, 50.0, 50.0))
    found = collect([tmp_path / "base2new" / "train_base", tmp_path / "base2new" / "test_new"])
    assert [key.protocol for key in found.finished] == ["test_new", "train_base"]
    assert found.problems() == []


def test_logs_of_no_known_layout_are_labelled_by_their_folder(tmp_path: Path, training_log: Callable[..., str]) -> None:
    for name in ("mine/a/seed1", "mine/a/seed2", "mine/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "log.txt").write_text(training_log(50.0, 50.0, 50.0))
    found = collect([tmp_path])
    assert [(key.dataset, len(runs)) for key, runs in found.finished.items()] == [("mine/a", 2), ("mine/b", 1)]
    assert {key.shots for key in found.finished} == {None}


def test_an_evaluation_log_is_hinted_at(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("=> result\n* accuracy: 36.4%\n")
    (problem,) = collect([tmp_path]).problems()
    assert problem.endswith("--test-log reads logs of evaluations alone)")
    assert collect([tmp_path], test_log=True).problems() == []


def test_all_shots_and_unseeded_runs_are_read_off_the_path() -> None:
    key = key_from_path(Path("/o/digits/shots_-1/LAMM/c/seed-1"), Path("/o"))
    assert key == GroupKey("digits", -1, "LAMM", "c", "", "test")


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nowhere is not a folder"):
        collect([tmp_path / "nowhere"])


def test_folders_without_a_run_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"no results\.json and no log\.txt in or below"):
        collect([tmp_path])


def test_the_frame_has_a_row_per_run_in_natural_order(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=10)
    write_run(seed=2, metrics={"accuracy": 50.0, "error_rate": 50.0, "macro_f1": 49.0, "set1_accuracy": 7.0})
    frame = load(tmp_path)
    assert list(frame.seed) == [2, 10]
    assert list(frame.set1_accuracy.fillna(-1)) == [7.0, -1.0]
