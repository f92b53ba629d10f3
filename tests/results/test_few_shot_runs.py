"""Which runs are the few-shot experiment, and how many others are left out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.errors import ResultsError
from lamm.files import write_text
from lamm.results.collect import collect
from lamm.results.curves import FewShotRuns, few_shot_runs, require_few_shot_runs

RunWriter = Callable[..., Path]


def found(folder: Path) -> FewShotRuns:
    return few_shot_runs(collect([folder]))


@pytest.mark.parametrize("protocol", ["few-shot", "few_shot"])
def test_ordinary_runs_stay_in_unfinished_ones_too(tmp_path: Path, write_run: RunWriter, protocol: str) -> None:
    write_run(protocol=protocol)
    write_run(2, protocol=protocol, status="running", metrics={})
    made = found(tmp_path)
    assert [run.seed for runs in made.groups.all.values() for run in runs] == [1, 2]
    assert (made.left_out, made.left_out_line) == ({}, "")


def test_other_experiments_are_counted(tmp_path: Path, write_run: RunWriter) -> None:
    write_run(cfg="tiny")
    for seed in (1, 2):
        write_run(seed, cfg="tiny+MODEL_DIR=x", protocol="evaluation")
    write_run(cfg="tiny+STEPS=2/step1", protocol="incremental")
    write_run(cfg="tiny+SUBSAMPLE_CLASSES=new")
    write_run(cfg="tiny+x", protocol="other")
    made = found(tmp_path)
    assert [key.cfg for key in made.groups.all] == ["tiny"]
    assert made.left_out_line == (
        "left out, no few-shot runs on all classes: evaluation (2), incremental step (1), on a part of the classes (1)"
        ", protocol other (1)"
    )


@pytest.mark.parametrize("name", ["+SUBSAMPLE_CLASSES=base", "+DATASET.SUBSAMPLE_CLASSES=new+LR=0.1"])
def test_the_name_of_the_config_tells_a_part_of_the_classes(tmp_path: Path, write_run: RunWriter, name: str) -> None:
    write_run(cfg=f"tiny{name}")
    assert found(tmp_path).left_out == {"on a part of the classes": 1}


@pytest.mark.parametrize(("subset", "kept"), [("all", 1), ("base", 0), ("new", 0)])
def test_so_does_the_stored_config(tmp_path: Path, write_run: RunWriter, subset: str, kept: int) -> None:
    write_text(write_run() / "config.yaml", f"DATASET:\n  SUBSAMPLE_CLASSES: {subset}\n")
    assert len(found(tmp_path).groups.all) == kept


@pytest.mark.parametrize("content", ["a: [", "- a list", "DATASET: 3"])
def test_a_config_that_says_nothing_leaves_a_run_in(tmp_path: Path, write_run: RunWriter, content: str) -> None:
    write_text(write_run() / "config.yaml", content)
    assert len(found(tmp_path).groups.all) == 1


@pytest.mark.parametrize("part", ["base2new/train_base", "evaluation", ""])
def test_logs_of_other_code_stay_in_whatever_lies_above_them(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str], part: str
) -> None:
    write_run()
    folder = tmp_path / "output" / part / "dtd" / "CoOp" / "rn50_ep50_16shots" / "nctx16_cscFalse_ctpend" / "seed1"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(training_log(60.0, 40.0, 59.0))
    assert {key.trainer for key in few_shot_runs(collect([tmp_path / "output"])).groups.finished} == {"LAMM", "CoOp"}


def test_a_log_beside_results_of_evaluations_is_one_too(
    tmp_path: Path, write_run: RunWriter, training_log: Callable[..., str]
) -> None:
    folder = write_run(protocol="evaluation").with_name("seed2")
    folder.mkdir()
    (folder / "log.txt").write_text(training_log(60.0, 40.0, 59.0))
    assert found(tmp_path).left_out == {"evaluation": 2}


def test_where_there_has_to_be_one_and_is_none_one_line_says_what_there_is(
    tmp_path: Path, write_run: RunWriter
) -> None:
    write_run(protocol="evaluation")
    with pytest.raises(ResultsError, match="no few-shot run on all classes to show; left out.* evaluation .1."):
        require_few_shot_runs(collect([tmp_path]))
