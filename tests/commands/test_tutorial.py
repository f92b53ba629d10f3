"""docs/adding_a_prompt_learner.md: its code runs as it stands, and its commands mean something."""

import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from lamm_trainers import extend_cfg
from lamm_trainers.lamm import AlignmentSettings

from lamm.engine import TRAINER_REGISTRY
from lamm.engine.foreign import import_file_or_module
from lamm.results.schema import RunResults
from lamm.run.arguments import train_parser
from lamm.run.plan import plan_run
from tests.reference.whole_prompt import encode_texts
from tests.train_command import ROOT, train

TUTORIAL = (ROOT / "docs" / "adding_a_prompt_learner.md").read_text(encoding="utf-8")
PARTS = {
    "NearCoOp": ["loss_ce", "loss_near"],
    "NearCoOp_LAMM": ["loss_ce", "loss_near", "loss_wc", "loss_cos", "loss_kd"],
}
NAMES = ["crane", "german_shepherd", "C++"]
WORDS = "a photo of a"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TUTORIAL, re.DOTALL | re.MULTILINE)


def commands():
    lines = "".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def nearcoop(tmp_path_factory):
    """The tutorial's file, imported as `--import` does; its trainers are unregistered in the end."""
    file = tmp_path_factory.mktemp("tutorial") / "nearcoop.py"
    file.write_text(blocks("python")[0], encoding="utf-8")
    before = {name: list(getattr(sys, name)) for name in ("path", "meta_path", "modules")}
    yield import_file_or_module(str(file))
    sys.path[:], sys.meta_path[:] = before["path"], before["meta_path"]
    for name in [name for name in sys.modules if name.split(".")[0] in ("dassl", "nearcoop")]:
        if name not in before["modules"]:
            del sys.modules[name]
    for table in vars(TRAINER_REGISTRY).values():
        for name in PARTS if isinstance(table, dict) else ():
            table.pop(name, None)


@pytest.fixture
def folder(tmp_path, monkeypatch, nearcoop):
    """A working directory with the tutorial's file and `configs/`."""
    (tmp_path / "nearcoop.py").symlink_to(nearcoop.__file__)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    return tmp_path


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    return tmp_path_factory.mktemp("tutorial_data")


def both(nearcoop, clip, **settings):
    """NearCoOp's learner, and the one with LAMM."""
    alignment = AlignmentSettings(**settings)
    return (
        nearcoop.NearCoOpLearner(clip, NAMES, context_init=WORDS),
        nearcoop.NearCoOpLAMMLearner(clip, NAMES, context_init=WORDS, alignment=alignment),
    )


def test_the_file_is_complete_in_under_forty_lines():
    file, _ = blocks("python")
    assert len(file.splitlines()) < 40
    assert {"NearCoOpLearner", "NearCoOpLAMMLearner", "NearCoOp", "NearCoOp_LAMM"} == set(
        re.findall(r"^class (\w+)", file, re.M)
    )


@pytest.mark.parametrize("trainer", PARTS)
def test_the_file_runs_from_the_command_line_with_its_penalty_in_the_log(trainer, folder, data_root):
    config = f"configs/trainers/{trainer.replace('NearCoOp', 'CoOp')}/tiny_ep50.yaml"
    line = f"--import nearcoop.py --trainer {trainer} --dataset digits --shots 1 --seed 1 --root {data_root}"
    # The first step is the warm-up's, at a rate near 0; a third one follows a step that moved the context.
    done = train(f"{line} --config-file {config} --output-dir o TEST.SPLIT val OPTIM.MAX_EPOCH 3")
    assert (done.code, done.err) == (0, "")
    made = RunResults.read(Path("o/results.json"))
    assert (made.status, made.trainer, made.shots) == ("finished", trainer, 1)
    steps = [line for line in Path("o/log.txt").read_text().splitlines() if line.startswith("epoch [")]
    parts = [{name: float(value) for name, value in re.findall(r"\b(loss\w*) (\S+) \(", step)} for step in steps]
    assert [list(step) for step in parts] == [["loss", *PARTS[trainer]]] * 3
    assert parts[-1]["loss_near"] > 0
    for step in parts:
        assert step["loss"] == pytest.approx(sum(step[name] for name in PARTS[trainer]), abs=5e-4)  # four decimals


