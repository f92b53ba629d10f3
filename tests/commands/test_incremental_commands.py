"""`scripts/*/incremental.sh` and the table over their results, as a user starts them."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lamm_trainers import TRAINERS

from lamm.commands.parser import run
from lamm.errors import ResultsError
from lamm.results.schema import RunResults
from tests.train_command import ROOT, Outcome, command_module, plan

Command = Callable[..., Outcome]
run_incremental = command_module("run_incremental")


pytestmark = pytest.mark.usefixtures("plain_environment")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The programs that would be started; each ends with the next of `codes`, then with 0.

    One that would train leaves what a finished step leaves: accuracy 70 + seed on each set.
    """

    def start(words: list[str]) -> int:
        start.commands.append(words)  # type: ignore[attr-defined]
        code = start.codes.pop(0) if start.codes else 0  # type: ignore[attr-defined]
        if code == 0 and "--seed" in words:
            leave_step(words)
        return code

    start.codes, start.commands = [], []  # type: ignore[attr-defined]
    monkeypatch.setattr(run_incremental, "exit_code", start)
    return start


def leave_step(words: list[str]) -> None:
    made = plan(shlex.join(words[1:]))
    step = made.cfg.INCREMENTAL.STEP
    value = 70.0 + made.cfg.SEED
    metrics = {"accuracy": value, "error_rate": 100 - value, "macro_f1": value}
    metrics |= {f"set{s}_accuracy{b}": value for s in range(1, step + 1) for b in ("", "_seen")}
    RunResults(
        **{"trainer": made.trainer, "dataset": made.dataset, "shots": 16, "seed": made.cfg.SEED, "cfg": made.cfg_name},
        **{"protocol": made.protocol, "split": "test", "precision": "fp32", "config_hash": "c0ffee"},
        **{"status": "finished", "metrics": metrics},
    ).write(made.output_dir / "results.json")
    node = made.cfg.INCREMENTAL
    (made.output_dir / "config.yaml").write_text(json.dumps({"INCREMENTAL": dict(node)}))


