"""What holds for every method, with and without label alignment, on every image tower and in every precision.

Each learner goes through its tower with real images, in the trainers' own step. bf16 is autocast: what should be the
same arithmetic is held to the same tolerance there as in fp32."""

import itertools
from typing import Any

import pytest
import torch
from lamm_trainers import extend_cfg
from lamm_trainers.lamm import LabelAlignmentMixin
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lamm.clip.model import ClipModel
from lamm.clip.shared_prefix import SharedPrefixEncoder
from lamm.clip.text import PlainTextEncoder
from lamm.engine import get_cfg_default
from tests.reference import whole_prompt as reference
from tests.trainers.learner_cases import (
    BASES,
    FIRST,
    LEARNERS,
    METHODS,
    NAMES,
    OF_TRANSFORMERS,
    PROMPTS_IMAGES,
    WORDS,
    Case,
    declared,
    disturb,
    features,
    fixed,
    gradients,
    lamm,
    loss_parts,
    matrix_of,
    method_of,
    on_first_place,
    pictures,
    train,
)

# Those that move both towers: at the others' rate their loss jumps up and down on the way.
RATES = {f"{name}{more}": 0.0025 for name in PROMPTS_IMAGES for more in ("", "_LAMM")}
TEXTS = [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES]


def test_every_method_is_in_the_matrix() -> None:
    expected = {
        "LAMM",
        "LAMM_GDA",
        "TopLAMM",
        "TopLAMM_GDA",
        "CLIPLoRA",
        *METHODS,
        *(f"{name}_LAMM" for name in METHODS),
    }
    assert {method_of(name) for name in FIRST} == expected
    places = {(method_of(name), tower, precision) for name, tower, precision in (p.values[0] for p in matrix_of(FIRST))}
    of_transformers = (*OF_TRANSFORMERS, *PROMPTS_IMAGES)
    assert len(places) == 2 * (len(expected) + len([name for name in expected if not name.startswith(of_transformers)]))


# No-op at the start.


def test_fresh_lamm_equals_zero_shot_clip(small_model: Any, small_clip: ClipModel) -> None:
    expected = reference.encode_texts(small_model, TEXTS)
    torch.testing.assert_close(features(lamm(small_clip))[0], expected, atol=1e-6, rtol=1e-6)


# In bf16 a number keeps 8 bits, and four layers round at each step: 1 % is what is left of it.
@pytest.mark.parametrize(("precision", "error"), [("fp32", 1e-5), ("bf16", 2e-2)])
@pytest.mark.parametrize("tower", ["vit", "resnet"])
def test_fixed_words_are_encoded_as_open_clip_does(
    tower: str, precision: str, error: float, models: dict[str, Any], clips: dict[tuple[str, str], ClipModel]
) -> None:
    clip = clips[tower, precision]
    images = pictures(clip)
    with torch.no_grad():
        image = torch.nn.functional.normalize(models[tower].encode_image(images), dim=-1)
    expected = torch.cat([image, reference.encode_texts(models[tower], TEXTS)])
    got = features(fixed(clip), images)
    assert (got - expected).norm() <= error * expected.norm()


def test_a_fresh_aligned_learner_equals_its_base(fresh_case: Case) -> None:
    images, _ = fresh_case.batch()
    got, expected = features(fresh_case.build(), images), features(fresh_case.build_base(), images)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-6)


# The mixin off.


@pytest.mark.parametrize("name", [name for name in FIRST if "LAMM" in name and "GDA" not in name])  # refused there
def test_switched_off_the_mixin_is_not_there(name: str, small_clip: ClipModel) -> None:
    aligned_class = type(LEARNERS[name](small_clip))
    cfg = get_cfg_default()
    extend_cfg(cfg)
    cfg.TRAINER.LAMM.ENABLED = False
    cfg.TRAINER.MAPLE.PROMPT_DEPTH = cfg.TRAINER.PROMPTSRC.PROMPT_DEPTH = 2
    disabled = aligned_class.from_config(cfg, small_clip, NAMES)
    assert type(disabled) is aligned_class.__mro__[2]
    assert not isinstance(disabled, LabelAlignmentMixin)
    cfg.TRAINER.LAMM.ENABLED = True
    assert type(aligned_class.from_config(cfg, small_clip, NAMES)) is aligned_class


