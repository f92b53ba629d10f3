"""The console script `lamm`, what every command does with a mistake, and `lamm benchmark` on the smallest model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamm.benchmark import tower
from lamm.benchmark.decoding import write_photos
from lamm.commands import COMMANDS
from lamm.commands import main as lamm_main
from lamm.commands.parser import Parser, run
from lamm.errors import ConfigError, EngineError
from lamm.results.figure import picture
from lamm.results.schema import METRICS, RunResults
from tests.train_command import ROOT, call_tool


def outcome(main, *words):
    parser = Parser(prog="it.py")
    parser.add_argument("--seed", type=int)
    with pytest.raises(SystemExit) as stop:
        run(parser, main, words)
    return stop.value.code


def raising(error):
    def main(arguments):
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ConfigError("wrong:\nthis"), "error: wrong: this"),
        (PermissionError(13, "Permission denied", "/x"), "error: /x: Permission denied; check the path"),
        (OSError(28, "No space left on device"), "error: standard output or a file: No space left on device"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(capsys, error, line):
    assert outcome(raising(error)) == 2
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_debug_shows_the_traceback(capsys):
    assert outcome(raising(ConfigError("wrong")), "--debug") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(Parser(prog="it.py"), lambda _: 1 // 0, [])


def test_an_interruption_has_the_shells_exit_code(capsys):
    assert outcome(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_the_exit_code_is_that_of_main():
    assert outcome(lambda _: 3) == 3
    assert outcome(lambda _: None) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--sede", "1"], "did you mean --seed?"), (["--seed", "x"], "invalid int value: 'x'"), (["--see", "1"], "--see")],
)
def test_a_wrong_flag_is_one_line(capsys, words, said):
    assert outcome(lambda _: 0, *words) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.count("\n") == 1


def console(*words):
    with pytest.raises(SystemExit) as stop:
        lamm_main(words)
    return stop.value.code


def test_lamm_lists_its_commands(capsys):
    assert console("--help") == 0
    printed = capsys.readouterr().out
    assert all(f"\n  {name} " in printed for name in COMMANDS)
    assert console() == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_the_name_of_lamm(capsys, monkeypatch, name):
    monkeypatch.setattr(sys, "argv", sys.argv)
    assert console(name, "--help") == 0
    assert capsys.readouterr().out.startswith(f"usage: lamm {name} ")


def test_an_unknown_command_is_one_line(capsys):
    assert console("sweeep") == 2
    assert capsys.readouterr().err.startswith('error: unknown command "sweeep"; did you mean "sweep"')


def test_every_tool_of_the_checkout_is_a_command():
    tools = {path.stem.replace("_", "-") for path in (ROOT / "tools").glob("*.py")}
    assert tools == set(COMMANDS) - {"train"} | {"fuzz"}  # which is for those who work on the code


@pytest.mark.parametrize(
    ("tool", "line"),
    [
        ("report", "runs -o notes.html"),
        ("plot_few_shot", "runs -o notes.png"),
        ("benchmark", "--backbone tiny --classes 10 --json notes.json"),
        ("benchmark", "--backbone tiny --classes 10 --plot notes.svg"),
        ("make_demo", "clip --output notes.safetensors"),
    ],
)
def test_no_output_flag_replaces_a_file_of_another_kind(tmp_path, monkeypatch, tool, line):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / line.split()[-1]
    file.write_text("my notes")
    done = call_tool(tool, *line.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {file.name} exists and is not a file of this command")
    assert file.read_text() == "my notes"


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture_replaces_an_earlier_one(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    for _ in range(2):
        with picture(tmp_path / f"few_shot{suffix}", (2, 2)) as figure:
            figure.suptitle("x")


def test_an_engine_that_can_not_run_is_one_line(capsys, monkeypatch):
    def fail(name):
        raise EngineError("no engine")

    monkeypatch.setattr("importlib.import_module", fail)
    assert console("sweep") == 2
    assert capsys.readouterr().err == "error: no engine\n"


def parse_results(tmp_path: Path, redirection: str) -> tuple[int, str]:
    """The exit code and stderr of a real process that prints a table, by itself into a pipe that nobody reads."""
    RESULTS.write(tmp_path / "digits/shots_1/LAMM/tiny_ep50/seed1/results.json")
    read, write = os.pipe()
    os.close(read)
    line = f'"{sys.executable}" "{ROOT}/tools/parse_results.py" "{tmp_path}" {redirection}'
    done = subprocess.run(line, shell=True, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("", 141, ""),
        (">&-", 2, "error: standard output is closed\n"),
        (">/dev/full", 2, "error: standard output or a file: No space left on device\n"),
        ("--help >/dev/full", 2, "error: standard output or a file: No space left on device\n"),
        ("nowhere 2>&-", 2, ""),
        ("nowhere 2>/dev/full", 2, ""),
    ],
)
def test_a_stream_that_fails_is_one_line(tmp_path, redirection, code, said):
    assert parse_results(tmp_path, redirection) == (code, said)


@pytest.mark.parametrize("script", ["tools/report.py", "train.py"])
def test_an_interruption_while_importing_is_one_line(tmp_path, script):
    lines = [
        "import os, signal",
        "try:",
        "    os.kill(os.getpid(), signal.SIGINT)",
        "except BaseException:",
        "    pass",
    ]
    for module in ("tqdm", "yacs"):
        (tmp_path / f"{module}.py").write_text("\n".join(lines))
    line = [sys.executable, str(ROOT / script), "x"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_an_error_is_short_and_has_no_escape_sequences(capsys):
    assert outcome(raising(ConfigError(f"wrong: \x1b[31m{'9' * 1000}; take another"))) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: wrong: \\x1b[31m999")
    assert said.endswith("999; take another\n")
    assert len(said) <= 500


RESULTS = RunResults(
    **{"trainer": "LAMM", "dataset": "digits", "shots": 1, "seed": 1, "cfg": "tiny_ep50", "protocol": "few-shot"},
    **{"split": "test", "metrics": dict.fromkeys(METRICS, 50.0), "precision": "fp32", "config_hash": ""},
    status="finished",
)
FIELDS = {
    *("trainer", "classes", "precision", "text_fast_s", "text_plain_s", "text_ratio", "step_fast_s", "step_plain_s"),
    *("step_ratio", "peak_fast_mb", "peak_plain_mb", "image_s", "forward_s", "backward_s", "optimizer_s", "gemm_share"),
}


def benchmark(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(ROOT / "tools" / "benchmark.py"), *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, encoding="utf-8", check=False)


def test_both_paths_are_measured_and_written(tmp_path: Path) -> None:
    line = ["--backbone", "tiny", "--classes", 9, "--precision", "bf16", "--json", "rows.json"]
    done = benchmark("--trainers", "LAMM", "MaPLe_LAMM", *line, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["trainer"] for row in rows] == ["LAMM", "MaPLe_LAMM"]
    for row in rows:
        assert row.keys() >= FIELDS
        assert (row["classes"], row["precision"], row["plain_classes"]) == (9, "bf16", 9)
        assert row["text_ratio"] == pytest.approx(row["text_plain_s"] / row["text_fast_s"])
        assert row["step_ratio"] == pytest.approx(row["step_plain_s"] / row["step_fast_s"])
        assert row["peak_plain_mb"] > 5 * row["peak_fast_mb"] > 0
        assert 0.99 < row["gradient_cosine"] < 1.0001
        assert min(row["text_fast_s"], row["step_fast_s"], row["fast_gflops"], row["plain_gflops"]) > 0
        stages = sum(row[f"{stage}_s"] for stage in ("image", "forward", "backward", "optimizer"))
        assert stages == pytest.approx(row["step_fast_s"])
        assert 0 < row["gemm_share"] < 2
        assert not row["cached"]
    assert "gemm share" in done.stdout


def test_cached_features_and_several_class_counts_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["--backbone", "tiny", "--classes", "8", "24", "--cached", "--chunk", "8", "--plain-at-most", "8"]
    done = call_tool("benchmark", "--trainers", "LAMM", *line, "--json", "rows.json", "--plot", "cost.png")
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(Path("rows.json").read_text())
    assert [(row["classes"], row["plain_classes"], row["cached"]) for row in rows] == [(8, 8, True), (24, 8, True)]
    assert all(row["image_s"] < 0.1 * row["step_fast_s"] for row in rows)
    assert rows[1]["step_gflop"] > 2 * rows[0]["step_gflop"]
    assert "24 classes: the plain path ran with 8 and is scaled up" in done.stdout
    assert Path("cost.png").stat().st_size > 1000


def test_ways_to_tune_and_to_encode_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["--backbone", "tiny", "--rounds", "1", "--json", "rows.json"]
    assert call_tool("benchmark", "--top", "--classes", "3", "4", *line).returncode == 0
    rows = json.loads(Path("rows.json").read_text())
    assert [row["classes"] for row in rows] == [3] * 4 + [4] * 4
    assert all(row["step_s"] > 0 for row in rows)
    done = call_tool("benchmark", "--tower", *line)
    assert (done.returncode, Path("rows.json").read_text()) == (2, json.dumps(rows, indent=2) + "\n")
    assert "rows.json exists and is not a file of this command" in done.stderr
    monkeypatch.setattr(tower, "ways_to_encode", lambda model, *_: dict.fromkeys(("ours", tower.PLAIN), model.visual))
    monkeypatch.setattr(tower, "OURS", "ours")
    line = [*line[:-1], "tower.json"]
    assert call_tool("benchmark", "--tower", "--batch", "2", "--precision", "fp32", "bf16", *line).returncode == 0
    rows = json.loads(Path("tower.json").read_text())
    assert [row["precision"] for row in rows] == ["fp32", "fp32", "bf16", "bf16"]
    assert all(row["ms"] > 0 for row in rows)


def test_a_step_is_shared_out_over_two_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["--trainers", "LAMM", "--backbone", "tiny", "--classes", "8", "--ranks", "2", "--json", "rows.json"]
    assert call_tool("benchmark", *line).returncode == 0
    (row,) = json.loads(Path("rows.json").read_text())
    assert row["ranks"] == 2
    assert row["ranks_ratio"] == pytest.approx(row["alone_s"] / row["ranks_s"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["--trainers", "LAM"], 'unknown trainer that learns "LAM"; did you mean "LAMM"'),
        (["--trainers", "ZeroshotCLIP"], "unknown trainer that learns"),
        (["--backbone", "ViT-B/61"], 'unknown backbone "ViT-B/61"; did you mean'),
        (["--backbone", "RN50", "--trainers", "MaPLe"], "takes no prompts"),
        (["--classes", "0"], "must be a whole number from 1 up, got 0"),
        (["--precision", "int8"], "--precision"),
        (["--backbone", "tiny", "--json", "nowhere/rows.json"], "nowhere is not a folder"),
        (["--backbone", "tiny", "--plot", "nowhere/cost.png"], "nowhere is not a folder"),
        (["--ranks", "0"], "must be a whole number from 1 to 512, got 0"),
        (["--images", "photos"], "--images goes with --decoding or --loading, not with a training step"),
        (["--tower", "--cached", "--plot", "cost.png"], "--cached goes with a training step, not with --tower"),
        (["--decoding", "--classes", "3"], "--classes goes with --top or --suite or a training step"),
        (["--top", "--json", "nowhere/rows.json"], "nowhere is not a folder"),
    ],
)
def test_a_mistake_is_one_line(line: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = call_tool("benchmark", *line)
    assert done.returncode == 2
    assert said in done.stderr.splitlines()[-1]
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_photos(tmp_path / "photos" / "deeper", (80, 60), 3)
    return tmp_path / "photos"


def test_decoding_is_measured_for_training_and_test_images(folder: Path) -> None:
    done = call_tool("benchmark", "--decoding", "--images", folder, "--limit", 2, "--rounds", 1, "--size", 48)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"2 photos of {folder}; training images" in done.stdout
    assert f"2 photos of {folder}; test images" in done.stdout
    exact = [line.split() for line in done.stdout.splitlines() if line.startswith("exact")]
    assert [(row[3], row[4]) for row in exact] == [("none", "1.00000")] * 2


def test_loading_is_measured_for_numbers_of_workers(folder: Path) -> None:
    line = ["--images", folder, "--batch", 2, "--rounds", 1, "--step", 0, "--size", 224]
    done = call_tool("benchmark", "--loading", *line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 images, 1 batches of 2")
    assert "DATALOADER.NUM_WORKERS -1 takes" in done.stdout


@pytest.mark.parametrize("mode", ["--decoding", "--loading"])
def test_a_mistake_about_photos_is_one_line(mode: str, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (folder / "broken.jpg").write_bytes(b"no photo")
    for line, said in [
        (["--images", folder], 'broken.jpg" is not an image'),
        (["--images", tmp_path / "nowhere"], "nowhere is not a folder"),
        (["--images", tmp_path / "empty"], "has no .jpg"),
        (["--rounds", "0"], "must be a whole number from 1 up, got 0"),
    ]:
        done = call_tool("benchmark", mode, *line)
        assert done.returncode == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
