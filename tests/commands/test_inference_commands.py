"""`lamm predict` and `lamm export` on a run of train.py whose data is gone."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lamm_trainers import extend_cfg
from PIL import Image
from safetensors.torch import load_file

from lamm.inference import export as exporting
from lamm.inference.model import TrainedModel
from lamm.inference.onnx_file import missing_for_onnx
from lamm.inference.photos import PhotoFiles
from lamm.results.schema import RunResults
from tests.pictures import noise
from tests.train_command import ROOT, Outcome, train

Command = Callable[[str, str], Outcome]
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture
def photos(tmp_path: Path, digits_photos: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Six scans in the working folder, below `my photos`, with names that need care."""
    monkeypatch.chdir(tmp_path)
    names = ["1.png", "a b.png", "sub folder/x[1].png", "sub folder/ü.PNG", "y.png", "z.png"]
    for name, scan in zip(names, sorted(digits_photos.rglob("*.png"))[::250], strict=False):
        target = Path("my photos") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(scan, target)
    return [f"my photos/{name}" for name in names]


def expected(run: Path, paths: list[str], top_k: int) -> list[list[str]]:
    """Path, class and probability in turn, a photo at a time, from the classifier itself."""
    classifier = TrainedModel.from_run(run, [extend_cfg])
    rows = []
    for path in paths:
        image = PhotoFiles([path], classifier.transform)[0][1]
        assert isinstance(image, torch.Tensor)
        best = classifier.probabilities(image[None])[0].topk(top_k)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        rows.append([path, *(text for label, value in pairs for text in (DIGITS[label], f"{value:.4f}"))])
    return rows


def test_a_folder_of_photos_is_classified_without_the_data(
    command: Command, digits_run: Path, photos: list[str]
) -> None:
    done = command("predict", f"{digits_run} 'my photos' --top-k 3 --workers 2 --batch-size 4")
    assert done.code == 0
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert lines == expected(digits_run, photos, top_k=3)
    assert "not classified" not in done.err


def test_the_photos_of_a_run_get_their_names(command: Command, digits_run: Path, digits_photos: Path) -> None:
    """Ten classes, so that a guess is right one time in ten."""
    done = command("predict", f"{digits_run} {digits_photos}")
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert len(lines) == 1797
    assert sum(Path(path).parent.name == name for path, name, _ in lines) > 0.4 * len(lines)


def test_the_table_holds_the_same_as_the_lines(command: Command, digits_run: Path, photos: list[str]) -> None:
    done = command("predict", f"{digits_run} 'my photos/*.png' --top-k 2 --csv new/out.csv")
    assert done.code == 0
    header, *rows = csv.reader(Path("new/out.csv").read_text(encoding="utf-8").splitlines())
    assert header == ["path", "class_1", "probability_1", "class_2", "probability_2"]
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert [[row[0], row[1], f"{float(row[2]):.4f}", row[3], f"{float(row[4]):.4f}"] for row in rows] == lines
    assert [row[0] for row in rows] == [path for path in photos if "/sub" not in path]


def test_quiet_leaves_stdout_empty(command: Command, digits_run: Path, photos: list[str]) -> None:
    assert command("predict", f"{digits_run} 'my photos' --quiet --csv out.csv")[:2] == (0, "")
    assert len(Path("out.csv").read_text().splitlines()) == 7


def test_bad_photos_are_listed_at_the_end_and_the_others_classified(
    command: Command, digits_run: Path, photos: list[str]
) -> None:
    Path("my photos/bad.jpg").write_text("no image")
    Path("my photos/empty.png").touch()
    noise(64, 64).convert("L").save("my photos/cut.jpg")
    os.truncate("my photos/cut.jpg", 900)
    done = command("predict", f"{digits_run} 'my photos' nowhere.png 'no*match' --csv out.csv")
    assert done.code == 1
    assert [line.split("\t")[0] for line in done.out.splitlines()] == photos
    assert len(Path("out.csv").read_text().splitlines()) == 7
    listed = [line for line in done.err.splitlines() if line.startswith("not classified: ")]
    assert listed == [
        "not classified: nowhere.png: no such file or folder",
        "not classified: no*match: matches no file",
        'not classified: image file "my photos/bad.jpg" is not an image, or is damaged; replace it',
        *[line for line in listed if "my photos/cut.jpg" in line],
        'not classified: image file "my photos/empty.png" is not an image, or is damaged; replace it',
    ]
    assert len(listed) == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{run} nowhere.png", "there is no photo to classify: nowhere.png: no such file or folder"),
        ("{run} 'my photos' --csv 'my photos'", "my photos is a folder"),
        ("{run} --csv 'my photos/1.png' 'my photos'", "my photos/1.png exists and is not a file of this command"),
        ("{run} 'my photos' --csv notes/x.csv", "notes"),
        ("{run} 'my photos' --quiet", "--quiet without --csv"),
        ("{run} 'my photos' --top-k 0", "must be a whole number from 1 up, got 0"),
        ("{run} 'my photos' --device nonsense", "--device nonsense can't be used"),
        ("{run} 'my photos' --precision fp8", 'unknown PREC "fp8"'),
        ("{run} 'my photos' --import nowhere.py", "--import nowhere.py: there is no such file"),
        ("{run}", "the following arguments are required: PHOTO"),
        ("{run} 'my photos' --top 3", "did you mean --top-k?"),
        ("nowhere 'my photos'", "nowhere is not a folder"),
        (". 'my photos'", ". holds no run: it has no config.yaml"),
    ],
)
def test_a_mistake_in_a_prediction_is_one_line(
    line: str, message: str, command: Command, digits_run: Path, photos: list[str]
) -> None:
    Path("notes").write_text("in the way")
    before = sorted(Path().rglob("*"))
    done = command("predict", line.format(run=digits_run))
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


