"""`bash scripts/<method>/main.sh DATASET SHOTS [CFG] [KEY VALUE ...]`."""

import os
import shlex
import subprocess
import sys

import pytest
from lamm_trainers import TRAINERS

from lamm.commands.parser import run
from tests.train_command import ROOT, command_module

run_seeds = command_module("run_seeds")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEEDS", raising=False)
    monkeypatch.delenv("DATA", raising=False)


@pytest.fixture
def started(monkeypatch):
    """The programs that would be started; each ends with the next of `codes`, then with 0."""
    commands = []

    def start(words, check):
        commands.append(words)
        return subprocess.CompletedProcess(words, start.codes.pop(0) if start.codes else 0)

    start.codes, start.commands = [], commands
    monkeypatch.setattr(subprocess, "run", start)
    return start


def main_sh(line):
    with pytest.raises(SystemExit) as stop:
        run(run_seeds.parser(), run_seeds.main, ["--trainer", "LAMM", *line.split()])
    return stop.value.code


def after(words, flag):
    return words[words.index(flag) + 1]


def test_three_seeds_run_and_the_table_follows(started, tmp_path, capsys):
    assert main_sh("digits 16") == 0
    *trainings, table = started.commands
    assert [after(words, "--seed") for words in trainings] == ["1", "2", "3"]
    assert {words[1] for words in trainings} == {str(ROOT / "train.py")}
    assert {after(words, "--root") for words in trainings} == {"data"}
    folder = "output/digits/shots_16/LAMM/tiny_ep50"
    assert table[1:] == [
        str(ROOT / "tools" / "parse_results.py"),
        *(f"{folder}/seed{seed}" for seed in (1, 2, 3)),
        *("--seeds", "1", "2", "3"),
    ]
    assert "seed 2 (2 of 3)" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "seeds"), [("5", [5]), ("0, 2", [0, 2]), (" 3  1 ", [3, 1]), ("007", [7])])
def test_seeds_come_from_the_environment(text, seeds):
    assert run_seeds.seed_list(text) == seeds


@pytest.mark.parametrize("text", ["", "one", "-1", "1.5", "1;2", "²"])
def test_what_is_no_seed_is_refused_before_anything_runs(started, monkeypatch, capsys, text):
    monkeypatch.setenv("SEEDS", text)
    assert main_sh("digits 16") == 2
    assert "SEEDS must be whole numbers from 0 up" in capsys.readouterr().err
    assert started.commands == []


def test_the_data_root_comes_from_the_environment(started, monkeypatch, tmp_path):
    monkeypatch.setenv("DATA", str(tmp_path / "d"))
    assert main_sh("digits 1") == 0
    assert after(started.commands[0], "--root") == str(tmp_path / "d")


def test_a_seed_that_fails_stops_the_rest_with_its_exit_code(started):
    started.codes[:] = [0, 3]
    assert main_sh("digits 16") == 3
    assert len(started.commands) == 2


def test_a_seed_that_is_killed_has_the_shells_exit_code(started):
    started.codes[:] = [-9]
    assert main_sh("digits 16") == 137


def test_the_third_word_is_a_config_if_the_trainer_has_it(started):
    assert main_sh("digits 16 vit_b16_ep50_ctxv1 OPTIM.LR 0.1") == 0
    words = started.commands[0]
    assert after(words, "--config-file").endswith("configs/trainers/LAMM/vit_b16_ep50_ctxv1.yaml")
    assert words[-2:] == ["OPTIM.LR", "0.1"]
    assert started.commands[-1][2] == "output/digits/shots_16/LAMM/vit_b16_ep50_ctxv1+LR=0.1/seed1"


def test_overrides_may_follow_without_a_config(started):
    assert main_sh("digits 16 TRAINER.LAMM.LAMBDA_KD 0.1") == 0
    assert "--config-file" not in started.commands[0]
    assert started.commands[-1][2] == "output/digits/shots_16/LAMM/tiny_ep50+LAMBDA_KD=0.1/seed1"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("digits 16 tiny_ep05", 'unknown config of LAMM "tiny_ep05"; did you mean "tiny_ep50"'),
        ("digits 16 tiny_ep05 OPTIM.LR 0.1", 'did you mean "tiny_ep50"'),
        ("digits 16 OPTIM.LR", '"OPTIM.LR" on the command line has no value'),
        ("digits 16 OPTIM.LRR 0.1", 'did you mean "OPTIM.LR"'),
        ("digits 16 DATASET.NUM_SHOTS 4", "DATASET.NUM_SHOTS is set twice"),
        ("digits 16 SEED 4", "SEED is set twice"),
        ("digts 16", 'unknown data set "digts"; did you mean "digits"'),
        ("digits 0", "must be a whole number from 1 up, got 0"),
        ("digits many", "must be a whole number from 1 up, got many"),
        ("digits", "SHOTS"),
        ("", "DATASET"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(started, capsys, line, said):
    assert main_sh(line) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert started.commands == []


def test_every_method_has_its_script():
    trainers = {}
    for script in sorted((ROOT / "scripts").glob("*/main.sh")):
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
        words = shlex.split(script.read_text(), comments=True)
        assert words[-1] == "$@"
        assert words[-4].endswith("/../../tools/run_seeds.py")
        assert words[-3] == "--trainer"
        trainers[script.parent.name] = words[-2]
    assert trainers == {
        "zeroshot": "ZeroshotCLIP",
        "coop": "CoOp",
        "cocoop": "CoCoOp",
        "maple": "MaPLe",
        "lamm": "LAMM",
        "coop_lamm": "CoOp_LAMM",
        "cocoop_lamm": "CoCoOp_LAMM",
        "maple_lamm": "MaPLe_LAMM",
    }
    assert set(trainers.values()) == {trainer.__name__ for trainer in TRAINERS}


def test_the_script_trains_and_prints_the_table_from_any_folder(tmp_path):
    environment = {**os.environ, "SEEDS": "4", "DATA": "my data", "PYTHON": sys.executable}
    command = ["bash", str(ROOT / "scripts/lamm/main.sh"), "digits", "1", "tiny_ep50"]
    command += ["TEST.SPLIT", "val", "OPTIM.MAX_EPOCH", "2"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "my data" / "digits").is_dir()
    (results,) = (tmp_path / "output/digits/shots_1/LAMM").rglob("results.json")
    assert results.parent.name == "seed4"
    assert "accuracy" in done.stdout.splitlines()[-3]
