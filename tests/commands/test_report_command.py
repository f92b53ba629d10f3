"""`tools/report.py` as a user runs it."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.commands.parser import run
from lamm.results.schema import RunResults
from tests.train_command import Outcome, command_module

Command = Callable[..., Outcome]


@pytest.fixture
def report(capfd: pytest.CaptureFixture[str]) -> Command:
    """The command: words → its exit code and what it printed."""
    script = command_module("report")

    def start(*words: object) -> Outcome:
        with pytest.raises(SystemExit) as stop:
            run(script.parser(), script.main, [str(word) for word in words])
        said = capfd.readouterr()
        return Outcome(int(stop.value.code or 0), said.out, said.err)

    return start


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """A folder with runs of two trainers."""
    for trainer, accuracy in (("LAMM", 61.75), ("CoOp", 55.5)):
        RunResults(
            trainer=trainer,
            dataset="digits",
            shots=16,
            seed=1,
            cfg="tiny_ep50",
            protocol="few-shot",
            split="test",
            precision="fp32",
            config_hash="c0ffee",
            status="finished",
            metrics={"accuracy": accuracy, "error_rate": 100 - accuracy, "macro_f1": accuracy},
        ).write(tmp_path / f"output/digits/shots_16/{trainer}/tiny_ep50/seed1/results.json")
    return tmp_path / "output"


def test_the_command_says_file_size_and_runs(report: Command, output: Path, tmp_path: Path) -> None:
    file = tmp_path / "site" / "report.html"
    done = report(output, "-o", file, "--title", "My results")
    assert done.code == 0
    assert done.out == f"wrote {file}: {file.stat().st_size / 1e6:.1f} MB, 2 runs\n"
    assert done.err == "2 runs, finished\n"
    assert "<h1>My results</h1>" in file.read_text()


def test_one_trainer_can_be_chosen(report: Command, output: Path, tmp_path: Path) -> None:
    done = report(output, "-o", tmp_path / "r.html", "--trainer", "CoOp")
    assert done.out.endswith(" MB, 1 run\n")
    assert "61.75" not in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "-o", "r.html"], "nowhere is not a folder"),
        (["{output}"], "required: -o/--output"),
        (["{output}", "-o", "r.html", "--trainer", "Lamm"], "LAMM"),
        (["{output}", "-o", "{output}"], "is a folder; give the report's file"),
        (["{empty}", "-o", "r.html"], "no results.json and no log.txt"),
    ],
)
def test_a_mistake_is_one_line_and_2(
    report: Command, output: Path, tmp_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = report(*(word.format(output=output, empty=tmp_path / "empty") for word in words))
    assert done.code == 2
    assert message in done.err
    assert len([line for line in done.err.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.err
    assert sorted(os.listdir(tmp_path)) == ["empty", "output"]


def test_without_jinja_the_command_says_what_to_install(
    report: Command, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    done = report(output, "-o", tmp_path / "r.html")
    assert (done.code, done.out) == (2, "")
    assert done.err == 'error: the report needs Jinja2; install it with: pip install -e ".[report]"\n'