@pytest.mark.parametrize("aligned_case", on_first_place([name for name in FIRST if "LAMM" in name]), indirect=True)
def test_without_the_hierarchical_loss_that_of_the_base_is_left(aligned_case: Case) -> None:
    learner = aligned_case.build(hierarchical_loss=False)
    base = BASES.get(aligned_case.name.replace("_LAMM", "").removesuffix("-name"), fixed)(aligned_case.clip)
    own = set(loss_parts(learner, *aligned_case.batch())) - {"loss_gram"}  # of a tuned tower
    assert own == set(loss_parts(base, *aligned_case.batch()))


# What is trained.


def test_only_the_declared_parameters_get_gradients(case: Case) -> None:
    # The loss is flat where the labels equal their teacher, so they are moved first.
    learner = disturb(case.build())
    sum(loss_parts(learner, *case.batch()).values()).backward()
    assert {name for name, _ in learner.named_parameters()} == declared(case.name)
    assert all(parameter.grad.abs().sum() > 0 for parameter in learner.parameters())
    assert not any(weight.requires_grad for weight in case.clip.parameters())
    assert all(weight.grad is None for weight in case.clip.parameters())


def test_the_loss_falls_over_ten_steps_and_no_weight_of_clip_changes(case: Case) -> None:
    before = {name: value.clone() for name, value in case.clip.state_dict().items()}
    rate = RATES.get(method_of(case.name), 0.01)
    curve = [step["loss"] for step in train(case.build(), *case.batch(), steps=10, rate=rate)]
    assert curve[-1] < curve[0] - 0.01
    assert all(later <= earlier + 0.01 for earlier, later in itertools.pairwise(curve))
    assert all(torch.equal(value, before[name]) for name, value in case.clip.state_dict().items())


# The labels.


@pytest.mark.parametrize("aligned_case", on_first_place([name for name in FIRST if "LAMM" in name]), indirect=True)
def test_the_anchor_of_a_random_label_is_its_original_embedding(aligned_case: Case) -> None:
    learner = aligned_case.build(label_init="random")
    words = aligned_case.build()
    assert torch.equal(learner.initial_embeddings, words.initial_embeddings)
    assert torch.equal(words.label_embeddings, words.initial_embeddings)
    assert not torch.equal(learner.label_embeddings, learner.initial_embeddings)


def test_random_labels_are_normal_with_a_deviation_of_a_fiftieth(small_clip: ClipModel) -> None:
    wide = lamm(small_clip, [f"cat number {number}" for number in range(60)], label_init="random").label_embeddings
    assert wide.std().item() == pytest.approx(0.02, rel=0.05)
    assert wide.mean().item() == pytest.approx(0, abs=0.001)


def test_moving_one_classs_label_leaves_the_features_of_the_others_as_they_were(small_clip: ClipModel) -> None:
    learner = lamm(small_clip)
    before = features(learner)[0]
    with torch.no_grad():
        learner.label_embeddings[-1] *= -1  # the last class has one sub-token
    after = features(learner)[0]
    assert torch.equal(after[:-1], before[:-1])
    assert not torch.allclose(after[-1], before[-1], atol=1e-3)


FEATURE_ERROR = {True: 1e-5, False: 2e-2}  # by Case.exact
GRADIENT_ERROR = {True: 1e-4, False: 1e-1}
COSINE = 0.998  # processors differ in how they add up bf16 products: the plain encoder has 0.9989 on one of them


def assert_near(got: Tensor, expected: Tensor, error: float) -> None:
    assert expected.norm() > 0
    assert (got - expected).norm() <= error * expected.norm()


OF_THE_TOWER = [name for name in LEARNERS if "CLIPLoRA" not in name]
"""Learners whose prompts the text tower's own weights encode."""


