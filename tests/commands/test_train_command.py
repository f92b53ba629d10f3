"""train.py from its command line to the files it leaves."""

import copy
import errno
import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import lamm.clip.tiny as tiny_weights
import lamm.run.execute as execution
from lamm.checkpoints.label_bank import LabelBank
from lamm.datasets.demo import ShapesSketch
from lamm.results.run_files import ClassFeatures, read_predictions
from lamm.results.schema import RunResults
from tests.train_command import ROOT, Outcome, train

# The validation images: no number of these short runs is a result.
SHORT = "TEST.SPLIT val TRAIN.CHECKPOINT_FREQ 1 OPTIM.MAX_EPOCH"
ACCURACY = re.compile(r"\* accuracy: ([\.\deE+-]+)%")


@pytest.fixture(scope="session")
def data_root(tmp_path_factory):
    return tmp_path_factory.mktemp("train_command") / "data"


@pytest.fixture(autouse=True)
def quick(tmp_path, monkeypatch):
    """An empty working directory; the embedded model is read once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(tiny_weights, "load_weights", lambda: copy.deepcopy(embedded_model()))


load_weights = tiny_weights.load_weights


@functools.cache
def embedded_model():
    return load_weights()


def lamm_run(data_root: Path, more: str, trainer: str = "LAMM", dataset: str = "digits") -> Outcome:
    return train(f"--trainer {trainer} --dataset {dataset} --root {data_root} --shots 1 {more}")


def results(folder: str) -> RunResults:
    return RunResults.read(Path(folder) / "results.json")


def accuracy_of_coop_parser(log: Path, signal: str = "Finish training") -> float:
    """The rule of the CoOp family's parse_test_res.py."""
    found, at_the_end = [], False
    for line in log.read_text().splitlines():
        at_the_end = at_the_end or line.strip() == signal
        if at_the_end and (match := ACCURACY.search(line.strip())):
            found.append(float(match.group(1)))
    return found[-1]


def test_a_run_leaves_log_config_checkpoints_labels_results_and_a_trace_if_asked_for(data_root):
    done = lamm_run(data_root, f"--seed 1 --profile {SHORT} 2")
    assert (done.code, done.err) == (0, "")
    folder = Path("output/digits/shots_1/LAMM/tiny_ep50+SPLIT=val+CHECKPOINT_FREQ=1+MAX_EPOCH=2/seed1")
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    expected = {"log.txt", "config.yaml", "classes.json", "labels.safetensors", "results.json"}
    expected |= {"predictions.csv", "class_features.safetensors", "trace.json"}
    expected |= {"prompt_learner/checkpoint", "prompt_learner/model.pth.tar-1", "prompt_learner/model.pth.tar-2"}
    assert expected <= names
    assert {name.split("/")[0] for name in names - expected} == {"tensorboard"}
    made = results(str(folder))
    assert (made.status, made.trainer, made.dataset, made.shots, made.seed) == ("finished", "LAMM", "digits", 1, 1)
    assert (made.protocol, made.split, made.precision, made.cfg) == ("few-shot", "val", "fp32", folder.parent.name)
    assert made.metrics["accuracy"] + made.metrics["error_rate"] == pytest.approx(100)
    assert accuracy_of_coop_parser(folder / "log.txt") == round(made.metrics["accuracy"], 1)
    said = read_predictions(folder)
    assert 100 * sum(one.right for one in said) / len(said) == pytest.approx(made.metrics["accuracy"])
    assert all((data_root / one.image).is_file() for one in said)
    features = ClassFeatures.load(folder)
    assert features.class_names == json.loads((folder / "classes.json").read_text())["class_names"]
    assert (features.moved() > 0).all()
    assert made.trainable_parameters == LabelBank.load(folder / "labels.safetensors").embeddings.numel()
    log = (folder / "log.txt").read_text()
    assert log.index("** Arguments **") < log.index("** Config **") < log.index("** System info **")
    assert log.count("Engine: ") == 1
    assert f"PyTorch {torch.__version__}" in log
    lines = done.out.splitlines()
    assert lines[0] == f"LAMM on digits, 1 shot, seed 1, in {folder}"
    assert lines[1].startswith("CLIP tiny, precision fp32, on c")
    assert [line[:10] for line in lines[2:4]] == ["epoch 1/2:", "epoch 2/2:"]
    assert lines[4].startswith(f"validation accuracy {made.metrics['accuracy']:.1f}%")
    assert re.fullmatch(r"\d+\.\d s: .*\bstart-up \d+\.\d\b.*", lines[5])
    assert made.seconds_by_part.keys() >= {"start-up", "encode", "text", "loss", "backward", "test", "write"}
    assert len(lines) == 6
    assert all(line in log for line in lines)


