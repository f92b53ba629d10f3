"""`lamm parse-results`, `lamm plot-few-shot` and `lamm report` as a user runs them."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lamm.commands.parser import run
from lamm.results.schema import RunResults
from tests.train_command import Outcome, call_tool, command_module


@pytest.fixture(autouse=True)
def working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_runs(
    output: Path,
    seeds: tuple[int, ...] = (1, 2, 3),
    shots: int = 16,
    status: str = "finished",
    protocol: str = "few_shot",
    cfg: str = "tiny_ep50",
) -> None:
    for seed in seeds:
        RunResults(
            trainer="LAMM",
            dataset="digits",
            shots=shots,
            seed=seed,
            cfg=cfg,
            protocol=protocol,
            split="test",
            precision="fp32",
            config_hash="c0ffee",
            status=status,
            metrics={"accuracy": 60.0 + seed, "error_rate": 40.0 - seed, "macro_f1": 59.0 + seed},
        ).write(output / "digits" / f"shots_{shots}" / "LAMM" / cfg / f"seed{seed}" / "results.json")


def test_the_table_is_printed_from_any_folder(tmp_path: Path) -> None:
    write_runs(tmp_path / "output")
    done = call_tool("parse_results", "output/digits")
    assert (done.returncode, done.stderr) == (0, "")
    assert "62.00 ± 0.82" in done.stdout
    assert "61.00 ± 0.82" in done.stdout


def test_the_keyword_chooses_the_metric(tmp_path: Path) -> None:
    write_runs(tmp_path)
    done = call_tool("parse_results", ".", "--keyword", "error", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert row["error_rate"]["mean"] == 38.0
    assert "accuracy" not in row


def test_missing_and_unfinished_runs_are_listed_and_the_rest_is_printed(tmp_path: Path) -> None:
    write_runs(tmp_path, seeds=(1,))
    write_runs(tmp_path, seeds=(2,), status="running")
    done = call_tool("parse_results", tmp_path, "--seeds", 1, 2, 3)
    assert done.returncode == 1
    assert "61.00" in done.stdout
    first, second = done.stderr.splitlines()
    assert first.startswith("unfinished: ")
    assert second == "missing: seed 3 of digits, 16 shots, LAMM, tiny_ep50, few_shot"


def test_with_nothing_finished_there_is_only_the_list(tmp_path: Path) -> None:
    write_runs(tmp_path, status="running")
    done = call_tool("parse_results", tmp_path)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 3)


def test_original_evaluation_logs_are_read_when_asked(tmp_path: Path) -> None:
    seed = tmp_path / "dtd" / "CoOp" / "rn50_16shots" / "nctx16_cscFalse_ctpend" / "seed1"
    seed.mkdir(parents=True)
    (seed / "log.txt").write_text("=> result\n* total: 11\n* correct: 4\n* accuracy: 36.4%\n* error: 63.6%\n")
    assert call_tool("parse_results", tmp_path).returncode == 1
    done = call_tool("parse_results", tmp_path, "--test-log")
    assert done.returncode == 0
    assert "36.40" in done.stdout


def test_a_missing_folder_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    for tool, more in (("parse_results", ()), ("plot_few_shot", ("-o", "a.png"))):
        done = call_tool(tool, "nowhere", *more)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: nowhere is not a folder")
        assert len(done.stderr.splitlines()) == 1


def test_an_empty_folder_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = call_tool("parse_results", ".")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    for shots in (1, 2):
        write_runs(tmp_path / "output", shots=shots)
    done = call_tool("plot_few_shot", "output", "-o", "pictures/curves.svg")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "pictures" / "curves.svg").read_text().startswith("<?xml")


def test_the_curves_are_of_few_shot_runs_on_all_classes(tmp_path: Path) -> None:
    write_runs(tmp_path)
    write_runs(tmp_path, seeds=(4,), cfg="tiny_ep50+SUBSAMPLE_CLASSES=base")
    write_runs(tmp_path, seeds=(1, 2), cfg="tiny_ep50+MODEL_DIR=x", protocol="evaluation")
    write_runs(tmp_path, seeds=(1,), cfg="tiny_ep50+STEPS=2/step1", protocol="incremental")
    done = call_tool("plot_few_shot", tmp_path, "-o", "curves.svg")
    assert done.returncode == 0
    left_out = "evaluation (2), incremental step (1), on a part of the classes (1)"
    assert done.stderr == f"left out, no few-shot runs on all classes: {left_out}\n"
    # One line: a single LAMM, with nothing that would set it apart from others.
    assert "LAMM (" not in (tmp_path / "curves.svg").read_text()


def test_unfinished_runs_are_listed_beside_the_picture(tmp_path: Path) -> None:
    write_runs(tmp_path, seeds=(1,))
    write_runs(tmp_path, seeds=(2,), status="running")
    done = call_tool("plot_few_shot", tmp_path, "-o", "curves.png")
    assert done.returncode == 1
    assert done.stderr.startswith("unfinished: ")
    assert (tmp_path / "curves.png").is_file()


def test_the_incremental_table_refuses_what_it_can_not_show(digits_run: Path) -> None:
    done = call_tool("parse_results", digits_run, "--incremental")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no seed with all its steps in or below" in done.stderr
    done = call_tool("parse_results", digits_run, "--incremental", "--overview", "--format", "csv")
    assert done.returncode == 2
    assert "--overview has no csv layout" in done.stderr


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
        (["{output}", "-o", "{output}"], "is a folder; give the name of the file"),
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