@pytest.mark.parametrize("case", matrix_of(OF_THE_TOWER), indirect=True)
def test_the_shared_prefix_gives_what_the_plain_encoder_gives(case: Case) -> None:
    images, labels = case.batch()
    shared, plain = disturb(case.build()), disturb(case.build())
    assert isinstance(shared.text_encoder, SharedPrefixEncoder)
    plain.text_encoder = PlainTextEncoder(case.clip.text)
    assert_near(features(shared, images), features(plain, images), FEATURE_ERROR[case.exact])
    got, expected = gradients(shared, images, labels), gradients(plain, images, labels)
    assert_near(got, expected, GRADIENT_ERROR[case.exact])


@pytest.mark.parametrize("case", matrix_of(FIRST), indirect=True)
def test_prompts_in_chunks_give_what_they_give_at_once(case: Case) -> None:
    assert_same_in_chunks(case, 2)


# Of six images' prefixes with five classes each: one prompt, one prefix, one and a bit, two, all.
@pytest.mark.parametrize("chunk", [1, 5, 7, 10, 30])
def test_prompts_of_each_image_in_chunks_of_any_size(chunk: int, clips: dict[tuple[str, str], ClipModel]) -> None:
    assert_same_in_chunks(Case("CoCoOp_LAMM-words-name", clips["vit", "fp32"]), chunk)


def assert_same_in_chunks(case: Case, chunk: int) -> None:
    images, labels = case.batch()
    whole, parts = disturb(case.build()), disturb(case.build())
    parts.encode_in_chunks(chunk, 1e-9)
    assert_near(features(parts, images), features(whole, images), FEATURE_ERROR[case.exact])
    got, expected = gradients(parts, images, labels), gradients(whole, images, labels)
    assert_near(got, expected, GRADIENT_ERROR[case.exact])


IN_BF16 = [place.values[0] for place in matrix_of(FIRST) if place.values[0][2] == "bf16"]


@pytest.mark.parametrize(
    ("place", "plain"),
    [(place, plain) for place in IN_BF16 for plain in (False, True) if not plain or place[0] in OF_THE_TOWER],
)
def test_bf16_gradients_point_where_those_of_fp32_do(
    place: tuple[str, str, str], plain: bool, clips: dict[tuple[str, str], ClipModel]
) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        case = Case(place[0], clips[place[1], precision])
        learner = disturb(case.build())
        if plain:
            learner.text_encoder = PlainTextEncoder(case.clip.text)
        images, labels = case.batch()
        found.append((features(learner, images), gradients(learner, images, labels)))
    (exact, exact_gradient), (rounded, gradient) = found
    assert_near(rounded, exact, FEATURE_ERROR[False])
    assert not torch.equal(rounded, exact)
    assert torch.cosine_similarity(gradient, exact_gradient, dim=0) >= COSINE


# Operators whose result, or the size of it, has to be known before the program can go on.
WAITING = {"_local_scalar_dense", "equal", "nonzero", "is_nonzero", "masked_select", "unique_dim", "_unique2", "item"}


class Operators(TorchDispatchMode):
    """Names of the operators that ran within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, op: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        self.names.append(op.overloadpacket._qualified_op_name.partition("::")[2])
        return op(*given, **(named or {}))


def test_the_mode_sees_operators_that_wait() -> None:
    with Operators() as seen:
        torch.ones(3).nonzero()
        bool(torch.ones(()) > 0)
    assert {"nonzero", "_local_scalar_dense"} <= set(seen.names)


@pytest.mark.parametrize("cos_over", ["classes", "batch"])
@pytest.mark.parametrize("case", on_first_place(), indirect=True)
def test_no_step_but_the_first_two_waits(case: Case, cos_over: str) -> None:
    images, labels = case.batch()
    learner = case.build(**({"cos_over": cos_over} if "LAMM" in case.name else {}))
    for _ in range(2):  # the first one encodes the teacher, behind a prefix of its own
        gradients(learner, images, labels)
    with Operators() as seen:
        gradients(learner, images, labels)
    assert seen.names
    assert not WAITING & set(seen.names)