def incremental_sh(line: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(run_incremental.parser(), run_incremental.main, ["--trainer", "LAMM", *line.split()])
    return int(stop.value.code or 0)


def steps_of(words: list[str]) -> tuple[str, str, str]:
    return tuple(words[words.index(key) + 1] for key in ("--seed", "INCREMENTAL.STEPS", "INCREMENTAL.STEP"))  # type: ignore[return-value]


def test_every_seed_goes_through_two_steps_in_order_and_the_table_follows(started: Any, tmp_path: Path) -> None:
    assert incremental_sh("digits 16") == 0
    *trainings, table = started.commands
    assert [steps_of(words) for words in trainings] == [(seed, "2", step) for seed in "123" for step in "12"]
    folder = "output/incremental/digits/shots_16/LAMM/tiny_ep50+STEPS=2"
    assert table == [str(ROOT / "tools" / "incremental_table.py"), folder]
    content = json.loads((tmp_path / folder / "incremental.json").read_text())
    assert content["own"][1][0]["values"] == [71.0, 72.0, 73.0]
    assert (tmp_path / folder / "incremental.png").read_bytes().startswith(b"\x89PNG")


def test_steps_config_and_overrides_may_follow(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEEDS", "4")
    assert incremental_sh("digits 16 3 tiny_ep50_released INCREMENTAL.SEEN_AS_NEGATIVES True") == 0
    assert [steps_of(words) for words in started.commands[:-1]] == [("4", "3", step) for step in "123"]
    cfg = "tiny_ep50_released+STEPS=3+SEEN_AS_NEGATIVES=True"
    assert started.commands[-1][-1] == f"output/incremental/digits/shots_16/LAMM/{cfg}"


def test_a_step_that_fails_stops_the_rest_with_its_exit_code(started: Any, tmp_path: Path, capsys: Any) -> None:
    started.codes[:] = [0, 3]
    assert incremental_sh("digits 16") == 3
    assert len(started.commands) == 2
    assert "stopped: step 2 of seed 1 ended with exit code 3" in capsys.readouterr().out
    assert not list(tmp_path.rglob("incremental.json"))


def test_without_matplotlib_all_but_the_picture_is_there(
    started: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    def refuse(*_: Any) -> None:
        raise ResultsError("plots need matplotlib")

    monkeypatch.setattr(run_incremental, "draw_incremental", refuse)
    assert incremental_sh("digits 16") == 0
    assert "no heat map: plots need matplotlib" in capsys.readouterr().err
    assert list(tmp_path.rglob("incremental.json"))
    assert not list(tmp_path.rglob("incremental.png"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("digits 16 0", "STEPS must be a whole number from 1 up, got 0"),
        ("digits 16 -1", "STEPS must be a whole number from 1 up, got -1"),
        ("digits 16 2.5", "STEPS must be a whole number from 1 up, got 2.5"),
        ("digits 16 .5 tiny_ep50", "STEPS must be a whole number from 1 up, got .5"),
        ("digits 16 11", "INCREMENTAL.STEPS is 11, but there are 10 classes"),
        ("digits 16 100000000", "INCREMENTAL.STEPS is 100000000, but there are 10 classes"),
        ("shapes_noisy 16", "ShapesNoisy is for testing only: nothing can be learned on it step by step"),
        ("caltech101 16", 'Caltech101: no folder "caltech-101"'),
        ("digits 16 2 tiny_ep05", 'unknown config of LAMM "tiny_ep05"; did you mean "tiny_ep50"'),
        ("digits 16 two", 'unknown config of LAMM "two"'),
        ("digits 16 INCREMENTAL.STEPS 3", "INCREMENTAL.STEPS can't be set here: it is the word behind SHOTS"),
        ("digits 16 OPTIM.LR 0.1 INCREMENTAL.STEP 3", "INCREMENTAL.STEP can't be set here"),
        ("digits 16 OPTIM.LR 0.1 OUTPUT_DIR x", "OUTPUT_DIR can't be set here: every run has a folder of its own"),
        ("digits 16 DATASET.SUBSAMPLE_CLASSES new", "leave DATASET.SUBSAMPLE_CLASSES new out"),
        ("digits 16 OPTIM.LRR 0.1", 'did you mean "OPTIM.LR"'),
        ("digts 16", 'unknown data set "digts"; did you mean "digits"'),
        ("digits", "the following arguments are required: SHOTS; see incremental.sh --help"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(started: Any, capsys: Any, line: str, said: str) -> None:
    assert incremental_sh(line) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert started.commands == []


def test_every_method_has_its_script() -> None:
    trainers = {}
    for script in sorted((ROOT / "scripts").glob("*/incremental.sh")):
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
        words = shlex.split(script.read_text(), comments=True)
        assert words[-4].endswith("/../../tools/run_incremental.py")
        assert (words[-3], words[-1]) == ("--trainer", "$@")
        trainers[script.parent.name] = words[-2]
    main = {script.parent.name for script in (ROOT / "scripts").glob("*/main.sh")}
    assert set(trainers) == main
    assert set(trainers.values()) == {trainer.__name__ for trainer in TRAINERS}


def test_the_table_names_seeds_that_are_not_through(started: Any, command: Command, tmp_path: Path) -> None:
    assert incremental_sh("digits 16") == 0
    (folder,) = tmp_path.glob("output/incremental/digits/shots_16/LAMM/*")
    whole = command("incremental_table", str(tmp_path / "output"))
    assert (whole.code, whole.err) == (0, "")
    (folder / "seed2" / "step2" / "results.json").unlink()
    done = command("incremental_table", f"{tmp_path / 'output'} --overview --format github")
    assert done.code == 1
    assert done.err == f"left out: seed 2 in {folder} is not through its 2 steps\n"
    assert " 1 3 |" in done.out
    assert "72.00 ± 1.00" in done.out


def test_a_folder_without_results_is_an_error(command: Command, digits_run: Path) -> None:
    done = command("incremental_table", str(digits_run))
    assert (done.code, done.out) == (2, "")
    assert "no seed with all its steps in or below" in done.err


def test_the_overview_has_no_csv(command: Command, tmp_path: Path) -> None:
    done = command("incremental_table", f"{tmp_path} --overview --format csv")
    assert done.code == 2
    assert "--overview has no csv layout" in done.err


def test_the_script_learns_two_sets_and_skips_what_is_finished(data_root: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "SEEDS": "1", "DATA": str(data_root), "PYTHON": sys.executable}
    command = ["bash", str(ROOT / "scripts/lamm/incremental.sh"), "digits", "1", "TEST.SPLIT", "val"]
    command += ["OPTIM.MAX_EPOCH", "1"]
    for already in (False, True):
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert ("nothing to do" in done.stdout) is already
        (fall,) = [line.split() for line in done.stdout.splitlines() if line.startswith("own") and "fall" in line]
        assert fall == ["own", "fall", "0.00", "0.00", "0.00"]
    (folder,) = tmp_path.glob("output/incremental/digits/shots_1/LAMM/*")
    assert sorted(file.name for file in folder.iterdir()) == ["incremental.json", "incremental.png", "seed1"]
