"""Wrong labels against classifiers that are really fitted without each photo, and what is said of classes."""

import random

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lamm.gda import SCALES, SHRINKAGES, ClassStatistics, head
from lamm.review.labels import by_class, left_out_scores, suspects, to_photograph

PHOTOS, VIEWS, CLASSES, SIZE = 18, 2, 3, 6


def some_photos(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Unit features around a centre per class, labels, zero-shot scores that know a little."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(PHOTOS) % CLASSES
    centres = torch.randn(CLASSES, SIZE, generator=generator)
    noise = 0.8 * torch.randn(PHOTOS, VIEWS, SIZE, generator=generator)
    features = F.normalize(centres[labels][:, None] + noise, dim=-1)
    zero_shot = 5 * features @ F.normalize(centres + torch.randn(CLASSES, SIZE, generator=generator), dim=-1).T
    return features, labels, zero_shot


def slow_left_out(features: Tensor, labels: Tensor, zero_shot: Tensor) -> Tensor:
    """The same by as many fits as there are photos."""

    def loss(scores: Tensor) -> float:
        return F.cross_entropy(scores.flatten(0, 1), labels.repeat_interleave(VIEWS)).item()

    def without_each(shrinkage: float) -> Tensor:
        rows = []
        for i in range(len(labels)):
            rest = torch.arange(len(labels)) != i
            weight, bias = head(ClassStatistics.of(features[rest], labels[rest], CLASSES), shrinkage)
            rows.append((features[i].double() @ weight.T + bias).float())
        return torch.stack(rows)

    alpha = min((scale for scale in SCALES if scale <= 1), key=lambda scale: loss(scale * zero_shot))
    heads = {rho: without_each(rho) for rho in SHRINKAGES}
    rho, beta = min(((rho, scale) for rho in heads for scale in SCALES), key=lambda one: loss(one[1] * heads[one[0]]))
    return torch.log_softmax((alpha * zero_shot + beta * heads[rho]).mean(dim=1), dim=1)


def test_each_photo_is_judged_by_the_classifier_of_all_others() -> None:
    photos = some_photos()
    torch.testing.assert_close(left_out_scores(*photos), slow_left_out(*photos), atol=1e-4, rtol=1e-4)


def test_planted_errors_are_ranked_first() -> None:
    features, labels, _ = some_photos(3)
    centres = torch.stack([features[labels == c].mean(dim=(0, 1)) for c in range(CLASSES)])
    features = F.normalize(centres[labels][:, None] + 0.05 * (features - centres[labels][:, None]), dim=-1)
    planted = random.Random(0).sample(range(PHOTOS), 2)
    labels[planted] = (labels[planted] + 1) % CLASSES
    ranking = suspects(left_out_scores(features, labels, torch.zeros(PHOTOS, VIEWS, CLASSES)), labels)
    assert set(ranking.photo[:2]) == set(planted)
    assert sorted(ranking.photo) == list(range(PHOTOS))


def test_the_only_photo_of_a_class_is_judged_by_its_name_alone() -> None:
    features, labels, zero_shot = some_photos()
    labels[labels == 2] = 1
    labels[5] = 2
    log_p = left_out_scores(features, labels, zero_shot)
    assert log_p.isfinite().all()
    by_name = torch.stack([torch.log_softmax((scale * zero_shot[5]).mean(dim=0), dim=0) for scale in SCALES])
    assert (by_name - log_p[5]).abs().max(dim=1).values.min() < 1e-4


# Photo: its label → log p of three classes.
LOG_P = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]]).log()
LABELS = torch.tensor([0, 0, 0, 1, 2])


def test_the_least_probable_label_comes_first_with_a_better_one() -> None:
    ranking = suspects(LOG_P, LABELS)
    assert ranking.photo.tolist() == [1, 2, 0, 3, 4]
    assert ranking.suggested.tolist() == [1, 1, 0, 1, 2]
    assert ranking.probability.tolist() == pytest.approx([0.1, 0.3, 0.7, 0.7, 0.8])
    assert ranking.suggested_probability.tolist() == pytest.approx([0.8, 0.6, 0.7, 0.7, 0.8])
    assert ranking.alike.tolist() == [2, 2, 1, 1, 1]


def test_photos_of_a_class_that_the_judge_does_not_know_are_left_out() -> None:
    assert suspects(LOG_P, torch.tensor([0, 0, -1, 1, 2])).photo.tolist() == [1, 0, 3, 4]


def test_classes_are_told_by_what_is_recognised_and_what_they_are_taken_for() -> None:
    classes = by_class(["pear", "plum", "fig"], LABELS, LOG_P, torch.tensor([2, 2, 1, 1, 2])).set_index("name")
    assert classes.photos.to_dict() == {"pear": 3, "plum": 1, "fig": 1}
    pear = classes.loc["pear"]
    assert (pear.right, pear.confused, pear.confused_share) == pytest.approx((100 / 3, "plum", 200 / 3))
    assert (pear.by_name, pear.taken_for) == (0, "fig")
    assert (classes.right["plum"], classes.confused["plum"]) == (100, "")


def test_few_photos_and_confused_classes_are_to_be_photographed() -> None:
    rows = [("sure", 20, 95.0, "", 0.0), ("confused", 20, 50.0, "sure", 40.0), ("few", 2, 100.0, "", 0.0)]
    rows.append(("none", 0, float("nan"), "", float("nan")))
    needed = to_photograph(pd.DataFrame(rows, columns=["name", "photos", "right", "confused", "confused_share"]))
    assert needed.name.tolist() == ["none", "few", "confused"]
    assert needed.why.tolist() == ["0 photos", "2 photos", "50 % recognised, 40 % taken for sure: photograph both"]
