"""Class-incremental learning: what stays, what is handed on, and that every set is scored as it should be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from lamm_trainers.top_lamm import TopLAMMLearner

from lamm.checkpoints.by_class_name import EXTRA
from lamm.checkpoints.label_bank import LabelBank
from lamm.checkpoints.original_code import LABELS
from lamm.engine.embedded.decoding import read_image
from lamm.errors import CheckpointError, ConfigError
from lamm.incremental.step import freeze_labels
from lamm.results.schema import STAGE
from tests.incremental.incremental_runs import NAMES, TRAINERS, built, checkpoint_of, planned, trained, values_of

ALIGNED = [name for name in TRAINERS if "LAMM" in name]
NOTHING_SHARED = ["ZeroshotCLIP", "LAMM", "TopLAMM"]  # or nothing that later sets change
LEARNS_CONTEXT = [name for name in TRAINERS if name not in NOTHING_SHARED]


class TwoSteps(NamedTuple):
    first: Any
    labels_after_first: bytes
    text_after_first: torch.Tensor | None
    second: Any


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("incremental") / "data"


@pytest.fixture(scope="module")
def two_steps(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TwoSteps]:
    """(trainer) → its two steps, run once."""
    made: dict[str, TwoSteps] = {}

    def run(name: str) -> TwoSteps:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            first = trained(name, root, folder, 1)
            file = folder / "step1" / "labels.safetensors"
            labels = file.read_bytes() if file.exists() else b""
            with torch.no_grad():
                text = None if first.learner.per_image else first.learner.text_features().clone()
            made[name] = TwoSteps(first, labels, text, trained(name, root, folder, 2))
        return made[name]

    return run


@pytest.mark.parametrize("name", TRAINERS)
def test_each_step_has_its_half_of_the_classes_and_tests_every_set(name: str, two_steps: Any) -> None:
    first, _, _, second = two_steps(name)
    assert [list(trainer.dm.dataset.classnames) for trainer in (first, second)] == [NAMES[:5], NAMES[5:]]
    assert list(first.further_metrics)[:3] == ["set1_accuracy", "set1_accuracy_seen", "stage_accuracy"]
    both = [*(f"set{s}_accuracy{b}" for s in (1, 2) for b in ("", "_seen")), STAGE]
    assert list(second.further_metrics)[:5] == both
    assert first.further_metrics["set1_accuracy"] == first.further_metrics["set1_accuracy_seen"] == first.test()
    assert second.further_metrics["set2_accuracy"] == second.test()


@pytest.mark.parametrize("name", TRAINERS)
def test_the_numbers_are_those_of_one_learner_over_all_classes(name: str, two_steps: Any) -> None:
    first, _, _, second = two_steps(name)
    learner = second.build_learner(second.clip, NAMES).eval()
    if name != "ZeroshotCLIP":
        states = [checkpoint_of(trainer.cfg) for trainer in (first, second)]
        per_class = {LABELS, *learner.per_class_tensors()}
        own = learner.state_dict()
        own.pop("_extra_state")
        with torch.no_grad():
            for key, tensor in own.items():
                value = torch.cat([state[key] for state in states]) if key in per_class else states[1][key]
                tensor.copy_(states[0][key] + value if key == "head.outer" else value)
            learner.join()
    expected, images, right = {}, 0, 0
    for number, start in ((1, 0), (2, 5)):
        own = seen = 0
        items = (first if number == 1 else second).dm.dataset.val
        for item in items:
            image = second.test_loader.dataset.transform(read_image(item.impath))[None]
            with torch.no_grad():
                feature = learner.image_features(image)
                cosines = learner.scores(feature, learner.text_features(feature))[0]
            own += int(cosines[start : start + 5].argmax()) == item.label
            seen += int(cosines.argmax()) == item.label + start
        expected |= {
            f"set{number}_accuracy": own / len(items) * 100,
            f"set{number}_accuracy_seen": seen / len(items) * 100,
        }
        images, right = images + len(items), right + seen
    expected[STAGE] = right / images * 100
    assert {key: second.further_metrics[key] for key in expected} == pytest.approx(expected)


@pytest.mark.parametrize("name", NOTHING_SHARED)
def test_where_the_context_is_frozen_an_earlier_set_falls_by_nothing(name: str, two_steps: Any) -> None:
    first, _, text, second = two_steps(name)
    assert first.further_metrics["set1_accuracy"] - second.further_metrics["set1_accuracy"] == 0.0
    (earlier,) = second.incremental.earlier
    with torch.no_grad():
        assert torch.equal(earlier.text_features(), text)


@pytest.mark.parametrize("name", ALIGNED)
def test_the_labels_of_an_earlier_set_are_the_same_bits(name: str, two_steps: Any) -> None:
    first, labels, _, second = two_steps(name)
    (earlier,) = second.incremental.earlier
    assert (Path(first.cfg.OUTPUT_DIR) / "labels.safetensors").read_bytes() == labels
    assert torch.equal(earlier.label_embeddings, first.learner.label_embeddings)
    assert LABELS not in dict(earlier.named_parameters())
    assert LABELS in dict(earlier.named_buffers())
    assert list(LabelBank.load(Path(second.cfg.OUTPUT_DIR) / "labels.safetensors").class_names) == NAMES[5:]
    assert checkpoint_of(second.cfg)[EXTRA]["class_names"] == NAMES[5:]


@pytest.mark.parametrize("name", LEARNS_CONTEXT)
def test_a_step_starts_from_the_context_of_the_step_before_and_from_clips_labels(
    name: str, two_steps: Any, root: Path
) -> None:
    first, _, _, second = two_steps(name)
    started = built(planned(name, root, Path(second.cfg.OUTPUT_DIR).parent, 2))
    for key, value in values_of(started.learner).items():
        expected = started.learner.initial_embeddings if key == LABELS else dict(first.learner.named_parameters())[key]
        assert torch.equal(value, expected)


@pytest.mark.parametrize("name", LEARNS_CONTEXT)
def test_earlier_sets_are_scored_with_the_context_as_it_is_now(name: str, two_steps: Any) -> None:
    second = two_steps(name).second
    (earlier,) = second.incremental.earlier
    current = dict(second.learner.named_parameters())
    shared = dict(earlier.named_parameters())
    assert shared.keys() == current.keys() - {LABELS}
    assert all(parameter is current[key] for key, parameter in shared.items())


@pytest.mark.parametrize("name", ["LAMM", "CoOp_LAMM", "MaPLe_LAMM", "TopLAMM"])
def test_weight_decay_and_negatives_move_no_earlier_label(name: str, two_steps: Any, root: Path) -> None:
    first = two_steps(name).first
    folder = Path(first.cfg.OUTPUT_DIR).parent
    options = "OPTIM.WEIGHT_DECAY 0.5 OPTIM.MAX_EPOCH 5 INCREMENTAL.SEEN_AS_NEGATIVES True TEST.NO_TEST True"
    cfg = planned(name, root, folder, 2, options).clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = str(folder / "step2_decayed")
    trainer = built(cfg)
    (earlier,) = trainer.incremental.earlier
    before = earlier.label_embeddings.clone()
    own = trainer.learner.label_embeddings.detach().clone()
    trainer.train()
    assert torch.equal(before, first.learner.label_embeddings)
    assert torch.equal(earlier.label_embeddings, before)
    assert not torch.equal(trainer.learner.label_embeddings, own)
    held = {p.data_ptr() for group in trainer.optim.param_groups for p in group["params"]}
    assert earlier.label_embeddings.data_ptr() not in held


@pytest.mark.parametrize("name", ["CoOp_LAMM", "MaPLe"])
def test_a_step_resumed_in_the_middle_is_the_uninterrupted_one(
    name: str, two_steps: Any, root: Path, tmp_path: Path
) -> None:
    first, _, _, whole = two_steps(name)
    (tmp_path / "step1").symlink_to(first.cfg.OUTPUT_DIR)

    class Interrupted(TRAINERS[name]):  # type: ignore[name-defined,misc]
        def after_epoch(self) -> None:
            super().after_epoch()
            raise KeyboardInterrupt

    cfg = planned(name, root, tmp_path, 2, "TRAIN.CHECKPOINT_FREQ 1")
    with pytest.raises(KeyboardInterrupt):
        built(cfg, Interrupted).train()
    resumed = TRAINERS[name](cfg)
    resumed.train()
    assert resumed.start_epoch == 1
    one, other = values_of(whole.learner), values_of(resumed.learner)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert resumed.further_metrics == whole.further_metrics


def test_only_the_first_set_tunes_the_image_tower(two_steps: Any) -> None:
    first, _, _, second = two_steps("TopLAMM")
    (earlier,) = second.incremental.earlier
    fresh = TopLAMMLearner.from_config(second.cfg, second.clip, NAMES)
    for name, value in first.learner.top.named_parameters():
        assert not torch.equal(value, fresh.top.get_parameter(name))
        for learner in (second.learner, earlier):
            assert torch.equal(learner.top.get_parameter(name), value)
            assert not learner.top.get_parameter(name).requires_grad


@pytest.mark.parametrize("name", ["LAMM", "CoOp", "MaPLe_LAMM", "CoCoOp_LAMM"])
def test_seen_classes_as_negatives_are_in_the_softmax_and_in_that_alone(
    name: str, two_steps: Any, root: Path, tmp_path: Path
) -> None:
    first = two_steps(name).first
    (tmp_path / "step1").symlink_to(first.cfg.OUTPUT_DIR)
    trainer = built(planned(name, root, tmp_path, 2, "INCREMENTAL.SEEN_AS_NEGATIVES True"))
    with torch.no_grad():
        for parameter in trainer.learner.parameters():
            parameter += 0.01 * torch.randn(parameter.shape)
    batch = next(iter(trainer.train_loader_x))
    images, labels = trainer.parse_batch_train(batch)
    parts, logits = trainer.loss_parts(images, labels)
    union = trainer.build_learner(trainer.clip, NAMES)
    with torch.no_grad():
        current = dict(trainer.learner.named_parameters())
        for key, parameter in union.named_parameters():
            old = checkpoint_of(first.cfg)[LABELS] if key == LABELS else None
            parameter.copy_(current[key] if old is None else torch.cat([old, current[key]]))
        image = trainer.clip.image_features(images, trainer.learner.vision_prompts())
        scale = trainer.clip.logit_scale.exp()
        scores = scale * torch.einsum(
            "be,gne->bn" if not union.per_image else "be,bne->bn", image, union.text_features(image)
        )
        log_softmax = scores - scores.logsumexp(dim=1, keepdim=True)
        cross_entropy = -log_softmax[range(len(labels)), labels + 5].mean()
        torch.testing.assert_close(logits, scores[:, [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(parts["loss_ce"], cross_entropy, rtol=1e-4, atol=1e-4)
        if name != "CoOp":
            teacher = union.teacher_features(image)[0]
            original = torch.log_softmax(scale * image @ teacher.T / 2, dim=1)
            divergence = -(torch.softmax(scores / 2, dim=1) * original).sum(dim=1).mean() * 4
            torch.testing.assert_close(parts["loss_kd"], 0.05 * divergence, rtol=1e-4, atol=1e-4)
            moved = trainer.learner.label_embeddings - trainer.learner.initial_embeddings
            torch.testing.assert_close(parts["loss_wc"], moved.square().sum() / 4)
            text, own = trainer.learner.text_features(image), trainer.learner.teacher_features(image)
            torch.testing.assert_close(parts["loss_cos"], (1 - (text * own).sum(dim=-1)).mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["CoOp", "CoOp_LAMM", "CoCoOp_LAMM"])
def test_seen_classes_as_negatives_hand_no_gradient_to_what_is_learned(
    name: str, two_steps: Any, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "step1").symlink_to(two_steps(name).first.cfg.OUTPUT_DIR)
    trainer = built(planned(name, root, tmp_path, 2, "INCREMENTAL.SEEN_AS_NEGATIVES True"))
    images, labels = trainer.parse_batch_train(next(iter(trainer.train_loader_x)))
    _, logits = trainer.loss_parts(images, labels)
    learned = [parameter for parameter in trainer.learner.parameters() if parameter.requires_grad]
    own, earlier = (
        torch.autograd.grad(part.sum(), learned, retain_graph=True, allow_unused=True)
        for part in (logits[:, :5], logits[:, 5:])
    )
    assert all(gradient is not None and gradient.any() for gradient in own)
    assert not any(gradient.any() for gradient in earlier if gradient is not None)


def test_seen_classes_as_negatives_change_what_is_learned_but_not_how_the_step_is_tested(
    two_steps: Any, root: Path, tmp_path: Path
) -> None:
    first, _, _, plain = two_steps("LAMM")
    (tmp_path / "step1").symlink_to(first.cfg.OUTPUT_DIR)
    trainer = trained("LAMM", root, tmp_path, 2, "INCREMENTAL.SEEN_AS_NEGATIVES True")
    assert not torch.equal(trainer.learner.label_embeddings, plain.learner.label_embeddings)
    assert trainer.further_metrics["set1_accuracy"] == first.further_metrics["set1_accuracy"]
    assert trainer.further_metrics["set2_accuracy"] == trainer.test()
    assert trainer.model_inference(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


def test_random_labels_of_a_later_step_start_random(root: Path, tmp_path: Path) -> None:
    options = "TRAINER.LAMM.LABEL_INIT random OPTIM.MAX_EPOCH 1"
    trained("LAMM", root, tmp_path, 1, options)
    started = built(planned("LAMM", root, tmp_path, 2, options))
    assert started.learner.label_embeddings.std().item() == pytest.approx(0.02, rel=0.2)
    assert not torch.equal(started.learner.label_embeddings, started.learner.initial_embeddings)


def test_a_method_that_is_switched_off_learns_nothing_step_by_step(root: Path, tmp_path: Path) -> None:
    first, second = (trained("LAMM", root, tmp_path, step, "TRAINER.LAMM.ENABLED False") for step in (1, 2))
    assert second.further_metrics["set1_accuracy"] == first.further_metrics["set1_accuracy"]


def test_without_the_step_before_there_is_nothing_to_continue_from(root: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"step1/prompt_learner has no checkpoint to continue from"):
        built(planned("LAMM", root, tmp_path, 2))


def test_labels_of_other_classes_are_refused(two_steps: Any) -> None:
    second = two_steps("LAMM").second
    learner = second.build_learner(second.clip, NAMES[:5])
    with pytest.raises(CheckpointError, match=r"labels\.safetensors of an earlier step \(5 labels for tiny\)"):
        freeze_labels(learner, second.learner.label_bank())


def test_class_specific_context_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="class-specific context"):
        built(planned("CoOp", root, tmp_path, 1, "TRAINER.COOP.CSC True TRAINER.COOP.CTX_INIT ''"))


def test_a_data_set_that_is_not_ours_is_refused(squares_config: Any) -> None:
    with pytest.raises(ConfigError, match="TrainerSquares can't be learned step by step"):
        built(squares_config("LAMM", "run", "SEED", 1, "INCREMENTAL.STEPS", 2, "INCREMENTAL.STEP", 1))
