"""What holds for every method's checkpoint: what it holds, and what loading it gives back."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.lamm import LabelAlignmentMixin
from lamm_trainers.lamm_gda import GaussianHeadMixin
from torch import Tensor

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.model import ClipModel
from lamm.errors import CheckpointError
from tests.train_command import train
from tests.trainers.learner_cases import LEARNERS, NAMES, Case, batch, disturb, features, on_first_place


def test_saving_and_loading_is_the_identity(case: Case) -> None:
    images, _ = case.batch()
    trained = disturb(case.build())
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    counted, resumed = case.build(), case.build()
    assert not torch.equal(features(counted, images), features(trained, images))
    labels = len(NAMES) if isinstance(counted, LabelAlignmentMixin) else None
    assert load_learned(counted, state, "file") == labels
    resumed.load_state_dict(state)
    for learner in (counted, resumed):
        assert torch.equal(features(learner, images), features(trained, images))


@pytest.mark.parametrize("case", on_first_place(), indirect=True)
def test_a_checkpoint_holds_learned_tensors_and_the_class_names_alone(case: Case) -> None:
    learner = case.build()
    state = learner.state_dict()
    extra = state.pop("_extra_state")
    has_head = isinstance(learner, GaussianHeadMixin)
    head = [*learner.head.named_buffers("head"), ("label_scale", learner.label_scale)] if has_head else []
    learned = dict([*learner.named_parameters(), *head])
    assert set(state) == set(learned)
    assert (extra["class_names"], extra["backbone"]) == (NAMES, "small")
    assert not any(isinstance(value, Tensor) for value in extra.values())
    file = io.BytesIO()
    torch.save(learner.state_dict(), file)
    numbers = sum(value.nbytes for value in learned.values())
    container = 3072 + 512 * len(state)  # an archive's table and five names, and what it says about each tensor
    assert file.tell() <= numbers + container


@pytest.mark.parametrize("aligned_case", on_first_place(["LAMM-single", "CoOp_LAMM-csc-name"]), indirect=True)
def test_the_learned_labels_as_a_bank_are_the_learned_vectors(aligned_case: Case) -> None:
    learner = disturb(aligned_case.build())
    bank = learner.label_bank()
    assert (bank.class_names, bank.backbone) == (NAMES, "small")
    assert torch.equal(bank.embeddings, learner.label_embeddings)
    assert sum(bank.counts) == len(bank.embeddings)


@pytest.mark.parametrize("name", [name for name in LEARNERS if "csc" not in name and "released" not in name])
def test_a_checkpoint_goes_onto_another_class_list_by_name(
    name: str, small_clip: ClipModel, log_lines: list[str]
) -> None:
    images, _ = batch(small_clip, 2)
    trained = disturb(LEARNERS[name](small_clip))
    others = ["owl", "car (red)", "crane"]
    learner = LEARNERS[name](small_clip, others)
    fresh_labels = getattr(learner, "label_embeddings", torch.zeros(0)).detach().clone()
    load_learned(learner, trained.state_dict(), "file")
    got, expected = learner.text_features(images), trained.text_features(images)
    torch.testing.assert_close(got[:, 1], expected[:, 3], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(got[:, 2], expected[:, 0], atol=1e-6, rtol=1e-5)
    if "LAMM" in name:
        assert torch.equal(learner.label_embeddings[0], fresh_labels[0])
        assert any("2 learned, 1 unknown" in line for line in log_lines)


@pytest.mark.parametrize("name", ["CoOp-csc", "CoOp_LAMM-csc-name"])
@pytest.mark.parametrize("others", [[*NAMES[1:], NAMES[0]], ["owl", "bee", "emu", "elk", "cow"]], ids=["moved", "new"])
def test_class_specific_context_never_goes_to_a_class_of_another_name(
    name: str, others: list[str], small_clip: ClipModel
) -> None:
    trained: Any = disturb(LEARNERS[name](small_clip))
    learner: Any = LEARNERS[name](small_clip, others)
    try:
        load_learned(learner, trained.state_dict(), "file")
    except CheckpointError:
        return  # refusing is right too
    for other, context in zip(others, learner.ctx, strict=True):
        sources = {own for own, vectors in zip(NAMES, trained.ctx, strict=True) if torch.equal(vectors, context)}
        assert sources <= {other}


@pytest.mark.parametrize(
    ("trained", "tested", "said"),
    [
        (
            {"context_init": "a photo of a"},
            {"context_init": "a drawing of a"},
            "words 'a photo of a' .this run: 'a dra",
        ),
        ({"n_ctx": 3}, {"n_ctx": 3, "position": "front"}, "position 'end' .this run: 'front'"),
        ({"n_ctx": 3}, {"n_ctx": 3, "position": "middle"}, "position 'end' .this run: 'middle'"),
    ],
)
def test_tensors_that_fit_another_prompt_are_refused(
    trained: dict[str, Any], tested: dict[str, Any], said: str, small_clip: ClipModel
) -> None:
    state = CoOpLearner(small_clip, NAMES, **trained).state_dict()
    with pytest.raises(CheckpointError, match=f"trained with another prompt: {said}"):
        load_learned(CoOpLearner(small_clip, NAMES, **tested), state, "file")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("label_embeddings", 5, "label_embeddings"),
        ("label_embeddings", torch.ones(3, dtype=torch.long), "label_embeddings"),
        ("label_embeddings", torch.full((5, 128), float("nan")), "not finite"),
        ("_extra_state", 5, "damaged"),
        ("_extra_state", {"class_names": 5}, "damaged"),
        ("_extra_state", {"class_names": ["a", 5]}, "damaged"),
        ("_extra_state", {"class_names": ["a", "b"], "label_counts": [10**30, -1]}, "damaged"),
        ("_extra_state", {"class_names": ["a", "b"]}, "damaged"),
        ("_extra_state", {"prompt": {"words": torch.ones(2)}}, "damaged"),
        ("_extra_state", {"backbone": "x" * 1000}, "damaged"),
    ],
)
def test_what_a_checkpoint_says_is_checked_before_it_is_used(
    name: str, value: Any, said: str, small_clip: ClipModel
) -> None:
    learner = LEARNERS["LAMM-name"](small_clip)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_learned(learner, {**learner.state_dict(), name: value}, "file")
    assert "\n" not in str(caught.value)


# How many classes of an evaluation have a learned label, and how many CLIP's own.


@pytest.fixture(scope="module")
def base_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LAMM on the first five digits."""
    folder = tmp_path_factory.mktemp("counted")
    line = f"--trainer LAMM --dataset digits --shots 1 --seed 1 --root {folder}/data --output-dir {folder}/run"
    done = train(f"{line} OPTIM.MAX_EPOCH 1 DATASET.SUBSAMPLE_CLASSES base")
    assert done.code == 0, done.err
    return folder / "run"


@pytest.mark.parametrize(("subset", "learned", "from_clip"), [("base", 5, 0), ("new", 0, 5), ("all", 5, 5)])
def test_an_evaluation_records_whose_labels_its_classes_have(
    base_run: Path, tmp_path: Path, subset: str, learned: int, from_clip: int
) -> None:
    line = f"--trainer LAMM --dataset digits --shots 1 --seed 1 --root {base_run.parent}/data --output-dir {tmp_path}"
    done = train(f"{line} --eval-only --model-dir {base_run} DATASET.SUBSAMPLE_CLASSES {subset}")
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "results.json").read_text())["metrics"]
    assert (metrics["labels_learned"], metrics["labels_from_clip"]) == (learned, from_clip)


def test_a_training_run_has_no_such_counts(base_run: Path) -> None:
    assert "labels_learned" not in json.loads((base_run / "results.json").read_text())["metrics"]