def test_verbose_shows_the_whole_log_on_the_terminal(data_root):
    done = lamm_run(data_root, f"--seed 1 --output-dir o --verbose --no-train {SHORT} 2")
    assert done.out == "Setting fixed seed: 1\n" + Path("o/log.txt").read_text()
    assert "** Config **" in done.out


def test_of_a_long_training_every_tenth_epoch_has_a_line(data_root):
    done = lamm_run(data_root, "--seed 1 TEST.SPLIT val OPTIM.MAX_EPOCH 12 TEST.NO_TEST True", dataset="digits")
    assert re.findall(r"^epoch \S+:", done.out, re.MULTILINE) == ["epoch 10/12:", "epoch 12/12:"]


def test_a_finished_run_is_skipped_and_says_so(data_root, monkeypatch):
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1").code == 0
    log = Path("o/log.txt").read_text()
    monkeypatch.setattr(execution, "build_recorded", lambda cfg: pytest.fail("built the trainer again"))
    again = lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1")
    assert again.code == 0
    assert "o is finished already" in again.out
    assert Path("o/log.txt").read_text() == log


def test_another_config_in_the_folder_is_refused_and_nothing_is_touched(data_root):
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1").code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("o").rglob("*")}
    other = lamm_run(data_root, f"--output-dir o --seed 1 {SHORT} 2")
    assert other.code == 2
    assert other.err.startswith("error: o holds a run with another config (OPTIM.MAX_EPOCH: 1 → 2; SEED: 0 → 1)")
    assert other.err.count("\n") == 1
    evaluation = lamm_run(data_root, f"--output-dir o --seed 0 --eval-only --model-dir o {SHORT} 1")
    assert evaluation.code == 2
    assert "EVALUATION.MODEL_DIR" in evaluation.err
    assert {path: path.stat().st_mtime_ns for path in Path("o").rglob("*")} == before


@pytest.mark.parametrize("finished", [True, False])
def test_another_split_of_the_data_is_refused(data_root, finished):
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1").code == 0
    stored = json.loads(Path("o/results.json").read_text())
    stored.update(config_hash="0" * 16, status="finished" if finished else "running")
    Path("o/results.json").write_text(json.dumps(stored))
    again = lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1")
    assert again.code == 2
    assert "o holds a run on another split of the data" in again.err


def test_a_run_of_unknown_config_is_not_continued(data_root):
    checkpoint = Path("o/prompt_learner/model.pth.tar-5")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"of other code")
    refused = lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1")
    assert refused.code == 2
    assert "holds a run without config.yaml" in refused.err


