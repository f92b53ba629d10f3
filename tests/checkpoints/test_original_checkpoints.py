"""Checkpoints in the layout of the original CoOp, CoCoOp, MaPLe and LAMM code, and what they are refused for.

Letters: N classes, C context vectors, m label vectors a class, D text width, W image width, E embedding size.
"""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from lamm_trainers import LAMM, CoCoOp, CoOp, CoOp_LAMM, MaPLe, MaPLe_LAMM
from lamm_trainers.cocoop import CoCoOpLAMMLearner, CoCoOpLearner
from lamm_trainers.coop import CoOpLAMMLearner, CoOpLearner
from lamm_trainers.lamm import AlignmentSettings, LAMMLearner
from lamm_trainers.maple import MaPLeLAMMLearner, MaPLeLearner
from torch import Tensor

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.model import ClipModel
from lamm.errors import CheckpointError
from lamm.log import logger
from tests.checkpoints.original_files import (
    State,
    cocoop_file,
    coop_file,
    labels_file,
    lamm_file,
    maple_file,
    random_half,
)

NAMES = ["polar bear", "german_shepherd", "fire truck"]  # two sub-tokens each
SHORT = ["bear", "german_shepherd", "fire truck"]  # at least one
WORDS = "a photo of a"
RELEASED = AlignmentSettings(label_tokens="released")


def coop(clip: ClipModel, names: list[str] = NAMES, **options: Any) -> Any:
    return CoOpLearner(clip, names, **{"context_init": WORDS, **options})


def csc(clip: ClipModel, names: list[str] = NAMES) -> Any:
    return CoOpLearner(clip, names, n_ctx=4, class_specific=True)


def cocoop(clip: ClipModel, names: list[str] = NAMES) -> Any:
    return CoCoOpLearner(clip, names, context_init=WORDS)


def maple(clip: ClipModel, names: list[str] = NAMES, **options: Any) -> Any:
    return MaPLeLearner(clip, names, **{"prompt_depth": 2, **options})


def lamm(clip: ClipModel, names: list[str] = NAMES, alignment: AlignmentSettings = RELEASED) -> Any:
    return LAMMLearner(clip, names, alignment=alignment)


def coop_lamm(clip: ClipModel, names: list[str] = NAMES, alignment: AlignmentSettings = RELEASED) -> Any:
    return CoOpLAMMLearner(clip, names, context_init=WORDS, alignment=alignment)


def cocoop_lamm(clip: ClipModel, names: list[str] = NAMES) -> Any:
    return CoCoOpLAMMLearner(clip, names, context_init=WORDS, alignment=RELEASED)


def maple_lamm(clip: ClipModel, names: list[str] = NAMES) -> Any:
    return MaPLeLAMMLearner(clip, names, prompt_depth=2, alignment=RELEASED)


# Learner, file, how the log calls what it holds, tensors taken and ignored.
CASES: dict[str, tuple[Callable[..., Any], Callable[[ClipModel], State], str, int, int]] = {
    "CoOp": (coop, coop_file, "CoOp", 1, 2),
    "CoOp-csc": (csc, lambda clip: coop_file(clip, csc=True), "CoOp", 1, 2),
    "CoCoOp": (cocoop, cocoop_file, "CoCoOp", 5, 2),
    "MaPLe": (maple, maple_file, "MaPLe", 6, 6),
    "LAMM": (lamm, lamm_file, "LAMM", 1, 5),
    "CoOp_LAMM": (coop_lamm, lambda clip: {**coop_file(clip), **labels_file(clip)}, "CoOp_LAMM", 2, 4),
    "CoCoOp_LAMM": (cocoop_lamm, lambda clip: {**cocoop_file(clip), **labels_file(clip)}, "CoCoOp_LAMM", 6, 4),
    "MaPLe_LAMM": (maple_lamm, lambda clip: maple_file(clip, m=1), "MaPLe_LAMM", 7, 8),
}


