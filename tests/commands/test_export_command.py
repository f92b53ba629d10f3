"""`tools/export.py` on a run of train.py, whose data is gone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lamm_trainers import extend_cfg
from safetensors.torch import load_file

from lamm.inference import export as exporting
from lamm.inference.classifier import Classifier
from lamm.inference.onnx_file import missing_for_onnx
from lamm.results.schema import RunResults
from tests.train_command import Outcome

Command = Callable[[str, str], Outcome]
PAIR = ["classifier.json", "classifier.safetensors"]


@pytest.fixture
def run(tmp_path: Path, digits_run: Path, digits_photos: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, beside which the command works."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(digits_run, "run"))


def names_in(folder: str | Path) -> list[str]:
    return sorted(file.name for file in Path(folder).iterdir())


def test_the_files_lie_in_the_run_and_hold_its_classes(command: Command, run: Path) -> None:
    done = command("export", f"{run} --no-onnx")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "run/export/classifier.safetensors",
        "run/export/classifier.json",
    ]
    assert names_in("run/export") == PAIR
    classifier = Classifier.from_run(run, [extend_cfg])
    assert torch.equal(load_file("run/export/classifier.safetensors")["class_features"], classifier.text_features()[0])
    described = json.loads(Path("run/export/classifier.json").read_text(encoding="utf-8"))
    assert described["class_names"] == classifier.class_names
    assert described["backbone"] == {"name": "tiny", "image_size": 32, "embedding_size": 256}
    metrics = RunResults.read("run/results.json").metrics
    told = {"trainer": "LAMM", "dataset": "digits", "shots": 2, "seed": 1, "metrics": metrics}
    assert described["run"] == told


def test_the_onnx_file_is_checked_and_named(command: Command, run: Path) -> None:
    if missing_for_onnx():
        pytest.skip(f"ONNX files need {missing_for_onnx()}")
    pytest.importorskip("onnxruntime", reason='needs pip install -e ".[onnx]"')
    done = command("export", f"{run} -o 'other folder'")
    assert done.code == 0
    assert names_in("other folder") == ["classifier.json", "classifier.onnx", "classifier.safetensors"]
    assert done.err.startswith("note: classifier.onnx run by onnxruntime: logits at most ")
    assert not Path("run/export").exists()


def test_without_the_libraries_it_says_what_to_install(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "missing_for_onnx", lambda: 'onnx: pip install -e ".[onnx]"')
    done = command("export", f"{run}")
    assert (done.code, names_in("run/export")) == (0, PAIR)
    assert done.err == 'note: no classifier.onnx, which needs onnx: pip install -e ".[onnx]"\n'


def test_a_precision_other_than_the_runs_is_told(command: Command, run: Path) -> None:
    record = json.loads(Path("run/results.json").read_text())
    Path("run/results.json").write_text(json.dumps({**record, "precision": "bf16"}))
    done = command("export", f"{run} --no-onnx")
    assert done.err == "note: the run used precision bf16, here it is fp32\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nowhere", "nowhere is not a folder"),
        (".", ". holds no run: it has no config.yaml; give one of run"),
        ("run -o run/results.json", "run/results.json is a file: give a folder to write to"),
        ("run --no-onx", "did you mean --no-onnx?"),
        ("", "the following arguments are required: RUN_DIR"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(line: str, message: str, command: Command, run: Path) -> None:
    done = command("export", line)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("run/export").exists()