def test_a_killed_run_continues_from_its_last_checkpoint_to_the_same_result(data_root, monkeypatch):
    monkeypatch.setattr(tiny_weights, "load_weights", load_weights)  # reading it takes from the random stream
    line = f"--trainer LAMM --dataset digits --root {data_root} --shots 1 --seed 2 --output-dir killed {SHORT} 3"
    assert lamm_run(data_root, f"--seed 2 --output-dir whole {SHORT} 3").code == 0
    command = [sys.executable, str(ROOT / "train.py"), "--import", str(ROOT / "tests/foreign/stop_in_between.py")]
    environment = {**os.environ, "KILL_BEFORE_EPOCH": "2", "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run([*command, *line.split()], env=environment, capture_output=True, check=False)
    assert killed.returncode == -9
    begun = results("killed")
    assert (begun.status, begun.metrics) == ("running", {})
    assert begun.seconds_train > 0
    resumed = train(line)
    assert resumed.code == 0
    assert "resuming after epoch 2 of 3" in resumed.out
    log = Path("killed/log.txt").read_text()
    assert "Previous epoch: 2" in log
    assert log.count("** Arguments **") == 2
    assert sorted(set(re.findall(r"epoch \[(\d)/3\]", log))) == ["1", "2", "3"]
    assert [path.name for path in Path("killed").glob("log.txt*")] == ["log.txt"]
    assert results("killed").metrics == results("whole").metrics
    assert results("killed").config_hash == results("whole").config_hash
    assert results("killed").seconds_train > begun.seconds_train
    whole, continued = (LabelBank.load(Path(name) / "labels.safetensors") for name in ("whole", "killed"))
    assert torch.equal(whole.embeddings, continued.embeddings)


def test_a_resumed_run_keeps_the_precision_that_auto_once_meant(data_root):
    auto = f"--output-dir o --seed 0 {SHORT} 1 TRAINER.LAMM.PREC auto"
    assert lamm_run(data_root, f"{auto} TEST.NO_TEST True").code == 0
    stored = json.loads(Path("o/results.json").read_text())
    assert stored["precision"] in ("fp32", "bf16", "amp")
    other = "bf16" if stored["precision"] == "fp32" else "fp32"
    Path("o/results.json").write_text(json.dumps({**stored, "precision": other}))
    resumed = lamm_run(data_root, f"{auto} TEST.NO_TEST True")
    assert f"precision {other}" in resumed.out
    assert results("o").precision == other


def test_what_was_not_tested_has_no_result(data_root):
    for more in ("TEST.NO_TEST True", ""):
        flag = "" if more else "--no-train"
        done = lamm_run(data_root, f"{flag} --output-dir o{bool(more)} --seed 0 {SHORT} 1 {more}")
        assert done.code == 0
        assert "Nothing was tested" in done.out
        made = results(f"o{bool(more)}")
        assert (made.status, made.metrics) == ("running", {})


def test_an_evaluation_leaves_the_training_alone_and_repeats_its_result(data_root):
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 2").code == 0
    before = {path: path.stat().st_mtime_ns for path in Path("o").rglob("*")}
    evaluated = lamm_run(data_root, "--seed 0 --eval-only --model-dir o TEST.SPLIT val")
    assert evaluated.code == 0
    assert {path: path.stat().st_mtime_ns for path in Path("o").rglob("*")} == before
    (folder,) = (path.parent for path in Path("output/evaluation/digits/shots_1/LAMM").rglob("results.json"))
    assert results(str(folder)).protocol == "evaluation"
    counted = {"labels_learned": 10, "labels_from_clip": 0}
    assert results(str(folder)).metrics == {**results("o").metrics, **counted}
    assert accuracy_of_coop_parser(folder / "log.txt", "=> result") == round(results("o").metrics["accuracy"], 1)
    lamm_run(data_root, "--seed 0 --eval-only --model-dir o TEST.SPLIT val")
    assert (folder / "log.txt").read_text().count("=> result") == 2
    assert lamm_run(data_root, "--seed 0 --eval-only --model-dir o --load-epoch 9 TEST.SPLIT val").code == 2
    # Class names decide where the labels of another class list go.
    line = "--seed 0 --eval-only --model-dir o --output-dir shapes TEST.SPLIT val"
    assert lamm_run(data_root, line, dataset="shapes").code == 0
    log = Path("shapes/log.txt").read_text()
    assert "0 learned, 36 unknown to the checkpoint start from CLIP's own" in log


def test_a_checkpoint_of_another_method_is_one_line(data_root):
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1").code == 0
    done = lamm_run(data_root, "--eval-only --model-dir o TEST.SPLIT val", trainer="CoOp")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "made by another method" in done.err


def test_an_evaluation_names_its_model_unless_there_is_nothing_to_load(data_root):
    refused = lamm_run(data_root, "--eval-only TEST.SPLIT val")
    assert refused.code == 2
    assert "--eval-only needs --model-dir" in refused.err
    assert lamm_run(data_root, "--eval-only TEST.SPLIT val", trainer="ZeroshotCLIP").code == 0
    refused = lamm_run(data_root, "--eval-only --model-dir . TEST.SPLIT val", trainer="ZeroshotCLIP")
    assert "leave --model-dir out" in refused.err


def test_validation_images_that_do_not_exist_are_not_replaced_by_the_test_images(data_root, monkeypatch):
    monkeypatch.setattr(ShapesSketch, "test_only", True)
    for key in ("TEST.SPLIT val", "TEST.FINAL_MODEL best_val"):
        refused = lamm_run(data_root, f"{key} OPTIM.MAX_EPOCH 1", trainer="CoOp", dataset="shapes_sketch")
        assert refused.code == 2
        assert f"{key} needs validation images, and ShapesSketch has none" in refused.err


def test_a_failed_start_does_not_stand_in_the_way(data_root, tmp_path):
    line = f"--trainer LAMM --dataset digits --shots 1 --seed 0 --output-dir o --root {{}} {SHORT} 1"
    Path("file").write_text("")
    failed = train(line.format(tmp_path / "file" / "data"))
    assert failed.code == 2
    assert "can't write the data set" in failed.err
    assert train(line.format(data_root)).code == 0
    assert accuracy_of_coop_parser(Path("o/log.txt")) == round(results("o").metrics["accuracy"], 1)


def test_a_mistake_found_late_does_not_stand_in_the_way_of_the_corrected_command(data_root):
    wide = 'TRAINER.COOP.N_CTX 8 TRAINER.COOP.CTX_INIT ""'
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 1 {wide}", trainer="CoOp").code == 0
    evaluate = "--output-dir e --seed 0 --eval-only --model-dir o TEST.SPLIT val"
    failed = lamm_run(data_root, evaluate, trainer="CoOp")
    assert failed.code == 2
    assert "N_CTX" in failed.err
    assert lamm_run(data_root, f"{evaluate} {wide}", trainer="CoOp").code == 0
    assert results("e").status == "finished"
    assert Path("e/log.txt").read_text().count("** Arguments **") == 1
    assert len(list(Path("e").glob("log-before-*.txt"))) == 1
    # What was tested, or trained, is nobody's to take over.
    for folder in ("e", "o"):
        refused = lamm_run(data_root, f"--output-dir {folder} --seed 3 {SHORT} 1", trainer="CoOp")
        assert refused.code == 2
        assert f"{folder} holds a run with another config" in refused.err


def test_a_folder_with_unknown_files_is_not_taken_over(data_root):
    assert lamm_run(data_root, f"--output-dir o --seed 0 --no-train {SHORT} 1").code == 0
    Path("o/weights.pt").write_text("of someone's own trainer")
    assert "another config" in lamm_run(data_root, f"--output-dir o --seed 1 --no-train {SHORT} 1").err
    Path("o/weights.pt").unlink()
    assert lamm_run(data_root, f"--output-dir o --seed 1 --no-train {SHORT} 1").code == 0


def test_two_processes_do_not_write_to_one_folder(data_root):
    line = f"--output-dir o --seed 0 {SHORT} 1"
    hold = "import time; from pathlib import Path; from lamm.run.lock import locked\n"
    hold += "with locked(Path('o')): print(flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, cwd=os.getcwd())
    holder.stdout.readline()
    refused = lamm_run(data_root, line)
    holder.kill()
    holder.wait()
    assert refused.code == 2
    assert f"o is in use by process {holder.pid}" in refused.err
    assert lamm_run(data_root, line).code == 0
    assert not Path("o/.lock").exists()


@pytest.mark.parametrize("name", ["config.yaml", "model.pth.tar-2", "labels.safetensors", "predictions.csv"])
def test_a_full_disk_is_one_line_and_the_same_command_goes_on(data_root, monkeypatch, name):
    move = os.replace

    def fill(source, target):
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))
        move(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fill)
        failed = lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 2")
    assert failed.code == 2
    assert re.fullmatch(rf"error: \S*{name}: No space left on device; .*\n", failed.err)
    assert not list(Path("o").rglob("*.tmp"))
    assert lamm_run(data_root, f"--output-dir o --seed 0 {SHORT} 2").code == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--trainer LAMM --dataset caltech101 --backbone tiny --root {root}/nowhere", "does not exist"),
        ("--trainer LAMM --dataset digits --root {root} --output-dir file", "file is not a folder"),
        ("--trainer LAMM --dataset digits --root {root} --output-dir file/x", "file/x"),
        ("--trainer LAMM --dataset digits --root {root} --backbone ViT-B/61", 'did you mean "ViT-B/16"'),
        ("--trainer LAMM --dataset digits --root {root} DATASET.NAME Digit", "[Digits]"),
        ("--trainer LAMM --dataset digits --root {root} --resume .", "no checkpoints of this trainer"),
        ("--trainer LAMM --dataset digits --root {root} --import nowhere.py", "there is no such file"),
    ],
)
def test_what_is_missing_is_one_line(data_root, line, said):
    Path("file").write_text("")
    done = train(line.format(root=data_root))
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_corrupt_image_is_one_line(tmp_path):
    assert train(f"--trainer LAMM --dataset digits --root {tmp_path} --no-train").code == 0
    for image in (tmp_path / "digits" / "images").rglob("*.png"):
        image.write_bytes(image.read_bytes()[:40])
    done = lamm_run(tmp_path, f"--seed 1 {SHORT} 1")
    assert done.code == 2
    assert ".png" in done.err
    assert done.err.count("\n") == 1


