"""The image tower: prompts by hooks equal the forward pass written out, and its attention has contiguous products.

Letters: B images, L class token and patches, C prompts, W width of the image tower, E embedding size.
"""

import copy
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import open_clip
import pytest
import torch
from lamm_trainers.coop import CoOpLearner
from lamm_trainers.maple import MaPLeLearner
from torch import Tensor, nn

from lamm.clip.loading import wrap_clip
from lamm.clip.vision import VisionPrompts, VisionSizes, encode_with_prompts, keep_attention_contiguous, vision_sizes
from lamm.errors import BackboneError
from tests.clip import small_clip_models as small

LAYERS, WIDTH, SIDE, PATCHES = 3, 64, 32, 16
VISION = {"layers": LAYERS, "width": WIDTH, "patch_size": 8, "image_size": SIDE, "head_width": 32}
MAKES: dict[str, Callable[[], Any]] = {
    "open_clip": lambda: open_clip_model(),
    "custom_text": lambda: open_clip_model(custom_text=True),
    "average": lambda: open_clip_model(pool_type="avg"),
    "average, norm last": lambda: open_clip_model(pool_type="avg", final_ln_after_pool=True),
    "layer scale": lambda: open_clip_model(ls_init_value=0.5),
    "no ln_pre": lambda: open_clip_model(no_ln_pre=True),
    "clip_package": lambda: small.clip_package_model({**small.VIT, "vision_layers": LAYERS}, vocabulary=64),
}


def open_clip_model(custom_text: bool = False, **vision: Any) -> Any:
    return small.open_clip_model(custom_text, vocabulary=64, vision={**VISION, **vision}, width=32, heads=2)


@pytest.fixture(scope="module", params=["open_clip", "clip_package"])
def visual(request: pytest.FixtureRequest) -> Any:
    """A frozen random image tower: 3 layers, width 64, 16 patches. Not to be changed."""
    return MAKES[request.param]().visual.requires_grad_(False)


def random_prompts(depth: int, count: int = 2, width: int = WIDTH) -> VisionPrompts:
    """Prompts of about the size of patch embeddings in the first `depth` layers, all of which want gradients."""
    generator = torch.Generator().manual_seed(5)
    first, *deep = (torch.randn(count, width, generator=generator).requires_grad_() for _ in range(depth))
    return VisionPrompts(first, deep)


def written_out(visual: Any, images: Tensor, layers: Sequence[Tensor]) -> Tensor:
    """Features (B, E) under `layers`, the prompts (C, W) of each block from the first on; none: the tower as it is."""
    patches = visual.conv1(images).flatten(2).transpose(1, 2)
    x = torch.stack([torch.cat([visual.class_embedding[None], rows]) for rows in patches])
    x = x + visual.positional_embedding
    length, batch = x.shape[1], len(x)
    if layers:
        x = torch.cat([x, layers[0].repeat(batch, 1, 1)], dim=1)
    x = visual.ln_pre(x)
    for number, block in enumerate(visual.transformer.resblocks):
        if 0 < number < len(layers):
            x = torch.cat([x[:, :length], layers[number].repeat(batch, 1, 1)], dim=1)
        batch_first = getattr(visual.transformer, "batch_first", False)
        x = block(x) if batch_first else block(x.transpose(0, 1)).transpose(0, 1)
    x = x[:, :length]
    if getattr(visual, "pool_type", "tok") == "tok":
        return visual.ln_post(x[:, 0]) @ visual.proj
    if visual.final_ln_after_pool:
        return visual.ln_post(x[:, 1:].sum(dim=1) / PATCHES) @ visual.proj
    return visual.ln_post(x)[:, 1:].sum(dim=1) / PATCHES @ visual.proj


@pytest.mark.parametrize("make", MAKES)
def test_the_written_out_pass_without_prompts_is_the_towers_own(make: str) -> None:
    visual = MAKES[make]().visual.requires_grad_(False)
    images = small.images(SIDE, 3)
    torch.testing.assert_close(written_out(visual, images, []), visual(images), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("depth", "count"), [(1, 4), (LAYERS, 1)])
@pytest.mark.parametrize("make", MAKES)
def test_features_and_gradients_equal_the_written_out_pass(make: str, depth: int, count: int) -> None:
    visual = MAKES[make]().visual.requires_grad_(False)
    prompts, images = random_prompts(depth, count), small.images(SIDE, 3)
    layers = [prompts.first, *prompts.deep]
    found = []
    for features in (encode_with_prompts(visual, images, prompts), written_out(visual, images, layers)):
        weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(6))
        found.append([features.detach(), *torch.autograd.grad((features * weights).sum(), layers)])
    assert len(found[0]) == 1 + depth
    for one, other in zip(*found, strict=True):
        assert other.norm() > 0
        assert (one - other).norm() <= 1e-5 * other.norm()