@torch.no_grad()
def set_by_hand(learner: Any, file: State) -> Any:
    """Puts each tensor of a file where its method has it."""
    inside = {name.removeprefix("prompt_learner."): value.float() for name, value in file.items()}
    if "ctx" in inside and hasattr(learner, "ctx"):
        learner.ctx.copy_(inside["ctx"])
    if "meta_net.linear1.weight" in inside:
        for linear in ("linear1", "linear2"):
            getattr(learner.meta_net, linear).weight.copy_(inside[f"meta_net.{linear}.weight"])
            getattr(learner.meta_net, linear).bias.copy_(inside[f"meta_net.{linear}.bias"])
    if "proj.weight" in inside:
        learner.proj.weight.copy_(inside["proj.weight"])
        learner.proj.bias.copy_(inside["proj.bias"])
        for layer, (prompt, coupling) in enumerate(
            zip(learner.compound_prompts_text, learner.compound_prompt_projections, strict=True)
        ):
            prompt.copy_(inside[f"compound_prompts_text.{layer}"])
            coupling.weight.copy_(inside[f"compound_prompt_projections.{layer}.weight"])
            coupling.bias.copy_(inside[f"compound_prompt_projections.{layer}.bias"])
    for label, vectors in enumerate(inside.get("token_classes", [])):
        for place, vector in enumerate(vectors):
            learner.label_embeddings[label * len(vectors) + place] = vector
    return learner


@torch.no_grad()
def outputs(learner: Any) -> list[Tensor]:
    """The text features, of two images where they depend on these, and the vision prompts."""
    generator = torch.Generator().manual_seed(4)
    images = F.normalize(torch.randn(2, learner.clip.embed_dim, generator=generator), dim=-1)
    vision = learner.vision_prompts()
    return [learner.text_features(images), *([] if vision is None else [vision.first, *vision.deep])]


def assert_equal_outputs(got: Any, expected: Any) -> None:
    for one, other in zip(outputs(got), outputs(expected), strict=True):
        assert torch.equal(one, other)


def refused(learner: Any, state: State, message: str) -> None:
    """Loading is an error, and changes nothing."""
    before = {name: value.clone() for name, value in learner.named_parameters()}
    with pytest.raises(CheckpointError, match=message) as caught:
        load_learned(learner, state, "file.tar")
    assert "file.tar" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in learner.named_parameters())


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_the_original_code_gives_the_learner_that_it_was(
    case: str, prefix: str, small_clip: ClipModel, log_lines: list[str]
) -> None:
    build, make, method, taken, ignored = CASES[case]
    file = make(small_clip)
    learner, expected = build(small_clip), set_by_hand(build(small_clip), file)
    assert not torch.equal(outputs(learner)[0], outputs(expected)[0])
    load_learned(learner, {prefix + name: value for name, value in file.items()}, "file.tar")
    assert_equal_outputs(learner, expected)
    assert all(value.dtype == torch.float32 for value in learner.parameters())
    said = f"file.tar is a checkpoint of the original code with the tensors of {method}: "
    assert said + f"{taken} taken, {ignored} ignored" in log_lines
    per_class = "LAMM" in case or "csc" in case
    assert any("could not be checked: its 3 classes" in line for line in log_lines) == per_class


@pytest.mark.parametrize("case", CASES)
def test_a_file_of_ours_is_never_taken_for_one_of_the_original_code(
    case: str, small_clip: ClipModel, log_lines: list[str]
) -> None:
    build, make, *_ = CASES[case]
    trained, learner = set_by_hand(build(small_clip), make(small_clip)), build(small_clip)
    load_learned(learner, trained.state_dict(), "file.tar")
    assert_equal_outputs(learner, trained)
    assert not any("original code" in line for line in log_lines)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_label_vectors_stand_class_after_class(dimensions: int, small_clip: ClipModel) -> None:
    moved = [NAMES[2], NAMES[0], NAMES[1]]
    words = lamm(small_clip, moved)
    assert words.label_counts == [2, 2, 2]
    vectors = words.initial_embeddings.reshape(3, 2, small_clip.text.width)
    learner = lamm(small_clip)
    # The vectors of a class are the words of the class before it, so it gets that one's features.
    load_learned(learner, {"token_classes": vectors if dimensions == 3 else vectors.flatten(0, 1)}, "file.tar")
    torch.testing.assert_close(outputs(learner)[0], outputs(words)[0], atol=1e-6, rtol=1e-6)