def test_an_engine_that_can_not_run_is_one_line():
    environment = {**os.environ, "LAMM_ENGINE": "nonsense"}
    command = [sys.executable, str(ROOT / "train.py"), "--trainer", "LAMM"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == 'error: LAMM_ENGINE is "nonsense", but must be one of auto, dassl, embedded\n'


def test_help_names_every_flag_of_dassl(capsys):
    said = train("--help")
    assert said.code == 0
    flags = "root output-dir resume seed source-domains target-domains transforms config-file dataset-config-file"
    flags += " trainer backbone head eval-only model-dir load-epoch no-train"
    for flag in flags.split():
        assert f"--{flag} " in said.out
    assert "KEY VALUE" in said.out


def test_real_clip_without_weights_says_where_to_put_them_before_the_data_are_looked_for(tmp_path):
    environment = {**os.environ, "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, str(ROOT / "train.py"), "--trainer", "LAMM", "--dataset", "caltech101", "--shots", "1"]
    command += ["--root", str(tmp_path / "nowhere"), "--seed", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "MODEL.BACKBONE.PATH" in done.stderr
    assert "ViT-B-16.pt" in done.stderr


@pytest.mark.parametrize(("trainer", "modules"), [("PlainClassifier", []), ("ToyCoOp", ["coop_style.py"])])
def test_a_trainer_written_for_dassl_runs_to_the_end(tmp_path, trainer, modules):
    Path("squares.yaml").write_text("DATASET: {NAME: ColouredSquares}\n")
    Path("quick.yaml").write_text(
        'INPUT: {SIZE: "(16, 16)", TRANSFORMS: ["normalize"]}\n'
        "DATALOADER: {NUM_WORKERS: 0, TRAIN_X: {BATCH_SIZE: 6}}\n"
        "OPTIM: {NAME: sgd, LR: 0.1, LR_SCHEDULER: cosine, MAX_EPOCH: 2, WARMUP_EPOCH: 1, WARMUP_TYPE: constant}\n"
    )
    imports = [str(ROOT / "tests" / "foreign" / name) for name in ("plain_classifier.py", *modules)]
    command = [sys.executable, "-X", "importtime", str(ROOT / "train.py"), "--trainer", trainer, "--seed", "1"]
    command += ["--root", str(tmp_path)]
    command += [word for name in imports for word in ("--import", name)]
    command += ["--dataset-config-file", "squares.yaml", "--config-file", "quick.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    modules = [line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert (done.returncode, len(done.stderr.splitlines())) == (0, len(modules))  # no word of an error
    assert "torch" in modules
    assert not {"sklearn", "scipy", "pandas"} & set(modules)  # a second that no run needs
    folder = f"output/squares/shots_all/{trainer}/quick/seed1"
    assert results(folder).status == "finished"
    assert accuracy_of_coop_parser(Path(folder) / "log.txt") == round(results(folder).metrics["accuracy"], 1)
