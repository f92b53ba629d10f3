"""Heads in closed form, learned set by set: the sums of earlier sets come from their checkpoints."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from lamm.errors import CheckpointError
from lamm.incremental.step import statistics_of
from tests.incremental.incremental_runs import CLOSED_FORMS, NAMES, built, planned, trained

SMALL = {"RanPAC": "TRAINER.RANPAC.PROJECTION 50"}


class Steps(NamedTuple):
    root: Path
    first: Any
    second: Any


@pytest.fixture(scope="module", params=CLOSED_FORMS)
def steps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    root, folder = tmp_path_factory.getbasetemp() / "statistics", tmp_path_factory.mktemp(request.param)
    first, second = (trained(request.param, root, folder, step, SMALL.get(request.param, "")) for step in (1, 2))
    return Steps(root, first, second)


def images_of(trainer: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return trainer.train_loader_x.features, trainer.train_loader_x.labels


def test_after_the_last_step_the_head_is_that_of_all_sets_at_once(steps: Steps) -> None:
    _, first, second = steps
    whole = second.build_learner(second.clip, NAMES)
    (features, labels), (further, further_labels) = images_of(first), images_of(second)
    whole.fit(torch.cat([features, further]), torch.cat([labels, further_labels + 5]))
    last = second.learner.state_dict()
    for name, value in whole.state_dict().items():
        if name.removeprefix("head.") in second.learner.chosen():  # by the last step's images
            value.copy_(last[name])
    whole.join()
    image = second.val_loader.features[:, 0]
    (earlier,) = second.incremental.earlier
    scores = torch.cat([one.scores(image, one.text_features()) for one in (earlier, second.learner)], dim=1)
    expected = whole.scores(image, whole.text_features())
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    right = int((expected.argmax(dim=1) == second.val_loader.labels + 5).sum())
    assert second.further_metrics["set2_accuracy_seen"] == pytest.approx(100 * right / len(image))


def test_statistics_of_an_earlier_set_are_what_its_step_saved(steps: Steps) -> None:
    _, first, second = steps
    (earlier,) = second.incremental.earlier
    saved, loaded = statistics_of(first.learner), statistics_of(earlier)
    same = [name for name in saved if torch.equal(saved[name], loaded[name])]
    assert {"means", "gram", "products", "sum", "outer", "count"}.intersection(saved) <= set(same)


def test_a_step_that_is_started_again_has_the_same_numbers(steps: Steps) -> None:
    second = steps.second
    again = built(second.cfg)
    again.train()
    assert again.start_epoch == 1
    assert again.further_metrics == second.further_metrics


def test_a_step_without_the_checkpoint_of_an_earlier_one_is_named(steps: Steps, tmp_path: Path) -> None:
    name = type(steps.second).__name__
    with pytest.raises(CheckpointError, match="step1/prompt_learner has no checkpoint"):
        built(planned(name, steps.root, tmp_path, 2, SMALL.get(name, "")))


def test_labels_and_head_learn_set_by_set_and_the_head_is_that_of_all_sets(tmp_path: Path) -> None:
    settings = "OPTIM.MAX_EPOCH 1 INPUT.CACHE_VIEWS 2"
    first, second = (trained("LAMM_GDA", tmp_path / "data", tmp_path / "runs", step, settings) for step in (1, 2))
    (earlier,) = second.incremental.earlier
    assert torch.equal(earlier.label_embeddings, first.learner.label_embeddings)
    whole = second.build_learner(second.clip, NAMES)
    views = torch.cat([first.of_head.features, second.of_head.features])
    with torch.no_grad():
        whole.fit(views, torch.cat([first.of_head.labels, second.of_head.labels + 5]))
        whole.head.alpha.copy_(second.learner.head.alpha)
        whole.head.shrinkage.copy_(second.learner.head.shrinkage)
        whole.join()
    image = views[:, 0]
    scores = torch.cat([earlier.head(image), second.learner.head(image)], dim=1)
    torch.testing.assert_close(scores, whole.head(image), rtol=1e-5, atol=1e-5)
