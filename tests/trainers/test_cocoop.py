"""CoCoOp (arXiv:2203.05557), alone and aligned: the meta-net, and prompts that depend on the image."""

from typing import Any

import pytest
import torch
from lamm_trainers.cocoop import CoCoOpLearner

from lamm.clip.loading import wrap_clip
from lamm.clip.model import ClipModel
from lamm.errors import ConfigError
from lamm.losses import feature_loss
from tests.clip.small_clip_models import open_clip_model
from tests.reference.whole_prompt import encode_texts
from tests.trainers.learner_cases import NAMES, WORDS, batch, cocoop, cocoop_lamm, coop, disturb, loss_parts, train


@pytest.mark.parametrize(("embed_dim", "hidden"), [(64, 4), (8, 1)])
def test_the_meta_net_goes_through_a_sixteenth_of_the_image_feature(embed_dim: int, hidden: int) -> None:
    learner = CoCoOpLearner(clip_of(embed_dim), NAMES, n_ctx=3)
    assert learner.ctx.shape == (3, 32)
    shapes = {name: tuple(value.shape) for name, value in learner.meta_net.named_parameters()}
    assert shapes == {
        "linear1.weight": (hidden, embed_dim),
        "linear1.bias": (hidden,),
        "linear2.weight": (32, hidden),
        "linear2.bias": (32,),
    }


def clip_of(embed_dim: int) -> ClipModel:
    """A small CLIP with features of E numbers."""
    model: Any = open_clip_model(width=32, heads=2, layers=1)
    model.text_projection = torch.nn.Parameter(model.text_projection[:, :embed_dim])
    model.visual.proj = torch.nn.Parameter(model.visual.proj[:, :embed_dim])
    return wrap_clip(model, "small")


def test_the_meta_nets_output_is_added_to_every_context_vector(small_clip: ClipModel) -> None:
    learner = cocoop(small_clip)
    images, _ = batch(small_clip, 3)
    net = learner.meta_net
    for image, context in zip(images, learner.context(images), strict=True):
        hidden = (net.linear1.weight @ image + net.linear1.bias).clamp(min=0)
        shift = net.linear2.weight @ hidden + net.linear2.bias
        torch.testing.assert_close(context, learner.ctx + shift)
    assert torch.equal(learner.context(), learner.ctx[None])


def test_a_meta_net_of_zeros_leaves_coop(small_clip: ClipModel) -> None:
    learner = cocoop(small_clip)
    with torch.no_grad():
        for value in learner.meta_net.parameters():
            value.zero_()
    images, _ = batch(small_clip, 3)
    expected = coop(small_clip).text_features().expand(3, -1, -1)
    torch.testing.assert_close(learner.text_features(images), expected, atol=1e-6, rtol=1e-6)


def test_each_image_has_the_prompts_it_would_have_alone(small_clip: ClipModel) -> None:
    learner = disturb(cocoop_lamm(small_clip))
    images, _ = batch(small_clip, 3)
    together = learner.text_features(images)
    assert together.shape == (3, len(NAMES), 64)
    for image, features in zip(images, together, strict=True):
        torch.testing.assert_close(learner.text_features(image[None])[0], features, atol=1e-6, rtol=1e-5)
    assert (together[0] - together[1]).norm() > 1e-3


def test_the_feature_loss_is_the_mean_over_images_and_classes_or_each_images_label(small_clip: ClipModel) -> None:
    images, _ = batch(small_clip, 3)
    labels = [1, 4, 1]
    for over in ("classes", "batch"):
        learner = disturb(cocoop_lamm(small_clip, cos_over=over))
        z, y = learner.text_features(images), learner.teacher_features(images)[0]
        pairs = [(b, i) for b in range(3) for i in (range(len(NAMES)) if over == "classes" else [labels[b]])]
        expected = sum(1 - (z[b, i] * y[i]).sum().item() for b, i in pairs) / len(pairs)
        got = loss_parts(learner, images, torch.tensor(labels))["loss_cos"]
        assert got.item() == pytest.approx(expected, rel=1e-5)


def test_the_prompt_teacher_has_a_context_for_each_image_and_is_detached(small_clip: ClipModel) -> None:
    learner, base = disturb(cocoop_lamm(small_clip, teacher="prompt")), cocoop(small_clip)
    state = learner.state_dict()
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            parameter.copy_(state[name])
    images, labels = batch(small_clip)
    teacher = learner.teacher_features(images)
    torch.testing.assert_close(teacher, base.text_features(images), atol=1e-6, rtol=1e-6)
    (got,) = torch.autograd.grad(loss_parts(learner, images, labels)["loss_cos"], learner.ctx)
    (expected,) = torch.autograd.grad(feature_loss(learner.text_features(images), teacher.detach()), learner.ctx)
    (moving,) = torch.autograd.grad(feature_loss(learner.text_features(images), teacher), learner.ctx)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-4)
    assert (moving - expected).norm() > 0.01 * expected.norm()


def test_the_clip_teacher_of_cocoop_is_the_same_for_all_images(small_model: Any, small_clip: ClipModel) -> None:
    learner = cocoop_lamm(small_clip, variant="random")
    images, labels = batch(small_clip)
    train(learner, images, labels, steps=2, rate=0.1)
    expected = encode_texts(small_model, [f"{WORDS} {name.replace('_', ' ')}." for name in NAMES])
    torch.testing.assert_close(learner.teacher_features(images)[0], expected, atol=1e-6, rtol=1e-5)


def test_cocoop_without_any_context_is_refused(small_clip: ClipModel) -> None:
    with pytest.raises(ConfigError, match="N_CTX is 0: without CTX_INIT at least one context vector"):
        CoCoOpLearner(small_clip, NAMES, n_ctx=0)