def test_one_label_vector_a_class_needs_no_dimension_for_it(small_clip: ClipModel) -> None:
    learner = lamm(small_clip, SHORT)
    vectors = random_half(3, small_clip.text.width)
    load_learned(learner, {"token_classes": vectors}, "file.tar")
    assert torch.equal(learner.label_embeddings, vectors.float())


@pytest.mark.parametrize("position", ["end", "middle"])
def test_names_that_the_original_code_cuts_elsewhere_are_told(
    position: str, small_clip: ClipModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    monkeypatch.setattr(logger, "warning", lambda message, *arguments: names.extend(arguments))
    load_learned(coop(small_clip, ["C++", "bear"], position=position), coop_file(small_clip, 2), "file.tar")
    assert names == (["C++"] if position == "middle" else [])


def test_shared_context_goes_onto_another_number_of_classes(small_clip: ClipModel) -> None:
    file = coop_file(small_clip, classes=7)
    learner = coop(small_clip)
    load_learned(learner, file, "file.tar")
    assert torch.equal(learner.ctx, file["ctx"].float())


def test_a_file_of_another_method_is_refused(small_clip: ClipModel) -> None:
    files = {name: make(small_clip) for name, (_, make, *_) in CASES.items()}
    other = "but this learner has .*: it was made by another method; use --trainer"
    refused(maple(small_clip), files["CoOp"], f"holds ctx, {other} CoOp$")
    refused(coop(small_clip), files["MaPLe"], rf"holds compound_prompt_projections\.\*\.bias, .*, {other} MaPLe$")
    refused(coop(small_clip), files["CoCoOp"], f"{other} CoCoOp$")
    refused(cocoop(small_clip), files["CoOp"], f"{other} CoOp$")
    refused(coop_lamm(small_clip), labels_file(small_clip), f"holds label_embeddings, {other} LAMM$")
    refused(lamm(small_clip), files["CoOp_LAMM"], f"{other} CoOp_LAMM$")
    refused(coop(small_clip), files["CoOp_LAMM"], f"{other} CoOp_LAMM$")
    refused(maple(small_clip), files["MaPLe_LAMM"], f"{other} MaPLe_LAMM$")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"prompt_learner.ctx_vision": torch.zeros(1)}, "holds ctx_vision, which neither our code nor that of CoOp"),
        ({"prompt_learner.ctx": torch.zeros(4, 32), "image_encoder.a": torch.zeros(1)}, "inside the towers can't be"),
        ({"token_prefix": torch.zeros(3, 1, 32)}, "holds token_prefix, which neither"),
        ({}, "holds nothing, which neither"),
    ],
    ids=["unknown name", "prompts in the towers", "buffers alone", "nothing"],
)
def test_what_no_known_method_learns_is_refused(extra: State, message: str, small_clip: ClipModel) -> None:
    refused(coop(small_clip), extra, message)


def test_another_width_is_another_backbone(small_clip: ClipModel) -> None:
    refused(
        coop(small_clip), {"ctx": random_half(4, 48)}, 'another backbone: "ctx" is 48 wide, small takes 32; set MOD'
    )
    labels = {"token_classes": random_half(3, 2, 48)}
    refused(lamm(small_clip), labels, 'another backbone: "label_embeddings" is 48 wide, small takes 32')
    vision = small_clip.vision_sizes.width
    file = {**maple_file(small_clip), "prompt_learner.proj.weight": random_half(vision + 8, 32)}
    refused(maple(small_clip), file, f'backbone: "proj.weight" is {vision + 8} x 32 wide, small takes {vision} x 32')
    network = {**cocoop_file(small_clip), "meta_net.linear1.weight": random_half(8, 128)}
    refused(cocoop(small_clip), network, 'backbone: "meta_net.linear1.weight" is 8 x 128 wide, small takes 4 x 64')


