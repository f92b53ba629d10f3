"""Runs are found wherever they lie, grouped by all but the seed, and what is not there is listed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from lamm.errors import ResultsError
from lamm.files import write_json, write_text
from lamm.results import load, problems
from lamm.results.curves import require_few_shot_runs
from lamm.results.frame import GROUP
from lamm.results.unrecorded import group_of_path

RunWriter = Callable[..., Path]


def groups_of(frame: pd.DataFrame) -> list[tuple]:
    return list(frame[GROUP].drop_duplicates().itertuples(index=False, name=None))


def test_any_folder_above_the_runs_finds_them(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run(seed=1)
    write_run(seed=2)
    for folder in (tmp_path, seed.parents[3], seed.parents[2], seed.parents[1], seed.parent):
        frame = load(folder)
        assert groups_of(frame) == [("digits", 16, "LAMM", "tiny_ep50", "few_shot", "test")]
        assert list(frame.seed) == [1, 2]
    assert list(load(seed).seed) == [1]


def test_a_folder_given_twice_or_linked_counts_once(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run()
    (tmp_path / "link").symlink_to(seed.parent)
    (seed / "loop").symlink_to(tmp_path)
    frame = load(tmp_path, seed, tmp_path)
    assert len(frame) == 1
    assert problems(frame) == []


def test_runs_are_in_natural_order(tmp_path: Path, write_run: RunWriter) -> None:
    for shots in (16, 2):
        for seed in (10, 9):
            write_run(seed=seed, shots=shots)
    write_run(dataset="digits10")
    write_run(dataset="digits2")
    frame = load(tmp_path)
    assert list(frame.dataset) == ["digits"] * 4 + ["digits2", "digits10"]
    assert list(zip(frame.shots, frame.seed, strict=True))[:4] == [(2, 9), (2, 10), (16, 9), (16, 10)]


def test_a_row_has_what_the_files_of_its_run_say(tmp_path: Path, write_run: RunWriter) -> None:
    metrics = {"accuracy": 50.0, "error_rate": 50.0, "macro_f1": 49.0, "set1_accuracy": 7.0}
    folder = write_run(
        protocol="evaluation", metrics=metrics, cfg="tiny/step2", versions={"engine": "e"}, peak_memory_mb=1.5
    )
    config = "{DATASET: {ROOT: /data, SUBSAMPLE_CLASSES: new}, MODEL: {BACKBONE: {NAME: tiny}}, "
    config += "EVALUATION: {MODEL_DIR: there, LOAD_EPOCH: 3}, INCREMENTAL: {STEPS: 4, SEEN_AS_NEGATIVES: true}}"
    write_text(folder / "config.yaml", config)
    write_json(folder / "classes.json", {"class_names": ["a", "b"], "templates": [], "split_made_here": True})
    run = load(tmp_path).iloc[0]
    assert (run.accuracy, run.set1_accuracy, run.metrics["macro_f1"]) == (50.0, 7.0, 49.0)
    assert (run.engine, run.peak_memory_mb, run.seconds_train, run.trainable_parameters) == ("e", 1.5, 30.0, 1280)
    assert (run.backbone, run.data_root, run.subset, run.model_dir, run.load_epoch) == (
        "tiny",
        "/data",
        "new",
        "there",
        3,
    )
    assert (run.step, run.steps, run.seen_as_negatives) == (2, 4, True)
    assert (run.class_names, run.split_made_here, run.damaged, run.recorded) == (("a", "b"), True, "", True)
    assert load(tmp_path, details=False).backbone.item() == ""


def test_a_damaged_config_or_list_of_classes_is_told_in_a_column(tmp_path: Path, write_run: RunWriter) -> None:
    write_text(write_run(1) / "config.yaml", "a: [")
    write_text(write_run(2) / "classes.json", "{}")
    config, classes = load(tmp_path).damaged
    assert "config.yaml can't be read" in config
    assert "classes.json is damaged" in classes


@pytest.mark.parametrize("difference", ["dataset", "trainer", "cfg", "protocol", "split"])
def test_runs_that_differ_in_more_than_the_seed_are_apart(
    tmp_path: Path, write_run: RunWriter, difference: str
) -> None:
    first = write_run(seed=1)
    first.rename(first.with_name("seed7"))
    write_run(seed=1, **{difference: "other"})
    assert len(groups_of(load(tmp_path))) == 2


def test_a_run_that_died_is_unfinished(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=1)
    write_run(seed=2, status="running", metrics={})
    frame = load(tmp_path)
    assert list(frame.seed[frame.finished]) == [1]
    (problem,) = problems(frame)
    assert problem.startswith("unfinished: ")
    assert problem.endswith("seed2 (its results.json says running)")


def test_a_damaged_results_file_is_listed_and_the_others_are_read(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=1)
    (write_run(seed=2) / "results.json").write_text("{")
    frame = load(tmp_path)
    assert list(frame.seed[frame.finished]) == [1]
    (problem,) = problems(frame)
    assert "damaged" in problem


def test_an_empty_seed_folder_is_an_unfinished_run_of_its_siblings(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run(seed=1)
    seed.with_name("seed2").mkdir()
    frame = load(tmp_path)
    assert len(groups_of(frame)) == 1
    assert problems(frame, seeds=[1, 2]) == [f"unfinished: {seed.with_name('seed2')} (no results.json)"]


def test_expected_seeds_that_are_not_there_are_missing(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(seed=1)
    expected = ["missing: seed 2 of digits, 16 shots, LAMM, tiny_ep50, few_shot"]
    assert problems(load(tmp_path), seeds=[1, 2]) == expected


def test_without_expected_seeds_groups_that_differ_in_the_data_set_alone_are_compared(
    tmp_path: Path, write_run: RunWriter
) -> None:
    for seed in (1, 2):
        write_run(seed=seed)
    write_run(seed=1, dataset="shapes")
    write_run(seed=1, dataset="shapes", trainer="ZeroshotCLIP")
    write_run(seed=1, dataset="shapes", shots=1)
    write_run(seed=1, dataset="folder-my_photos-12345678")
    write_run(seed=1, cfg="tiny_ep50+LAMBDA_KD=0.0")
    write_run(seed=1, cfg="tiny_ep50+MODEL_DIR=x", protocol="evaluation")
    assert problems(load(tmp_path)) == ["missing: seed 2 of shapes, 16 shots, LAMM, tiny_ep50, few_shot"]


def test_a_mean_over_runs_of_several_engines_is_said(tmp_path: Path, write_run: RunWriter) -> None:
    for seed, engine in ((1, "embedded 0.1.0"), (2, "embedded 0.2.0"), (3, "dassl 0.6.3")):
        write_run(seed=seed, versions={"engine": engine})
        write_run(seed=seed, dataset="shapes", versions={"engine": "embedded 0.1.0"})
    (problem,) = problems(load(tmp_path))
    assert problem.startswith("a mean over runs of several engines (dassl, embedded)")
    assert problem.endswith("digits, 16 shots, LAMM, tiny_ep50, few_shot")


def test_the_same_seed_from_two_places_is_a_problem(tmp_path: Path, write_run: RunWriter) -> None:
    seed = write_run(seed=1)
    copy = tmp_path / "copy" / "seed1"
    copy.mkdir(parents=True)
    (copy / "results.json").write_bytes((seed / "results.json").read_bytes())
    (problem,) = problems(load(tmp_path))
    assert problem.startswith("there twice, and counted twice: seed 1 of digits")


def test_results_win_over_the_log_beside_them(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    seed = write_run(seed=1, accuracy=60.0)
    (seed / "log.txt").write_text(training_log(93.2, 6.8, 90.1))
    assert list(load(tmp_path).accuracy) == [60.0]


def test_a_step_without_results_is_not_put_with_another_step(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    seed = tmp_path / "output/incremental/digits/shots_16/LAMM/tiny_ep50+STEPS=2/seed1"
    (seed / "step2").mkdir(parents=True)
    (seed / "step2" / "log.txt").write_text(training_log(60.0, 40.0, 59.0))
    written = write_run(cfg="tiny_ep50+STEPS=2/step1", protocol="incremental", accuracy=90.0)
    written.rename(seed / "step1")
    assert len(groups_of(load(tmp_path))) == 2


def test_a_log_beside_results_is_put_with_them(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    folder = write_run(seed=1, protocol="evaluation").with_name("seed2")
    folder.mkdir()
    (folder / "log.txt").write_text(training_log(64.0, 36.0, 63.0))
    frame = load(tmp_path)
    assert list(frame.accuracy) == [60.0, 64.0]
    assert list(frame.kind) == ["evaluation"] * 2
    assert len(groups_of(frame)) == 1


def test_logs_of_the_original_layout_are_grouped(tmp_path: Path, training_log: Callable[..., str]) -> None:
    folder = tmp_path / "output" / "caltech101" / "CoOp" / "rn50_ep50_16shots" / "nctx16_cscFalse_ctpend"
    for seed, accuracy in ((1, 90.0), (2, 91.0), (3, None)):
        (folder / f"seed{seed}").mkdir(parents=True)
        text = "Loading trainer: CoOp\n" if accuracy is None else training_log(accuracy, 100 - accuracy, accuracy)
        (folder / f"seed{seed}" / "log.txt").write_text(text)
    frame = load(tmp_path / "output")
    assert groups_of(frame) == [("caltech101", 16, "CoOp", "rn50_ep50/nctx16_cscFalse_ctpend", "", "test")]
    assert list(frame.accuracy[frame.finished]) == [90.0, 91.0]
    assert problems(frame) == [f"unfinished: {folder / 'seed3'} (no final result after training in log.txt)"]


def test_training_and_evaluation_trees_are_not_averaged_together(
    tmp_path: Path, training_log: Callable[..., str]
) -> None:
    for part in ("train_base", "test_new"):
        seed = tmp_path / "base2new" / part / "dtd" / "shots_16" / "CoCoOp" / "vit" / "seed1"
        seed.mkdir(parents=True)
        (seed / "log.txt").write_text(training_log(50.0, 50.0, 50.0))
    frame = load(tmp_path / "base2new" / "train_base", tmp_path / "base2new" / "test_new")
    assert list(frame.protocol) == ["test_new", "train_base"]
    assert set(frame.kind) == {"few-shot"}


def test_logs_of_no_known_layout_are_labelled_by_their_folder(tmp_path: Path, training_log: Callable[..., str]) -> None:
    for name in ("mine/a/seed1", "mine/a/seed2", "mine/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "log.txt").write_text(training_log(50.0, 50.0, 50.0))
    frame = load(tmp_path)
    assert list(frame.dataset) == ["mine/a", "mine/a", "mine/b"]
    assert frame.shots.isna().all()


def test_an_evaluation_log_is_hinted_at(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("=> result\n* accuracy: 36.4%\n")
    (problem,) = problems(load(tmp_path))
    assert problem.endswith("--test-log reads logs of evaluations alone)")
    assert problems(load(tmp_path, test_log=True)) == []


def test_all_shots_and_unseeded_runs_are_read_off_the_path() -> None:
    group = group_of_path(Path("/o/digits/shots_-1/LAMM/c/seed-1"), Path("/o"))
    assert tuple(group.values()) == ("digits", -1, "LAMM", "c", "", "test")


def test_a_missing_folder_and_folders_without_a_run_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nowhere is not a folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match=r"no results\.json and no log\.txt in or below"):
        load(tmp_path)


def test_other_experiments_than_few_shot_runs_are_counted(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(cfg="tiny", status="running", metrics={})
    write_run(cfg="tiny", seed=2, protocol="few-shot")
    for seed in (1, 2):
        write_run(seed, cfg="tiny+MODEL_DIR=x", protocol="evaluation")
    write_run(cfg="tiny+STEPS=2/step1", protocol="incremental")
    write_run(cfg="tiny+SUBSAMPLE_CLASSES=new")
    write_run(cfg="tiny+x", protocol="other")
    few_shot, left_out = require_few_shot_runs(load(tmp_path))
    assert list(few_shot.cfg) == ["tiny", "tiny"]
    assert left_out == (
        "left out, no few-shot runs on all classes: evaluation (2), incremental step (1), on a part of the classes (1)"
        ", protocol other (1)"
    )
    with pytest.raises(ResultsError, match="no few-shot run on all classes to show; left out.* evaluation .2."):
        require_few_shot_runs(load(tmp_path)[lambda frame: frame.protocol == "evaluation"])


@pytest.mark.parametrize(
    ("name", "config", "kind"),
    [
        ("+DATASET.SUBSAMPLE_CLASSES=new+LR=0.1", "", "on a part of the classes"),
        ("", "DATASET: {SUBSAMPLE_CLASSES: base}", "on a part of the classes"),
        ("", "DATASET: {SUBSAMPLE_CLASSES: all}", "few-shot"),
        ("", "a: [", "few-shot"),
        ("", "- a list", "few-shot"),
        ("", "DATASET: 3", "few-shot"),
    ],
)
def test_the_name_of_the_config_or_the_stored_one_tells_a_part_of_the_classes(
    tmp_path: Path, write_run: RunWriter, name: str, config: str, kind: str
) -> None:
    write_text(write_run(cfg=f"tiny{name}") / "config.yaml", config)
    assert load(tmp_path).kind.item() == kind