def test_each_layer_of_prompts_changes_the_features(visual: Any) -> None:
    images = small.images(SIDE)
    with torch.no_grad():
        found = [visual(images), *(encode_with_prompts(visual, images, random_prompts(n + 1)) for n in range(LAYERS))]
    for before, after in pairwise(found):
        assert (before - after).norm() > 1e-3 * before.norm()


def test_an_image_gets_the_features_that_it_gets_alone(visual: Any) -> None:
    images, prompts = small.images(SIDE, 3), random_prompts(2)
    together = encode_with_prompts(visual, images, prompts)
    alone = torch.cat([encode_with_prompts(visual, image[None], prompts) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def hooks_of(module: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())


def test_the_tower_gives_the_same_bits_after_as_before(visual: Any) -> None:
    images = small.images(SIDE)
    before, state = visual(images), copy.deepcopy(visual.state_dict())
    encode_with_prompts(visual, images, random_prompts(LAYERS)).sum().backward()
    assert torch.equal(visual(images), before)
    assert hooks_of(visual) == 0
    assert all(torch.equal(tensor, state[name]) for name, tensor in visual.state_dict().items())
    assert all(parameter.grad is None for parameter in visual.parameters())


@pytest.mark.parametrize("at", ["the images", "a prompt", "the tower"])
def test_the_tower_gives_the_same_bits_after_a_pass_that_failed(visual: Any, at: str) -> None:
    visual = copy.deepcopy(visual)
    images, prompts = small.images(SIDE), random_prompts(LAYERS)
    before = visual(images)
    if at == "the images":
        with pytest.raises(RuntimeError, match="channels"):
            encode_with_prompts(visual, images[:, :2], prompts)
    elif at == "a prompt":
        wrong = VisionPrompts(prompts.first, [prompts.deep[0], prompts.deep[1][:, 1:]])
        with pytest.raises(RuntimeError, match="[Ss]izes of tensors must match"):
            encode_with_prompts(visual, images, wrong)
    else:

        def fail(*_: Any) -> None:
            raise KeyboardInterrupt("stopped in the middle")

        stop = visual.transformer.resblocks[1].mlp.register_forward_hook(fail)
        with pytest.raises(KeyboardInterrupt, match="stopped in the middle"):
            encode_with_prompts(visual, images, prompts)
        stop.remove()
    assert hooks_of(visual) == 0
    assert torch.equal(visual(images), before)


def test_hooks_of_others_stay(visual: Any) -> None:
    visual = copy.deepcopy(visual)
    seen = []
    visual.transformer.resblocks[-1].register_forward_hook(lambda _, __, out: seen.append(out.shape))
    encode_with_prompts(visual, small.images(SIDE), random_prompts(1))
    visual(small.images(SIDE))
    assert len(seen) == 2
    assert hooks_of(visual) == 1


def test_under_bf16_the_features_keep_their_direction(visual: Any) -> None:
    images, prompts = small.images(SIDE), random_prompts(LAYERS)
    full = encode_with_prompts(visual, images, prompts)
    with torch.autocast("cpu", torch.bfloat16):
        half = encode_with_prompts(visual, images, prompts)
    assert torch.cosine_similarity(half.float(), full, dim=-1).min() > 0.999


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_features_of_the_cpu(visual: Any) -> None:
    images, prompts = small.images(SIDE), random_prompts(LAYERS)
    expected = encode_with_prompts(visual, images, prompts)
    there = VisionPrompts(prompts.first.cuda(), [prompt.cuda() for prompt in prompts.deep])
    found = encode_with_prompts(copy.deepcopy(visual).cuda(), images.cuda(), there)
    assert torch.nn.functional.cosine_similarity(found.cpu(), expected, dim=-1).min() > 0.9999


class TimmLike(nn.Module):
    """As open_clip wraps a timm model: all of it under `trunk`."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE * SIDE, 8))
        self.image_size = (SIDE, SIDE)


RESNETS = {
    "clip_package": lambda: small.clip_package_model(small.RESNET, vocabulary=64),
    "open_clip": lambda: small.open_clip_model(
        vocabulary=64, vision={"layers": (1, 1, 1, 1), "width": 32, "patch_size": None, "image_size": 64}
    ),
}


@pytest.mark.parametrize("make", RESNETS)
def test_a_resnet_is_an_error_that_says_what_would_work(make: str) -> None:
    message = r"^RN50: its image tower \(ModifiedResNet\) takes no prompts.*use a CLIP with a vision transformer"
    with pytest.raises(BackboneError, match=message):
        vision_sizes(RESNETS[make]().visual, "RN50")


def test_a_tower_of_another_library_is_an_error_that_names_it() -> None:
    with pytest.raises(BackboneError, match=r"^open_clip:convnext: its image tower \(TimmLike\) takes no prompts"):
        vision_sizes(TimmLike(), "open_clip:convnext")


def test_maple_on_a_resnet_is_refused_and_coop_is_not() -> None:
    vision = {"layers": (1, 1, 1, 1), "width": 32, "patch_size": None, "image_size": 64}
    clip = wrap_clip(small.open_clip_model(vision=vision, width=32, heads=2), "RN50")
    with pytest.raises(BackboneError, match=r"^RN50: its image tower \(ModifiedResNet\) takes no prompts"):
        MaPLeLearner(clip, ["cat"], prompt_depth=1)
    assert CoOpLearner(clip, ["cat"]).vision_prompts() is None


# Text width, image width, patch: of the released models.
REAL = {"ViT-B-32": (512, 768, 32), "ViT-B-16": (512, 768, 16), "ViT-L-14": (768, 1024, 14)}


@pytest.mark.parametrize("architecture", REAL)
def test_the_couplings_fit_the_real_towers(architecture: str) -> None:
    config = copy.deepcopy(open_clip.get_model_config(architecture))
    text_width, vision_width, patch = REAL[architecture]
    assert (config["text_cfg"]["width"], config["vision_cfg"]["width"]) == (text_width, vision_width)
    assert config["vision_cfg"]["patch_size"] == patch
    # Two layers of the real widths, and of the patches only the first row.
    config["vision_cfg"].update(layers=2, image_size=2 * patch)
    config["text_cfg"].update(layers=2)
    model: Any = open_clip.CLIP(**{key: config[key] for key in ("embed_dim", "vision_cfg", "text_cfg")})
    clip = wrap_clip(model, architecture)
    assert clip.vision_sizes == VisionSizes(vision_width, 2)
    learner = MaPLeLearner(clip, ["cat"], prompt_depth=2)
    couplings = [learner.proj, *learner.compound_prompt_projections]
    assert [(one.in_features, one.out_features) for one in couplings] == [(text_width, vision_width)] * 2
    prompts = learner.vision_prompts()
    assert [tuple(prompt.shape) for prompt in (prompts.first, *prompts.deep)] == [(2, vision_width)] * 2
    features = clip.encode_image(small.images(2 * patch), prompts)
    assert features.shape == (2, config["embed_dim"])
    gradients = torch.autograd.grad(features.sum(), list(learner.parameters()), allow_unused=True)
    assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


def test_prompts_that_would_be_dropped_are_refused():
    visual = small.open_clip_model().visual
    prompt, images = torch.zeros(1, 64), torch.zeros(1, 3, 32, 32)
    for prompts in (VisionPrompts(prompt, [prompt, prompt]), VisionPrompts(prompt[:0])):
        with pytest.raises(ValueError, match="deep for 2 blocks"):
            encode_with_prompts(visual, images, prompts)
    visual.set_grad_checkpointing(True)
    with pytest.raises(ValueError, match="set_grad_checkpointing"):
        encode_with_prompts(visual, images, VisionPrompts(prompt))


def layouts(visual: Any) -> list[bool]:
    """Whether each attention's input lies in memory as [L, B, W]; filled when the tower runs."""
    seen: list[bool] = []
    for module in visual.modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].transpose(0, 1).is_contiguous()))
    return seen


