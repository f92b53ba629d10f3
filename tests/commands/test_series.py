"""`lamm run METHOD PROTOCOL …` and `bash scripts/<method>/<protocol>.sh …`."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers import TRAINERS

from lamm.commands import parse_results, series
from lamm.commands.parser import run
from lamm.errors import ResultsError
from lamm.results.schema import RunResults
from tests.train_command import ROOT, call_tool, plan

pytestmark = pytest.mark.usefixtures("plain_environment")


class Children:
    """The processes that would be started: their words; each ends with the next of `codes`, then with 0.

    One that would train leaves what a finished run leaves: accuracy 70 + seed, of a step on each set.
    """

    def __init__(self) -> None:
        self.words: list[list[str]] = []
        self.codes: list[int] = []
        self.last: list[bool] = []

    def __call__(self, words: Sequence[str], is_last: bool) -> int:
        self.words.append(list(words))
        self.last.append(is_last)
        code = self.codes.pop(0) if self.codes else 0
        if code == 0:
            leave_results(list(words))
        return code


def leave_results(words: list[str]) -> None:
    made = plan(shlex.join(words))
    value = 70.0 + made.cfg.SEED
    metrics = {"accuracy": value, "error_rate": 100 - value, "macro_f1": value}
    steps = range(1, made.cfg.INCREMENTAL.STEP + 1)
    metrics |= {f"set{step}_accuracy{ending}": value for step in steps for ending in ("", "_seen")}
    RunResults(
        **{"trainer": made.trainer, "dataset": made.dataset, "shots": 16, "seed": made.cfg.SEED, "cfg": made.cfg_name},
        **{"protocol": made.protocol, "split": "test", "precision": "fp32", "config_hash": "c0ffee"},
        **{"status": "finished", "metrics": metrics},
    ).write(made.output_dir / "results.json")
    if steps:
        content = {"INCREMENTAL": dict(made.cfg.INCREMENTAL)}
        (made.output_dir / "config.yaml").write_text(json.dumps(content))


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Children:
    children = Children()
    monkeypatch.setattr(series, "exit_code", children)
    return children


def start(line: str, method: str = "lamm") -> int:
    """The exit code of `lamm run METHOD LINE`."""
    with pytest.raises(SystemExit) as stop:
        run(series.parser(), series.main, [method, *shlex.split(line)])
    return int(stop.value.code or 0)


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def steps_of(words: list[str]) -> tuple[str, ...]:
    return tuple(after(words, key) for key in ("--seed", "INCREMENTAL.STEPS", "INCREMENTAL.STEP"))


def transfer_tables(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The folders that are handed to the table."""
    tables: list[list[str]] = []
    monkeypatch.setattr(parse_results, "main", lambda arguments: tables.append(arguments.folders) or 0)
    return tables


def test_three_seeds_run_and_the_table_follows(children: Children, capsys: Any) -> None:
    assert start("main digits 16") == 0
    assert [after(words, "--seed") for words in children.words] == ["1", "2", "3"]
    assert children.last == [False, False, True]
    printed = capsys.readouterr().out
    assert "seed 2 (2 of 3)" in printed
    assert "72.00 ± 0.82" in printed.splitlines()[-1]


