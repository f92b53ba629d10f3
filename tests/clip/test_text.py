"""The shared-prefix encoder, the plain encoder and the slow way at all 77 positions agree, forward and gradient.

In low precision: an fp16 number keeps 11 bits (2⁻¹¹ = 0.05 % rounding), a bf16 number 8 (0.4 %); every layer rounds a
few times."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from open_clip.model import convert_weights_to_lp
from open_clip.transformer import LayerNorm, LayerNormFp32
from torch import Tensor

from lamm.clip.model import ClipModel, autocast
from lamm.clip.shared_prefix import SharedPrefixEncoder, unsupported_reason
from lamm.clip.text import Chunks, PlainTextEncoder, encode_texts
from lamm.clip.text_tower import TextTower, text_tower_of
from lamm.errors import PromptError
from lamm.prompt_layout import FixedPrefix
from lamm.prompts import tokenize
from tests.clip import small_clip_models as small
from tests.clip.small_clip_models import Sides, assert_agree, encode_whole, halve, random_sides, run, with_gradients
from tests.reference import whole_prompt as reference

ENCODERS = (PlainTextEncoder, SharedPrefixEncoder)
ONE_MAKE = pytest.mark.parametrize("text_model", ["open_clip"], indirect=True)
MIXED = [1, 2, 20, 5, 20, 3]
FRONT = {"lengths": [3, 9], "prefix_length": 1}
DEEP = [
    {"lengths": MIXED, "deep": 1},
    {"lengths": [4, 4], "deep": 2, "deep_length": 4},  # all that stands behind the start token
    {"lengths": MIXED, "deep": 2, "deep_length": 1, "groups": 3},
]


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("case", [{"lengths": MIXED, "groups": 3}, FRONT, *DEEP])
def test_features_and_gradients_are_those_of_all_77_positions(
    text_model: Any, tower: TextTower, encoder: Any, case: dict[str, Any]
) -> None:
    sides = random_sides(tower.width, **case)
    slow = with_gradients(encode_whole(text_model, sides), sides.learned)
    assert_agree(run(encoder(tower), sides), slow)


@pytest.mark.parametrize(
    ("lengths", "prefix_length", "groups"),
    [([3], 5, 1), ([1], 1, 3), ([4, 4, 4], 5, 3), ([1, 1, 1], 5, 1), ([1, 2, 20, 5], 1, 3), (list(range(1, 21)), 5, 1)],
    ids=["one class", "one position", "one length", "only end tokens", "mixed", "1 to 20"],
)
def test_the_shared_prefix_gives_the_plain_features_and_gradients(
    tower: TextTower, lengths: list[int], prefix_length: int, groups: int
) -> None:
    sides = random_sides(tower.width, lengths, groups=groups, prefix_length=prefix_length)
    assert_agree(run(SharedPrefixEncoder(tower), sides), run(PlainTextEncoder(tower), sides))


@ONE_MAKE
def test_they_agree_at_1000_classes(tower: TextTower) -> None:
    lengths = [1 + (7 * number) % 20 for number in range(1000)]
    sides = random_sides(tower.width, lengths, deep=2)
    assert_agree(run(SharedPrefixEncoder(tower), sides), run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize("prefix_length", [5, 76])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_prompt_may_fill_all_77_positions(
    text_model: Any, tower: TextTower, encoder: Any, prefix_length: int
) -> None:
    sides = random_sides(tower.width, [77 - prefix_length, 1], prefix_length=prefix_length)
    slow = with_gradients(encode_whole(text_model, sides), sides.learned)
    assert_agree(run(encoder(tower), sides), slow)


@ONE_MAKE
@pytest.mark.parametrize("learned", ["prefix", "labels", "deep"])
def test_gradients_agree_where_only_one_side_is_learned(tower: TextTower, learned: str) -> None:
    sides = random_sides(tower.width, MIXED, deep=2)
    for name in {"prefix", "labels", "deep"} - {learned}:
        for tensor in getattr(sides, name) if name == "deep" else [getattr(sides, name)]:
            tensor.requires_grad_(False)
    found = run(SharedPrefixEncoder(tower), sides)
    assert len(found) == 1 + (2 if learned == "deep" else 1)
    assert_agree(found, run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize(
    "text",
    [{"ls_init_value": 0.5}, {"proj_bias": True}, {"proj_type": "none"}],
    ids=["layer scale", "linear projection", "no projection"],
)
def test_they_agree_on_open_clips_other_towers(text: dict[str, Any]) -> None:
    model = small.open_clip_model("ls_init_value" not in text, vocabulary=64, width=32, heads=2, layers=3, **text)
    tower = text_tower_of(model.requires_grad_(False), "small")
    assert unsupported_reason(tower) is None
    sides = random_sides(tower.width, MIXED, groups=2, deep=2)
    assert_agree(run(SharedPrefixEncoder(tower), sides), run(PlainTextEncoder(tower), sides))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_what_stands_after_an_end_token_changes_nothing_and_gets_no_gradient(tower: TextTower, encoder: Any) -> None:
    sides = random_sides(tower.width, [2, 6], groups=2, deep=1)
    features, _, of_labels, _ = run(encoder(tower), sides)
    assert torch.all(of_labels[0, 2:] == 0)
    assert torch.all(of_labels[0, :2].norm(dim=-1) > 0)
    changed = sides.labels.detach().clone()
    changed[0, 2:] = 7.0
    assert torch.equal(features, encoder(tower).encode(sides.prefix, changed, *sides[2:]))


@ONE_MAKE
def test_deep_prompts_beyond_the_prefix_are_refused(tower: TextTower) -> None:
    sides = random_sides(tower.width, [2], prefix_length=3, deep=1)
    with pytest.raises(ValueError, match="3 deep prompts a layer don't fit a prefix of 3 positions"):
        SharedPrefixEncoder(tower).encode(*sides)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["fp32", "amp", "bf16", "fp16"])
def test_they_agree_on_a_gpu(text_model: Any, tower: TextTower, precision: str) -> None:
    sides = random_sides(tower.width, MIXED, groups=2, deep=2)
    expected = run(PlainTextEncoder(tower), sides)
    there = copy.deepcopy(tower).to("cuda")
    if precision == "fp16":
        halve(there)
    prefix, labels, end, deep = sides
    moved = Sides(prefix.cuda(), labels.cuda(), end.cuda(), tuple(prompt.cuda() for prompt in deep))
    with autocast(precision, torch.device("cuda")):
        features = SharedPrefixEncoder(there, Chunks(5)).encode(*moved)
    found = [tensor.cpu() for tensor in with_gradients(features, sides.learned)]
    if precision == "fp32":
        assert_agree(found, expected)
    for one, other in zip(found, expected, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


@ONE_MAKE
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize(("before", "behind"), [(76, 2), (5, 73)])
def test_a_prompt_beyond_the_context_length_is_refused(tower: TextTower, kind: Any, before: int, behind: int) -> None:
    prefix, labels = torch.zeros(1, before, tower.width), torch.zeros(2, behind, tower.width)
    with pytest.raises(PromptError, match=f"a prompt of {before + behind} tokens; this text tower takes at most 77"):
        kind(tower).encode(prefix, labels, torch.tensor([1, 1]))


NAMES = ["cat", "german shepherd dog breed", "car (red)"]
CONTEXT, D = 4, 32


def by_hand(model: Any, context: Tensor, labels: list[Tensor]) -> Tensor:
    parts = [reference.read_prompt("a photo of a", name) for name in NAMES]
    rows = [reference.assemble(part, context, label) for part, label in zip(parts, labels, strict=True)]
    return reference.encode(model, rows)


def cut_prompts(model: Any, context: Tensor, labels: list[Tensor], spare: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """(prefix, label side, end), padded to the longest name and `spare` positions more with random vectors."""
    table = model.token_embedding.weight
    sides = []
    for name, label in zip(NAMES, labels, strict=True):
        stop = reference.read_prompt("a photo of a", name).stop
        sides.append(torch.cat([label, table[[*stop, reference.END]]]))
    longest = max(map(len, sides)) + spare
    padded = [torch.cat([side, torch.randn(longest - len(side), D)]) for side in sides]
    prefix = torch.cat([table[[reference.START]], context])
    return prefix, torch.stack(padded), torch.tensor([len(side) - 1 for side in sides])


@pytest.fixture
def label_vectors() -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [0.1 * torch.randn(count, D, generator=generator) for count in (1, 4, 4)]


@pytest.fixture
def context() -> Tensor:
    return 0.1 * torch.randn(CONTEXT, D, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("spare", [0, 9])
def test_features_equal_those_of_whole_prompts_whatever_stands_after_the_end_token(
    small_model: Any, small_clip: ClipModel, context: Tensor, label_vectors: list[Tensor], spare: int
) -> None:
    prefix, labels, end = cut_prompts(small_model, context, label_vectors, spare)
    features = PlainTextEncoder(small_clip.text).encode(prefix[None], labels, end)
    assert features.shape == (1, len(NAMES), small_clip.embed_dim)
    expected = by_hand(small_model, context, label_vectors)
    torch.testing.assert_close(F.normalize(features[0], dim=-1), expected, atol=1e-6, rtol=1e-5)


def test_gradients_of_context_and_labels_equal_those_of_whole_prompts(
    small_model: Any, small_clip: ClipModel, context: Tensor, label_vectors: list[Tensor]
) -> None:
    weights = torch.randn(len(NAMES), small_clip.embed_dim, generator=torch.Generator().manual_seed(5))
    gradients = []
    for fast in (True, False):
        learned = [context.clone().requires_grad_(), *[v.clone().requires_grad_() for v in label_vectors]]
        if fast:
            prefix, labels, end = cut_prompts(small_model, learned[0], learned[1:])
            features = PlainTextEncoder(small_clip.text).encode(prefix[None], labels, end)
            features = F.normalize(features[0], dim=-1)
        else:
            features = by_hand(small_model, learned[0], learned[1:])
        gradients.append(torch.autograd.grad((features * weights).sum(), learned))
    for fast_gradient, slow_gradient in zip(*gradients, strict=True):
        scale = slow_gradient.abs().max()
        assert scale > 0
        torch.testing.assert_close(fast_gradient / scale, slow_gradient / scale, rtol=0, atol=1e-5)


def test_texts_of_different_length_get_open_clips_features(small_model: Any, small_clip: ClipModel) -> None:
    texts = ["a cat.", "a photo of a car (red).", "a bad drawing of a german shepherd dog, in the rain."]
    with torch.no_grad():
        features = encode_texts(small_clip.text, tokenize(small_clip.tokenizer, texts))
    expected = reference.encode_texts(small_model, texts)
    torch.testing.assert_close(F.normalize(features, dim=-1), expected, atol=1e-6, rtol=1e-5)


def test_the_reference_itself_equals_open_clip_on_plain_words(small_model: Any) -> None:
    rows = [reference.assemble(reference.read_prompt("a photo of a", name)) for name in NAMES]
    expected = reference.encode_texts(small_model, [f"a photo of a {name}." for name in NAMES])
    torch.testing.assert_close(reference.encode(small_model, rows), expected, atol=1e-6, rtol=1e-5)


LENGTHS = [1, 3, 12, 5, 8]
WIDTH = 128
COSINE = 0.999


@pytest.fixture(scope="module", params=["open_clip", "open_clip_mixed", "clip_package"])
def wide_model(request: pytest.FixtureRequest) -> Any:
    """A frozen fp32 model whose text tower has width 128 and 4 layers. Not to be changed.

    The mixed one has the norms that open_clip gives to models of which only the matrices are fp16.
    """
    if request.param == "clip_package":
        return small.clip_package_model(vocabulary=64, transformer_layers=4).requires_grad_(False)
    model = small.open_clip_model(vocabulary=64, layers=4)
    if request.param == "open_clip_mixed":
        for module in model.modules():
            if isinstance(module, LayerNorm):
                module.__class__ = LayerNormFp32
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def wide_tower(wide_model: Any) -> TextTower:
    """The view of its text tower. Not to be changed."""
    return text_tower_of(wide_model, "small")


def direction_and_gradients(features: Tensor, sides: Sides) -> list[Tensor]:
    """Unit features in fp32, and the gradients of everything learned: a training step's norm is outside of autocast."""
    unit = F.normalize(features.float(), dim=-1)
    weights = torch.randn(unit.shape, generator=torch.Generator().manual_seed(1))
    return [unit.detach(), *torch.autograd.grad((unit * weights).sum(), sides.learned)]