def test_an_earlier_table_is_replaced_and_no_other_file(command: Command, digits_run: Path, photos: list[str]) -> None:
    line = f"{digits_run} 'my photos/1.png' --csv out.csv"
    Path("out.csv").write_text("image,label\nmine.png,1\n")
    assert command("predict", line).code == 2
    assert Path("out.csv").read_text() == "image,label\nmine.png,1\n"
    Path("out.csv").write_text("path,class_1,probability_1,class_2,probability_2\n")
    command("predict", line)
    assert Path("out.csv").read_text().startswith("path,class_1,probability_1\nmy photos/1.png,")


def test_as_a_program_its_stdout_holds_the_lines_alone(digits_run: Path, photos: list[str]) -> None:
    line = [sys.executable, str(ROOT / "tools" / "predict.py"), str(digits_run), "my photos/1.png", "my photos/*gone*"]
    done = subprocess.run(line, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith("my photos/1.png\t")
    assert "not classified: my photos/*gone*: matches no file" in done.stderr
    assert "Text encoder" not in done.stdout + done.stderr


def test_a_trainer_brought_with_import_can_be_used(command: Command, photos: list[str], tmp_path: Path) -> None:
    """An own trainer on an own folder, from five photos a class to the name of a sixth."""
    Path("mine.py").write_text(
        "from lamm.engine import TRAINER_REGISTRY\n"
        "from lamm_trainers.lamm import LAMM\n"
        "from yacs.config import CfgNode\n\n\n"
        "def extend_cfg(cfg):\n"
        '    cfg.TRAINER.MINE = CfgNode({"WORDS": "one"})\n\n\n'
        '@TRAINER_REGISTRY.register()\nclass TrainerOfPredictTest(LAMM):\n    tiny_config = ""\n'
    )
    for name, colour in (("große Null", 0), ("die Acht", 255)):
        folder = Path("own") / name
        folder.mkdir(parents=True)
        for number in range(5):
            Image.new("L", (40 + number, 40), colour).save(folder / f"{number}.png")
    config = ROOT / "configs" / "trainers" / "LAMM" / "tiny_ep50.yaml"
    line = "--trainer TrainerOfPredictTest --import mine.py --dataset folder --root own --shots 4 --seed 1"
    done = train(f"{line} --config-file {config} --output-dir run OPTIM.MAX_EPOCH 3 TRAINER.LAMM.PREC fp32")
    assert done.code == 0, done.err
    Image.new("RGB", (30, 50)).save("sixth.png")
    done = command("predict", "run sixth.png --import mine.py")
    assert (done.code, done.out.split("\t")[:2]) == (0, ["sixth.png", "große Null"])


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
        "run/export/classifier.json",
        "run/export/classifier.safetensors",
    ]
    assert names_in("run/export") == PAIR
    classifier = TrainedModel.from_run(run, [extend_cfg])
    assert torch.equal(load_file("run/export/classifier.safetensors")["class_features"], classifier.text_features()[0])
    described = json.loads(Path("run/export/classifier.json").read_text(encoding="utf-8"))
    assert described["class_names"] == classifier.class_names
    backbone = {"name": "tiny", "image_size": 32, "embedding_size": 256, "licence_of_weights": "MIT"}
    assert described["backbone"] == backbone
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
def test_a_mistake_in_an_export_is_one_line(line: str, message: str, command: Command, run: Path) -> None:
    done = command("export", line)
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path("run/export").exists()