def test_another_start_token_is_another_backbone_of_the_same_width(small_clip: ClipModel) -> None:
    message = "trained with another backbone than small: the start token's embedding"
    for case, name in {"CoOp": "token_prefix", "LAMM": "token_prefix", "MaPLe": "prompt_learner.token_prefix"}.items():
        build, make, *_ = CASES[case]
        file = make(small_clip)
        refused(build(small_clip), {**file, name: file[name].roll(1, dims=-1)}, message)


def test_another_number_of_classes_is_refused_where_tensors_belong_to_classes(small_clip: ClipModel) -> None:
    message = "was trained on 5 classes, this run has 3: the original code saves no class names, so {} can only"
    refused(lamm(small_clip), labels_file(small_clip, classes=5), message.format("label_embeddings"))
    refused(csc(small_clip), coop_file(small_clip, classes=5, csc=True), message.format("ctx"))
    flat = {"token_classes": random_half(5, 32)}
    refused(lamm(small_clip), flat, "holds 5 label vectors, this run takes 6, 2 for each of its 3 classes")


def test_another_number_of_label_vectors_is_refused(small_clip: ClipModel) -> None:
    message = (
        "holds 3 label vectors, this run takes 6, 2 for each of its 3 classes .*: use the class list of the training"
    )
    refused(lamm(small_clip), labels_file(small_clip, m=1), message)


@pytest.mark.parametrize("tokens", ["name", "single"])
def test_original_labels_need_the_released_label_tokens(tokens: str, small_clip: ClipModel) -> None:
    learner = lamm(small_clip, alignment=AlignmentSettings(label_tokens=tokens))
    message = f'token_classes .* belong to LABEL_TOKENS "released"; this run has "{tokens}": use the config .*_released'
    refused(learner, labels_file(small_clip), message)


def test_a_learner_without_alignment_refuses_labels(small_clip: ClipModel) -> None:
    file = {**coop_file(small_clip), **labels_file(small_clip)}
    refused(coop(small_clip), file, "another method; use --trainer CoOp_LAMM")


def test_another_depth_or_number_of_context_vectors_of_maple_is_named(small_clip: ClipModel) -> None:
    depth = "trained with PROMPT_DEPTH 1, this run has PROMPT_DEPTH 2: set TRAINER.MAPLE.PROMPT_DEPTH to 1"
    context = (
        r'"(ctx|compound_prompts_text.0)" is \(3, 32\), .* takes \(2, 32\): use the N_CTX and CTX_INIT of the train'
    )
    refused(maple(small_clip), maple_file(small_clip, depth=1), depth)
    refused(maple(small_clip), maple(small_clip, prompt_depth=1).state_dict(), depth)
    refused(maple(small_clip), maple_file(small_clip, n_ctx=3), context)
    refused(maple(small_clip), maple(small_clip, n_ctx=3).state_dict(), context)


def test_couplings_without_prompts_are_a_damaged_file(small_clip: ClipModel) -> None:
    file = maple_file(small_clip)
    del file["prompt_learner.compound_prompt_projections.0.bias"]
    refused(maple(small_clip), file, "damaged: the prompts of its layers don't pair up")


def test_another_kind_of_context_of_coop_is_named(small_clip: ClipModel) -> None:
    refused(
        coop(small_clip), coop_file(small_clip, n_ctx=6), r"\(6, 32\), .*: use the N_CTX and CTX_INIT of the training"
    )
    refused(coop(small_clip), coop_file(small_clip, csc=True), r"\(3, 4, 32\), .*: use the CSC setting of the training")