def assert_same_direction(found: list[Tensor], expected: list[Tensor], cosine: float) -> None:
    assert F.cosine_similarity(found[0], expected[0], dim=-1).min() > cosine
    for one, other in zip(found[1:], expected[1:], strict=True):
        assert torch.isfinite(one).all()
        assert F.cosine_similarity(one.flatten(), other.flatten(), dim=0) >= cosine


@pytest.mark.parametrize(("deep", "chunk"), [(0, 0), (3, 2)])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_bf16_autocast_keeps_the_direction_of_features_and_gradients(
    wide_tower: TextTower, encoder: Any, deep: int, chunk: int
) -> None:
    sides = random_sides(WIDTH, LENGTHS, groups=2, deep=deep)
    expected = direction_and_gradients(encoder(wide_tower).encode(*sides), sides)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(wide_tower, Chunks(chunk, 1e-9)).encode(*sides)
    assert features.dtype == torch.bfloat16
    assert_same_direction(direction_and_gradients(features, sides), expected, COSINE)


def test_a_fixed_prefix_in_bf16_keeps_the_direction_step_after_step(wide_tower: TextTower) -> None:
    sides = random_sides(WIDTH, LENGTHS)
    sides = sides._replace(prefix=FixedPrefix(sides.prefix))
    encoder = SharedPrefixEncoder(wide_tower)
    expected = direction_and_gradients(encoder.encode(*sides), sides)
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            features = encoder.encode(*sides)
        assert_same_direction(direction_and_gradients(features, sides), expected, COSINE)


