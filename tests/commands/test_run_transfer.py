"""`bash scripts/<method>/{domain_generalization,base_to_new,cross_dataset}.sh …`."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lamm_trainers import TRAINERS

from lamm.commands.parser import run
from lamm.transfer.runs import PROTOCOLS
from tests.train_command import ROOT, command_module

run_transfer = command_module("run_transfer")


pytestmark = pytest.mark.usefixtures("plain_environment")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Callable:
    """The programs that would be started; trainings leave their folder, each ends with the next of `codes`, then 0."""

    def start(words: list[str], check: bool) -> subprocess.CompletedProcess:
        start.commands.append(words[1:])
        for folder in words[words.index("--model-dir") + 1 :][:1] if "--model-dir" in words else ():
            Path(folder).mkdir(parents=True, exist_ok=True)
        return subprocess.CompletedProcess(words, start.codes.pop(0) if start.codes else 0)

    start.codes, start.commands = [], []
    monkeypatch.setattr(subprocess, "run", start)
    return start


def command(line: str, protocol: str = "domain_generalization", trainer: str = "LAMM") -> int:
    with pytest.raises(SystemExit) as stop:
        run(
            run_transfer.parser(protocol),
            run_transfer.main,
            ["--protocol", protocol, "--trainer", trainer, *line.split()],
        )
    return int(stop.value.code or 0)


def after(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


def test_each_seed_is_trained_and_tested_on_each_target_and_the_table_follows(
    started: Callable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEEDS", "1 2")
    assert command("shapes 1 shapes_noisy shapes_sketch OPTIM.MAX_EPOCH 2") == 0
    *runs, table = started.commands
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
    assert table[:2] == [str(ROOT / "tools" / "parse_results.py"), "--transfer"]
    assert len(table) == 2 + 6
    assert source in table
    assert "seed 2 (2 of 2): testing on shapes_sketch" in capsys.readouterr().out


def test_base_to_new_trains_on_the_base_classes_and_tests_on_the_new(started: Callable) -> None:
    assert command("digits 1", "base_to_new") == 0
    base, new = started.commands[:2]
    assert after(base, "DATASET.SUBSAMPLE_CLASSES") == "base"
    assert after(new, "DATASET.SUBSAMPLE_CLASSES") == "new"
    assert after(new, "--dataset") == "digits"
    assert after(new, "--model-dir") == "output/digits/shots_1/LAMM/tiny_ep50+SUBSAMPLE_CLASSES=base/seed1"


def test_what_learns_nothing_is_tested_without_a_model(started: Callable) -> None:
    assert command("digits 1", "base_to_new", "ZeroshotCLIP") == 0
    assert "--eval-only" in started.commands[1]
    assert not any("--model-dir" in words for words in started.commands)


def test_a_run_that_fails_stops_the_rest_with_its_exit_code(started: Callable) -> None:
    started.codes[:] = [0, 3]
    assert command("shapes 1 shapes_noisy shapes_sketch") == 3
    assert len(started.commands) == 2


@pytest.mark.parametrize(
    ("line", "protocol", "said"),
    [
        ("shapes", "domain_generalization", "arguments are required: SHOTS; see domain_generalization.sh --help"),
        ("shapes shapes_noisy", "domain_generalization", "must be a whole number from 1 up, got shapes_noisy"),
        ("shapes 1 shapes_nois", "domain_generalization", 'did you mean "shapes_noisy"'),
        ("shapes 1 shapes", "domain_generalization", "shapes is the source"),
        ("shapes 1 OPTIM.LRR 0.1", "domain_generalization", 'did you mean "OPTIM.LR"'),
        ("shapes 1 OPTIM.LR", "domain_generalization", '"OPTIM.LR" on the command line has no value'),
        ("shapes 1 SEED 4", "domain_generalization", "SEED is set twice"),
        ("shapes 1 OUTPUT_DIR x", "domain_generalization", "OUTPUT_DIR can't be set here: every run has a folder"),
        ("digits 1 OPTIM.LR 0.1 RESUME x", "base_to_new", "RESUME can't be set here: every run has a folder"),
        ("digits 1 tiny_ep05", "base_to_new", 'unknown config of LAMM "tiny_ep05"; did you mean "tiny_ep50"'),
        ("shapes 1 caltech101", "cross_dataset", 'Caltech101: no folder "caltech-101"'),
        ("shapes 1", "cross_dataset", "no usual targets"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    started: Callable, capsys: pytest.CaptureFixture[str], line: str, protocol: str, said: str
) -> None:
    assert command(line, protocol) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1
    assert started.commands == []


def test_class_specific_context_is_refused_for_classes_that_it_was_not_trained_on(
    started: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = "TRAINER.COOP.CSC True TRAINER.COOP.CTX_INIT ''"
    line = shlex.split(f"digits 1 {settings}")
    with pytest.raises(SystemExit) as stop:
        run(run_transfer.parser(), run_transfer.main, ["--protocol", "base_to_new", "--trainer", "CoOp", *line])
    assert stop.value.code == 2
    assert "TRAINER.COOP.CSC is True" in capsys.readouterr().err


def test_every_method_has_its_scripts() -> None:
    for main in sorted((ROOT / "scripts").glob("*/main.sh")):
        trainer = shlex.split(main.read_text(), comments=True)[-2]
        for protocol in PROTOCOLS:
            script = main.with_name(f"{protocol}.sh")
            assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
            words = shlex.split(script.read_text(), comments=True)
            assert words[-6].endswith("/../../tools/run_transfer.py")
            assert words[-5:] == ["--protocol", protocol, "--trainer", trainer, "$@"]
    assert len(list((ROOT / "scripts").glob("*/base_to_new.sh"))) == len(TRAINERS)


def test_the_script_trains_evaluates_counts_labels_and_prints_the_table(tmp_path: Path, data_root: Path) -> None:
    environment = {**os.environ, "SEEDS": "4", "DATA": str(data_root), "PYTHON": sys.executable}
    line = ["bash", str(ROOT / "scripts/lamm/base_to_new.sh"), "digits", "1", "OPTIM.MAX_EPOCH", "1"]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (base,) = (tmp_path / "output/digits").rglob("results.json")
    (new,) = (tmp_path / "output/evaluation").rglob("results.json")
    assert "labels_from_clip" not in json.loads(base.read_text())["metrics"]
    metrics = json.loads(new.read_text())["metrics"]
    assert (metrics["labels_learned"], metrics["labels_from_clip"]) == (0, 5)
    assert "* LAMM: CLIP's own labels, for classes it never saw: new 5 of 5" in done.stdout
