"""What holds for every method's way through the towers: shared prefix = plain, in chunks = at once, bf16 near fp32.

Tolerances are relative norms. In fp32 they are the order of its rounding. A bf16 number keeps 8 bits (2⁻⁹ = 0.2 %
rounding), and four layers put several roundings after each other: two ways to the same features differ by up to 1 %,
their gradients by a few per cent, and a gradient still has the direction of fp32's.
"""

import pytest
import torch
from torch import Tensor

from lamm.clip.model import ClipModel
from lamm.clip.shared_prefix import SharedPrefixEncoder
from lamm.clip.text import PlainTextEncoder
from tests.trainers.learner_cases import FIRST, Case, disturb, features, gradients, matrix_of

FEATURE_ERROR = {True: 1e-5, False: 2e-2}  # by Case.exact
GRADIENT_ERROR = {True: 1e-4, False: 1e-1}
COSINE = 0.999


def assert_near(got: Tensor, expected: Tensor, error: float) -> None:
    assert expected.norm() > 0
    assert (got - expected).norm() <= error * expected.norm()


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
    parts.encode_in_chunks(chunk)
    assert_near(features(parts, images), features(whole, images), FEATURE_ERROR[case.exact])
    got, expected = gradients(parts, images, labels), gradients(whole, images, labels)
    assert_near(got, expected, GRADIENT_ERROR[case.exact])


@pytest.mark.parametrize("plain", [False, True], ids=["shared", "plain"])
@pytest.mark.parametrize("place", [place for place in matrix_of(FIRST) if place.values[0][2] == "bf16"])
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