def test_the_check_at_the_end_of_the_tutorial_holds(nearcoop):
    exec(compile(blocks("python")[1], "tutorial", "exec"), {})


def test_every_command_of_the_tutorial_is_one_that_can_be_given(folder, nearcoop):
    def keys(cfg):
        nearcoop.extend_cfg(cfg)
        extend_cfg(cfg)

    planned = {}
    for python, *words in commands():
        assert python == "python"
        if words[:2] == ["-m", "pytest"]:
            assert all((ROOT / path).exists() for path in words[2:])
            continue
        assert (ROOT / words[0]).is_file()
        if words[0] == "tools/parse_results.py":
            assert all(path.startswith(f"{words[1]}/") for path in planned)
            continue
        assert words[0] == "train.py"
        arguments = train_parser().parse_args(words[1:])
        assert arguments.imports == ["nearcoop.py"]
        assert Path(arguments.config_file).is_file()
        if arguments.eval_only:
            # The folder that it reads is the one that a command above it writes.
            assert planned[arguments.model_dir] == (arguments.trainer, arguments.config_file)
            Path(arguments.model_dir).mkdir(parents=True)
        plan = plan_run(arguments, keys)
        planned[str(plan.output_dir)] = (plan.trainer, arguments.config_file)
    trained = [path.removeprefix("output/digits/shots_4/") for path in planned if "/evaluation/" not in path]
    aligned = [f"NearCoOp_LAMM/{config}/seed1" for config in ("tiny_ep50", named_folder())]
    assert trained == ["NearCoOp/tiny_ep50/seed1", *aligned]
    assert len(planned) == 4


def named_folder():
    """The folder that the text says an override leads to."""
    (name,) = re.findall(r"`(tiny_ep50\+\S+)`", TUTORIAL)
    return name


def test_files_and_methods_that_the_text_names_exist(nearcoop):
    for path in re.findall(r"`((?:tests|trainers|configs|tools)/[\w./]*)`", TUTORIAL):
        assert (ROOT / path).exists(), path
    for method in re.findall(r"^\| `(\w+)\(", TUTORIAL, re.MULTILINE):
        assert callable(getattr(nearcoop.NearCoOpLearner, method)), method


def test_a_fresh_nearcoop_with_lamm_equals_nearcoop(nearcoop, small_clip):
    base, aligned = both(nearcoop, small_clip)
    torch.testing.assert_close(aligned.text_features(), base.text_features(), atol=1e-6, rtol=1e-6)


def test_the_hand_written_prompts_are_clips_own_and_in_no_checkpoint(nearcoop, small_model, small_clip):
    expected = encode_texts(small_model, [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES])
    for learner, learned in zip(both(nearcoop, small_clip), ({"ctx"}, {"ctx", "label_embeddings"}), strict=True):
        torch.testing.assert_close(learner.hand_written[0], expected, atol=1e-6, rtol=1e-6)
        assert set(learner.state_dict()) - {"_extra_state"} == learned
        assert {name for name, _ in learner.named_parameters()} == learned


def parts_of(learner, weight):
    """The parts of the loss on random images, with the penalty's weight set."""
    learner.weight = weight
    image = torch.nn.functional.normalize(torch.randn(2, learner.clip.embed_dim), dim=-1)
    text = learner.text_features()
    return learner.loss_parts(text, image, 20 * image @ text[0].T, torch.tensor([0, 2]), 4.0)


def test_the_penalty_is_the_mean_squared_distance_and_twice_lamms_feature_loss(nearcoop, small_clip):
    base, aligned = both(nearcoop, small_clip)
    with torch.no_grad():
        for learner in (base, aligned):
            learner.ctx += 0.1 * torch.randn(learner.ctx.shape, generator=torch.Generator().manual_seed(1))
        aligned.label_embeddings *= -1
    for learner in (base, aligned):
        pairs = zip(learner.text_features()[0], learner.hand_written[0], strict=True)
        distances = [sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) for pair in pairs]
        expected = 3.0 * (sum(distances) / len(NAMES)).item()
        assert parts_of(learner, 3.0)["loss_near"].item() == pytest.approx(expected, rel=1e-4)
    parts = parts_of(aligned, 1.0)
    assert parts["loss_cos"].item() > 0.01
    assert parts["loss_near"].item() == pytest.approx(2 * parts["loss_cos"].item(), rel=1e-4)