@pytest.mark.parametrize("build", [lamm, coop_lamm, cocoop_lamm, maple_lamm])
def test_released_labels_of_ours_go_by_class_name_onto_a_list_with_as_many_vectors(
    build: Any, small_clip: ClipModel, log_lines: list[str]
) -> None:
    trained = build(small_clip)
    with torch.no_grad():
        trained.label_embeddings.mul_(-2)
    learner = build(small_clip, ["fire truck", "sea lion", "polar bear"])
    load_learned(learner, trained.state_dict(), "file.tar")
    own, learned = learner.label_bank().by_class(), trained.label_bank().by_class()
    assert torch.equal(own[0], learned[2])
    assert torch.equal(own[1], learner.initial_embeddings.split(learner.label_counts)[1])
    assert torch.equal(own[2], learned[0])
    assert "Labels matched by class name: 2 learned, 1 unknown to the checkpoint start from CLIP's own" in log_lines


@pytest.mark.parametrize(("trained", "tested", "held", "taken"), [(NAMES, SHORT, 2, 1), (SHORT, NAMES, 1, 2)])
@pytest.mark.parametrize("build", [lamm, coop_lamm, cocoop_lamm])
def test_released_labels_of_ours_are_refused_where_the_shortest_name_has_another_length(
    build: Any, trained: list[str], tested: list[str], held: int, taken: int, small_clip: ClipModel
) -> None:
    state = build(small_clip, trained).state_dict()
    message = f"has {held} label vectors per class, this class list takes {taken}: LABEL_TOKENS .* where that is {held}"
    refused(build(small_clip, tested), state, message)


def save_as_dassl(state: State, path: Path) -> None:
    """Writes a file whose scheduler is a pickled object, as a run with warm-up leaves it."""
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.002, momentum=0.9)
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50.0)
    checkpoint = {
        "state_dict": OrderedDict(state),
        "epoch": 50,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"cons_lr": 1e-5, "successor": successor, "warmup_epoch": 1, "last_epoch": 50, "_last_lr": [0.0]},
        "val_result": None,
    }
    path.parent.mkdir(parents=True)
    torch.save(checkpoint, path)


@pytest.mark.parametrize(
    ("trainer", "folder", "make", "overrides"),
    [
        (CoOp, "prompt_learner", coop_file, ["TRAINER.COOP.CTX_INIT", WORDS]),
        (MaPLe, "MultiModalPromptLearner", maple_file, ["TRAINER.MAPLE.PROMPT_DEPTH", 2]),
    ],
    ids=["CoOp", "MaPLe"],
)
def test_a_trainer_loads_a_file_that_holds_a_pickled_scheduler(
    trainer: Any,
    folder: str,
    make: Any,
    overrides: list[Any],
    squares_config: Callable[..., Any],
    small_clip: ClipModel,
    tmp_path: Path,
    log_lines: list[str],
) -> None:
    file = make(small_clip)
    path = tmp_path / "theirs" / folder / "model.pth.tar-50"
    save_as_dassl(file, path)
    run = trainer(squares_config(trainer.__name__, "run", *overrides))
    run.load_model(str(tmp_path / "theirs"), epoch=50)
    inside = {name.removeprefix("prompt_learner."): value for name, value in file.items()}
    for name, value in run.learner.named_parameters():
        assert torch.equal(value, inside[name].float())
    assert f'Loading weights to {folder} from "{path}" (epoch = 50)' in log_lines
    assert any(f"{path} is a checkpoint of the original code" in line for line in log_lines)
    assert 0 <= run.test() <= 100


@pytest.mark.parametrize("trainer", [LAMM, CoOp, CoOp_LAMM, CoCoOp, MaPLe, MaPLe_LAMM])
def test_a_trainer_looks_in_the_folder_of_the_original_code(trainer: Any) -> None:
    folder = "MultiModalPromptLearner" if "MaPLe" in trainer.__name__ else "prompt_learner"
    assert trainer.registered_name == folder


def test_a_learned_context_in_a_file_is_not_taken_for_the_fixed_words(small_clip: ClipModel) -> None:
    learner = lamm(small_clip)
    refused(learner, {**labels_file(small_clip), "ctx": -learner.words.half()}, "use --trainer CoOp_LAMM")