@pytest.mark.parametrize("autocast", [False, True])
def test_features_and_gradients_stay_and_the_layout_turns(autocast: bool) -> None:
    found = []
    for turned in (False, True):
        visual = small.open_clip_model().visual.requires_grad_(False)
        if turned:
            keep_attention_contiguous(visual)
        seen = layouts(visual)
        images = small.images(32, count=3).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            features = visual(images)
        (gradient,) = torch.autograd.grad(features.float().sum(), images)
        assert seen == [turned] * 2
        found.append((features, gradient))
    bound = 2e-2 if autocast else 1e-6  # bf16 has 8 bits
    for one, other in zip(*found, strict=True):
        assert (one - other).norm() <= bound * one.norm()


def test_torchs_fused_inference_gets_its_input_as_it_is() -> None:
    visual = small.open_clip_model().visual
    keep_attention_contiguous(visual)
    seen = layouts(visual)
    with torch.no_grad():
        visual(small.images(32, count=3))
    assert not any(seen)


def test_a_model_that_is_wrapped_twice_has_the_hook_once() -> None:
    model = small.open_clip_model()
    for _ in range(2):
        wrap_clip(model, "small")
    blocks = model.visual.transformer.resblocks
    assert [len(block.attn._forward_pre_hooks) for block in blocks] == [1, 1]