@pytest.fixture(scope="module")
def half_tower(wide_model: Any) -> TextTower:
    """The view of the same model with fp16 weights."""
    model = copy.deepcopy(wide_model)
    mixed = isinstance(model.ln_final, LayerNormFp32)
    if mixed:
        convert_weights_to_lp(model, torch.float16)
    tower = text_tower_of(model, "small")
    if not mixed:
        halve(tower)
    try:
        x = torch.zeros(1, 2, WIDTH, dtype=torch.float16, requires_grad=True)
        tower.finish(tower.transform(x)).sum().backward()
    except RuntimeError as error:
        pytest.skip(f"this torch has no fp16 arithmetic on the CPU: {error}")
    return tower


@pytest.mark.parametrize(("groups", "deep", "chunk"), [(1, 0, 0), (3, 3, 2)])
def test_with_fp16_weights_the_shared_prefix_is_as_near_to_fp32_as_the_plain_encoder(
    wide_tower: TextTower, half_tower: TextTower, groups: int, deep: int, chunk: int
) -> None:
    sides = random_sides(WIDTH, LENGTHS, groups=groups, deep=deep)
    expected = direction_and_gradients(PlainTextEncoder(wide_tower).encode(*sides), sides)
    found = []
    for encoder in (make(half_tower, Chunks(chunk, 1e-9)) for make in (PlainTextEncoder, SharedPrefixEncoder)):
        features = encoder.encode(*sides)
        assert features.dtype == torch.float16
        found.append(direction_and_gradients(features, sides))
        assert all(gradient.dtype == torch.float32 for gradient in found[-1][1:])
    for plain, shared, exact in zip(*found, expected, strict=True):
        assert (shared - plain).norm() <= 0.01 * exact.norm()
    for encoded in found:
        assert_same_direction(encoded, expected, 0.9999)