def test_seeds_data_root_and_flags_reach_every_run(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDS", "0, 2")
    monkeypatch.setenv("DATA", "my data")
    assert start("main --verbose digits 16") == 0
    assert [after(words, "--seed") for words in children.words] == ["0", "2"]
    assert all(after(words, "--root") == "my data" and "--verbose" in words for words in children.words)


def test_config_and_overrides_may_follow(children: Children) -> None:
    assert start("main digits 16 vit_b16_ep50_ctxv1 MODEL.BACKBONE.NAME tiny OPTIM.LR 0.1") == 0
    words = children.words[0]
    assert after(words, "--config-file").endswith("configs/trainers/LAMM/vit_b16_ep50_ctxv1.yaml")
    assert words[-2:] == ["OPTIM.LR", "0.1"]
    assert start("main digits 16 TRAINER.LAMM.LAMBDA_KD 0.1") == 0
    assert "--config-file" not in children.words[-1]


def test_a_run_that_fails_stops_the_rest_with_its_exit_code(children: Children, capsys: Any) -> None:
    children.codes[:] = [0, 3]
    assert start("main digits 16") == 3
    assert len(children.words) == 2
    assert "stopped: seed 2 (2 of 3) ended with exit code 3" in capsys.readouterr().out


def test_every_seed_goes_through_two_steps_in_order_and_the_table_follows(
    children: Children, tmp_path: Path, capsys: Any
) -> None:
    assert start("incremental digits 16") == 0
    assert [steps_of(words) for words in children.words] == [(seed, "2", step) for seed in "123" for step in "12"]
    folder = tmp_path / "output/incremental/digits/shots_16/LAMM/tiny_ep50+STEPS=2"
    content = json.loads((folder / "incremental.json").read_text())
    assert content["own"][1][0]["values"] == [71.0, 72.0, 73.0]
    assert (folder / "incremental.png").read_bytes().startswith(b"\x89PNG")
    assert "72.00" in capsys.readouterr().out


def test_the_incremental_table_names_seeds_that_are_not_through(children: Children, tmp_path: Path) -> None:
    assert start("incremental digits 16") == 0
    (folder,) = tmp_path.glob("output/incremental/digits/shots_16/LAMM/*")
    (folder / "seed2" / "step2" / "results.json").unlink()
    done = call_tool("parse_results", tmp_path / "output", "--incremental", "--overview", "--format", "github")
    assert done.returncode == 1
    assert done.stderr == f"left out: seed 2 in {folder} is not through its 2 steps\n"
    assert " 1 3 |" in done.stdout
    assert "72.00 ± 1.00" in done.stdout


def test_the_number_of_steps_may_follow(children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEEDS", "4")
    assert start("incremental digits 16 3 tiny_ep50_released INCREMENTAL.SEEN_AS_NEGATIVES True") == 0
    assert [steps_of(words) for words in children.words] == [("4", "3", step) for step in "123"]
    (file,) = tmp_path.rglob("incremental.json")
    assert file.parent.name == "tiny_ep50_released+STEPS=3+SEEN_AS_NEGATIVES=True"


def test_without_matplotlib_all_but_the_picture_is_there(
    children: Children, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    def refuse(*_: Any) -> None:
        raise ResultsError("plots need matplotlib")

    monkeypatch.setattr("lamm.incremental.table.draw_incremental", refuse)
    assert start("incremental digits 16") == 0
    assert "no heat map: plots need matplotlib" in capsys.readouterr().err
    assert list(tmp_path.rglob("incremental.json"))
    assert not list(tmp_path.rglob("incremental.png"))


def test_each_seed_is_trained_and_tested_on_each_target_and_the_table_follows(
    children: Children, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("SEEDS", "1 2")
    monkeypatch.setattr("lamm.transfer.plan.require_data", lambda plan: "")  # no need to draw the shapes
    tables = transfer_tables(monkeypatch)
    assert start("domain_generalization shapes 1 shapes_noisy shapes_sketch OPTIM.MAX_EPOCH 2") == 0
    runs = children.words
    assert [(after(words, "--dataset"), after(words, "--seed")) for words in runs] == [
        (dataset, seed) for seed in ("1", "2") for dataset in ("shapes", "shapes_noisy", "shapes_sketch")
    ]
    source = "output/shapes/shots_1/LAMM/tiny_ep50+MAX_EPOCH=2/seed2"
    assert "--eval-only" not in runs[3]
    assert {after(words, "--model-dir") for words in runs[4:]} == {source}
    assert all("--eval-only" in words for words in runs[4:])
    # A target takes the source's config, whatever its own default is.
    assert {Path(after(words, "--config-file")).stem for words in runs[1:]} == {"tiny_ep50"}
    assert all(words[-2:] == ["OPTIM.MAX_EPOCH", "2"] for words in runs)
    assert source in tables[0]
    assert len(tables[0]) == 6
    assert "seed 2 (2 of 2): testing on shapes_sketch" in capsys.readouterr().out


def test_base_to_new_trains_on_the_base_classes_and_tests_on_the_new(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer_tables(monkeypatch)
    assert start("base_to_new digits 1") == 0
    base, new = children.words[:2]
    assert after(base, "DATASET.SUBSAMPLE_CLASSES") == "base"
    assert after(new, "DATASET.SUBSAMPLE_CLASSES") == "new"
    assert after(new, "--model-dir") == "output/digits/shots_1/LAMM/tiny_ep50+SUBSAMPLE_CLASSES=base/seed1"


def test_what_learns_nothing_is_tested_without_a_model(children: Children, monkeypatch: pytest.MonkeyPatch) -> None:
    transfer_tables(monkeypatch)
    assert start("base_to_new digits 1", "zeroshot") == 0
    assert "--eval-only" in children.words[1]
    assert not any("--model-dir" in words for words in children.words)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("main digits 16 tiny_ep05 OPTIM.LR 0.1", 'unknown config of LAMM "tiny_ep05"; did you mean "tiny_ep50"'),
        ("main digits 16 OPTIM.LR", '"OPTIM.LR" on the command line has no value'),
        ("main digits 16 OPTIM.LRR 0.1", 'did you mean "OPTIM.LR"'),
        ("main digits 16 DATASET.NUM_SHOTS 4", "DATASET.NUM_SHOTS is set twice"),
        ("main digts 16", 'unknown data set "digts"; did you mean "digits"'),
        ("main digits 0", "must be a whole number from 1 up, got 0"),
        ("main digits", "the following arguments are required: SHOTS; see"),
        ("main --verbos digits 16", "did you mean --verbose?"),
        ("main digits 16 tiny_ep50 --output-dir mine", "--output-dir can't stand here"),
        ("incremental digits 16 3 --seed 7", "--seed can't stand here"),
        ("main digits 16 tiny_ep50 -h", "-h can't stand here"),
        ("man digits 16", "invalid choice: 'man'"),
        ("incremental digits 16 -1", "STEPS must be a whole number from 1 up, got -1"),
        ("incremental digits 16 .5 tiny_ep50", "STEPS must be a whole number from 1 up, got .5"),
        ("incremental digits 16 100000", "INCREMENTAL.STEPS is 100000, but there are 10 classes"),
        ("incremental imagenet_sketch 16 MODEL.BACKBONE.NAME tiny", "is for testing only"),
        ("incremental caltech101 16 MODEL.BACKBONE.NAME tiny", '"caltech-101"'),
        ("main caltech101 16", "no weights of ViT-B/16 on this machine"),
        ("incremental digits 16 two", 'unknown config of LAMM "two"'),
        ("incremental digits 16 INCREMENTAL.STEPS 3", "INCREMENTAL.STEPS can't be set here: it is the word behind"),
        ("incremental digits 16 OPTIM.LR 0.1 OUTPUT_DIR x", "OUTPUT_DIR can't be set here"),
        ("incremental digits 16 DATASET.SUBSAMPLE_CLASSES new", "leave DATASET.SUBSAMPLE_CLASSES new out"),
        ("domain_generalization shapes 1 shapes_nois", 'did you mean "shapes_noisy"'),
        ("domain_generalization shapes 1 shapes", "shapes is the source"),
        ("domain_generalization shapes 1 SEED 4", "SEED is set twice"),
        ("base_to_new digits 1 OPTIM.LR 0.1 RESUME x", "RESUME can't be set here: every run has a folder"),
        ("base_to_new digits 1 tiny_ep05", 'unknown config of LAMM "tiny_ep05"; did you mean "tiny_ep50"'),
        ("cross_dataset digits 1 caltech101", '"caltech-101"'),
        ("cross_dataset shapes 1", "no usual targets"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(children: Children, capsys: Any, line: str, said: str) -> None:
    assert start(line) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert children.words == []


def test_a_head_is_not_trained_for_classes_that_it_can_not_score(children: Children, capsys: Any) -> None:
    for protocol in ("base_to_new digits 1", "cross_dataset shapes 1 digits"):
        assert start(protocol, "gda") == 2
        assert "GDA computes a part for each class" in capsys.readouterr().err


def test_class_specific_context_is_refused_for_classes_that_it_was_not_trained_on(
    children: Children, capsys: Any
) -> None:
    assert start("base_to_new digits 1 TRAINER.COOP.CSC True TRAINER.COOP.CTX_INIT ''", "coop") == 2
    assert "TRAINER.COOP.CSC is True" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "one", "-1", "1;2", "1 1"])
def test_what_is_no_seed_is_refused_before_anything_runs(
    children: Children, monkeypatch: pytest.MonkeyPatch, capsys: Any, text: str
) -> None:
    monkeypatch.setenv("SEEDS", text)
    assert start("main digits 16") == 2
    assert "SEEDS must" in capsys.readouterr().err
    assert children.words == []


def test_every_method_has_a_script_for_every_protocol() -> None:
    scripts = {path.relative_to(ROOT / "scripts").as_posix() for path in (ROOT / "scripts").glob("*/*.sh")}
    protocols = ("main", "incremental", *series.PROTOCOLS)
    assert scripts == {f"{method}/{protocol}.sh" for method in series.METHODS for protocol in protocols}
    assert {(ROOT / "scripts" / script).resolve() for script in scripts} == {ROOT / "scripts" / "run.sh"}
    assert set(series.METHODS.values()) == {trainer.__name__ for trainer in TRAINERS}


def test_the_help_bears_the_scripts_name(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["tools/run.py"])
    assert start("main --help") == 0
    assert capsys.readouterr().out.startswith("usage: run.py METHOD main ")
    monkeypatch.setenv("LAMM_SCRIPT", "main.sh")
    assert start("main --help") == 0
    assert capsys.readouterr().out.startswith("usage: main.sh ")
    monkeypatch.delenv("LAMM_SCRIPT")
    monkeypatch.setattr(sys, "argv", ["lamm run"])
    assert start("main --help") == 0
    assert capsys.readouterr().out.startswith("usage: lamm run METHOD main ")


def test_planning_asks_nothing_of_a_gpu_so_that_runs_can_be_forked(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("is_available", "device_count", "init", "_lazy_init"):
        monkeypatch.setattr(torch.cuda, name, lambda: pytest.fail("CUDA was asked before the fork"))
    monkeypatch.setattr(parse_results, "main", lambda arguments: 0)
    assert start("incremental digits 16") == 0


def test_a_killed_run_has_the_shells_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "call", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert series.exit_code([]) == 137


def test_the_last_run_ends_well_though_the_table_can_not_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "call", lambda *_: None)
    monkeypatch.setitem(sys.modules, "lamm.commands.parse_results", None)  # as if pandas were missing
    assert series.exit_code([], is_last=True) == 0


def test_without_fork_a_run_is_a_fresh_process(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr(series, "FORKS", False)
    assert series.exit_code(["--trainer"]) == 2
    assert "see lamm train --help" in capfd.readouterr().err


def test_an_interruption_ends_the_run_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "ended"

    def train(*_: Any) -> None:
        os.kill(os.getppid(), signal.SIGINT)
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            file.write_text("by SIGINT")
            sys.exit(130)

    monkeypatch.setattr(series, "call", train)
    monkeypatch.setattr(series, "SECONDS_TO_END", 0.5)
    with pytest.raises(SystemExit) as stop:
        series.exit_code([])
    assert stop.value.code == 130
    assert file.read_text() == "by SIGINT"


def script(name: str, line: str, folder: Path, data_root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SEEDS": "4", "DATA": str(data_root), "PYTHON": sys.executable}
    command = ["bash", str(ROOT / "scripts" / name), *line.split()]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_main_script_trains_and_prints_few_lines_and_the_table(tmp_path: Path, data_root: Path) -> None:
    done = script("lamm/main.sh", "digits 1 tiny_ep50 TEST.SPLIT val OPTIM.MAX_EPOCH 2", tmp_path, data_root)
    assert (done.returncode, done.stderr) == (0, "")
    (results,) = (tmp_path / "output/digits/shots_1/LAMM").rglob("results.json")
    assert results.parent.name == "seed4"
    lines = done.stdout.splitlines()
    assert "accuracy" in lines[-3]
    assert len(lines) == 10, done.stdout
    assert lines[0] == "seed 4 (1 of 1)"


def test_the_incremental_script_skips_what_is_finished(tmp_path: Path, data_root: Path) -> None:
    for already in (False, True):
        line = "digits 1 TEST.SPLIT val OPTIM.MAX_EPOCH 1"
        done = script("lamm/incremental.sh", line, tmp_path, data_root)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("nothing to do" in done.stdout) is already
        (fall,) = [line.split() for line in done.stdout.splitlines() if line.startswith("own") and "fall" in line]
        assert fall == ["own", "fall", "0.00", "0.00", "0.00"]
    (folder,) = tmp_path.glob("output/incremental/digits/shots_1/LAMM/*")
    assert sorted(file.name for file in folder.iterdir()) == ["incremental.json", "incremental.png", "seed4"]


def test_the_transfer_script_trains_evaluates_and_counts_labels(tmp_path: Path, data_root: Path) -> None:
    done = script("lamm/base_to_new.sh", "digits 1 OPTIM.MAX_EPOCH 1", tmp_path, data_root)
    assert (done.returncode, done.stderr) == (0, "")
    (base,) = (tmp_path / "output/digits").rglob("results.json")
    (new,) = (tmp_path / "output/evaluation").rglob("results.json")
    assert "labels_from_clip" not in json.loads(base.read_text())["metrics"]
    metrics = json.loads(new.read_text())["metrics"]
    assert (metrics["labels_learned"], metrics["labels_from_clip"]) == (0, 5)
    assert "* LAMM: no learned label, for classes it never saw: new 5 of 5" in done.stdout
