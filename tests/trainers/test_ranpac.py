"""RanPAC and the nearest class mean: their equations, and that heads of several sets are the head of all of them."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from lamm_trainers.gda import GDALearner
from lamm_trainers.nearest_mean import NearestMeanLearner
from lamm_trainers.ranpac import SEED, RanPACLearner
from torch import Tensor

from lamm.checkpoints.by_class_name import load_learned
from lamm.clip.model import ClipModel
from lamm.errors import CheckpointError
from tests.reference import slow_ranpac

NAMES = ["red", "green", "blue"]
TEMPLATES = ["a photo of a {}."]
SIZE = 24


@pytest.fixture(scope="module")
def clip(clips: dict[tuple[str, str], ClipModel]) -> ClipModel:
    return clips["vit", "fp32"]


@pytest.fixture(scope="module")
def images(clip: ClipModel) -> tuple[Tensor, Tensor]:
    """Unit features of 5 images per class, 2 views each, (15, 2, E), and labels (15,)."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(3).repeat_interleave(5)
    centres = torch.randn(3, 1, clip.embed_dim, generator=generator)[labels]
    return F.normalize(centres + torch.randn(15, 2, clip.embed_dim, generator=generator), dim=-1), labels


def pairs(features: Tensor, labels: Tensor) -> list[tuple[np.ndarray, int]]:
    return [(x.double().numpy(), int(label)) for views, label in zip(features, labels, strict=True) for x in views]


def test_the_nearest_mean_is_the_cosine_with_the_mean_of_a_class(
    clip: ClipModel, images: tuple[Tensor, Tensor]
) -> None:
    learner = NearestMeanLearner(clip, NAMES, TEMPLATES)
    learner.fit(*images)
    x = images[0][7, 1]
    cosines = slow_ranpac.class_mean_cosines(pairs(*images), 3, x.double().numpy())
    expected = torch.tensor(cosines) * clip.logit_scale.exp()
    torch.testing.assert_close(learner.scores(x[None], learner.text_features())[0], expected, rtol=1e-5, atol=1e-5)


def test_ranpac_is_the_ridge_regression_on_projected_features(clip: ClipModel, images: tuple[Tensor, Tensor]) -> None:
    features, labels = images
    learner = RanPACLearner(clip, NAMES, TEMPLATES, SIZE)
    learner.fit(features, labels)
    projection = learner.projection.double().numpy()

    order = torch.randperm(15, generator=torch.Generator().manual_seed(SEED))
    fitted, held_out = (pairs(features[part], labels[part]) for part in (order[:12], order[12:]))
    ridge = slow_ranpac.best_ridge(fitted, held_out, 3, projection)
    assert learner.chosen()["ridge"] == ridge
    assert 1e-8 < ridge < 1e8

    weights = slow_ranpac.ridge_weights(pairs(features, labels), 3, projection, ridge)
    x = features[7, 1]
    expected = torch.from_numpy(slow_ranpac.h(x.double().numpy(), projection) @ weights).float()
    scores = learner.scores(x[None], learner.text_features())[0]
    torch.testing.assert_close(scores * learner.chosen()["temperature"], expected, rtol=1e-5, atol=1e-5)


# One image of the last class alone, whose loss says nothing; an image per class.
@pytest.mark.parametrize("some", [slice(11), slice(0, 15, 5)])
def test_ranpacs_temperature_has_the_least_log_loss_of_images_left_out(
    some: slice, clip: ClipModel, images: tuple[Tensor, Tensor]
) -> None:
    features, labels = (part[some] for part in images)
    learner = RanPACLearner(clip, NAMES, TEMPLATES, SIZE)
    learner.fit(features, labels)
    projection, chosen = learner.projection.double().numpy(), learner.chosen()
    scores = []
    for place in range(len(labels)):
        rest = [image for image in range(len(labels)) if image != place]
        weights = slow_ranpac.ridge_weights(pairs(features[rest], labels[rest]), 3, projection, chosen["ridge"])
        scores.append([slow_ranpac.h(x.double().numpy(), projection) @ weights for x in features[place]])
    zero_shot = learner.zero_shot(features).double().numpy()
    temperature = slow_ranpac.best_temperature(np.array(scores), labels.tolist(), zero_shot)
    assert chosen["temperature"] == pytest.approx(temperature, rel=1e-6)


def test_a_checkpoint_without_a_temperature_is_read_and_one_of_another_projection_is_told(
    clip: ClipModel, images: tuple[Tensor, Tensor]
) -> None:
    learner, again, other = (RanPACLearner(clip, NAMES, TEMPLATES, size) for size in (SIZE, SIZE, SIZE + 1))
    learner.fit(*images)
    state = learner.state_dict()
    with pytest.raises(CheckpointError, match=r"PROJECTION 24, this run has PROJECTION 25: set .*RANPAC\.PROJECTION"):
        load_learned(other, state, "file")
    expected = learner.scores(images[0][:, 0], learner.text_features()) * state.pop("temperature").item()
    for load in (lambda: load_learned(again, dict(state), "file"), lambda: again.load_state_dict(dict(state))):
        again.temperature.fill_(7.0)
        load()
        torch.testing.assert_close(again.scores(images[0][:, 0], again.text_features()), expected)


def test_the_projection_is_the_same_in_every_step(clip: ClipModel) -> None:
    one, other = (RanPACLearner(clip, names, TEMPLATES, SIZE) for names in (NAMES, ["grey"]))
    assert torch.equal(one.projection, other.projection)
    assert 0.9 < one.projection.std() < 1.1


@pytest.mark.parametrize("kind", [NearestMeanLearner, RanPACLearner, GDALearner])
def test_heads_learned_set_by_set_are_the_head_of_all_classes(
    kind: type, clip: ClipModel, images: tuple[Tensor, Tensor]
) -> None:
    features, labels = images
    size = [SIZE] if kind is RanPACLearner else []
    whole, first, second = (kind(clip, names, TEMPLATES, *size) for names in (NAMES, NAMES[:2], NAMES[2:]))
    first.fit(features[labels < 2], labels[labels < 2])
    second.earlier = [first]
    second.fit(features[labels == 2], labels[labels == 2] - 2)
    whole.fit(features, labels)
    for name in second.chosen():  # by the last step's images
        of_whole, of_second = (getattr(one, "head", one) for one in (whole, second))
        getattr(of_whole, name).copy_(getattr(of_second, name))
    whole.join()
    x = features[:, 0]
    scores = torch.cat([learner.scores(x, learner.text_features()) for learner in (first, second)], dim=1)
    torch.testing.assert_close(scores, whole.scores(x, whole.text_features()), rtol=1e-5, atol=1e-5)
