"""`tools/run_grid.py`: every method, data set, number of shots and seed, then one table."""

import subprocess
import sys
from typing import Any

import pytest
from train_command import ROOT, load_script

from lamm.commands import run

run_grid = load_script("tools/run_grid.py")
LEARNING = {"CoOp", "CoCoOp", "MaPLe", "LAMM", "CoOp_LAMM", "CoCoOp_LAMM", "MaPLe_LAMM"}


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """The programs that would be started; those whose line holds a word of `failing` end with 3."""
    monkeypatch.chdir(tmp_path)

    def start(words: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        start.lines.append(words)
        code = 3 if any(word in words for word in start.failing) else 0
        return subprocess.CompletedProcess(words, code, "", "error: broken\n" if code else "")

    start.lines, start.failing = [], []
    monkeypatch.setattr(run_grid.subprocess, "run", start)
    return start


def grid(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(run_grid.parser(), run_grid.main, line.split())
    return stop.value.code


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_by_default_it_is_the_whole_demo_table(started: Any) -> None:
    assert grid("") == 0
    *trainings, table = started.lines
    assert {words[1] for words in trainings} == {str(ROOT / "train.py")}
    settings = {tuple(after(w, flag) for flag in ("--trainer", "--dataset", "--shots", "--seed")) for w in trainings}
    expected = {
        (trainer, dataset, shots, seed)
        for trainer in LEARNING
        for dataset in ("digits", "shapes")
        for shots in ("1", "2", "4", "8", "16")
        for seed in ("1", "2", "3")
    }
    # What learns nothing has the same accuracy at all shots.
    expected |= {("ZeroshotCLIP", dataset, "16", seed) for dataset in ("digits", "shapes") for seed in ("1", "2", "3")}
    assert settings == expected
    assert len(trainings) == len(expected)
    assert table[1:3] == [str(ROOT / "tools" / "parse_results.py"), "--by-shots"]
    assert "output/shapes/shots_4/CoCoOp_LAMM/tiny_ep10_batch4/seed2" in table


def test_overrides_go_to_every_run_and_into_its_folder(started: Any) -> None:
    assert grid("--trainers LAMM --datasets digits --shots 2 --seeds 0 -- TRAINER.LAMM.LAMBDA_KD 0.1") == 0
    training, table = started.lines
    assert training[-2:] == ["TRAINER.LAMM.LAMBDA_KD", "0.1"]
    assert table[-1] == "output/digits/shots_2/LAMM/tiny_ep50+LAMBDA_KD=0.1/seed0"


def test_a_run_that_fails_is_named_and_the_others_are_in_the_table(started: Any, capsys: Any) -> None:
    started.failing = ["CoOp"]
    assert grid("--trainers CoOp LAMM --datasets digits --shots 2 --seeds 1") == 1
    *_, table = started.lines
    assert [word for word in table if word.startswith("output")] == ["output/digits/shots_2/LAMM/tiny_ep50/seed1"]
    said = capsys.readouterr().err
    assert "error: broken" in said
    assert "failed with exit code 3: train.py --trainer CoOp --dataset digits --shots 2 --seed 1" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--trainers LAM", 'unknown trainer "LAM"; did you mean "LAMM"'),
        ("--datasets digts", 'unknown data set "digts"; did you mean "digits"'),
        ("--shots 0", "must be a whole number from 1 up, got 0"),
        ("--seeds -1", "--seeds"),
        ("--jobs 0", "must be a whole number from 1 up, got 0"),
        ("-- OPTIM.LRR 0.1", 'did you mean "OPTIM.LR"'),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(line: str, said: str, started: Any, capsys: Any) -> None:
    assert grid(line) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert started.lines == []


def test_cores_are_shared_among_runs_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_grid.os, "cpu_count", lambda: 8)
    assert [run_grid.threads_each(jobs) for jobs in (1, 3, 8, 20)] == [8, 2, 1, 1]


def test_it_runs_for_real(tmp_path: Any) -> None:
    line = "--trainers ZeroshotCLIP LAMM --datasets digits --shots 1 --seeds 1 -- OPTIM.MAX_EPOCH 1 TEST.SPLIT val"
    command = [sys.executable, str(ROOT / "tools" / "run_grid.py"), *line.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *_, zero_shot, lamm = done.stdout.strip().splitlines()
    assert zero_shot.startswith("ZeroshotCLIP")
    assert lamm.startswith("LAMM")
