"""ZeroshotCLIP: one template, or the ensemble of several, against open_clip alone."""

from collections.abc import Callable
from typing import Any

import open_clip
import pytest
import torch
from lamm_trainers import ZeroshotCLIP
from torch import Tensor

from lamm.datasets import TEMPLATES, ensemble_of, template_of
from lamm.engine import DATASET_REGISTRY

Config = Callable[..., Any]
CLASSES = ["red square", "green", "blue (dark)"]
SEVEN = [
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
]
PLAIN = "a photo of a {}."
# The benchmark's table of templates; all others have the plain one.
OWN = {
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "Food101": "a photo of {}, a type of food.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "UCF101": "a photo of a person doing {}.",
}


@torch.no_grad()
def mean_of_templates(model: Any, templates: list[str]) -> Tensor:
    """Unit features of each template, averaged, made unit length again; class by class. Shape: (N, E)"""
    rows = []
    for name in CLASSES:
        features = model.encode_text(open_clip.tokenize([template.replace("{}", name) for template in templates]))
        features = features / features.norm(dim=-1, keepdim=True)
        mean = features.sum(dim=0) / len(templates)
        rows.append(mean / mean.norm())
    return torch.stack(rows)


def equal(got: Tensor, expected: Tensor) -> bool:
    return torch.allclose(got, expected, atol=1e-6, rtol=0)


@pytest.fixture
def as_dataset(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts the squares under the name of another data set."""

    def register(name: str) -> None:
        tables = (value for value in vars(DATASET_REGISTRY).values() if isinstance(value, dict))
        (table,) = (table for table in tables if "TrainerSquares" in table)
        monkeypatch.setitem(table, name, DATASET_REGISTRY.get("TrainerSquares"))

    return register


@pytest.fixture
def zero_shot(squares_config: Config) -> Callable[..., ZeroshotCLIP]:
    def build(*overrides: Any, ensemble: bool = True) -> ZeroshotCLIP:
        return ZeroshotCLIP(
            squares_config("ZeroshotCLIP", "zero", "TRAINER.ZEROSHOTCLIP.ENSEMBLE", ensemble, *overrides)
        )

    return build


def logged_templates(lines: list[str]) -> list[str]:
    """What the last `Templates:` line of the log names."""
    line = next(line for line in reversed(lines) if line.startswith("Templates: "))
    return line.removeprefix('Templates: "').removesuffix('"').split('", "')


def test_one_template_gives_clips_own_text_features(zero_shot: Any, small_model: Any) -> None:
    assert equal(zero_shot(ensemble=False).text_features()[0], mean_of_templates(small_model, [PLAIN]))


def test_the_ensemble_is_the_mean_of_unit_features_made_unit_length(zero_shot: Any, small_model: Any) -> None:
    got = zero_shot().text_features()
    assert got.shape == (1, len(CLASSES), small_model.text_projection.shape[1])
    assert equal(got[0], mean_of_templates(small_model, [*SEVEN, PLAIN]))
    assert not equal(got[0], mean_of_templates(small_model, SEVEN))


def test_the_ensembles_scores_are_cosines_over_the_temperature(zero_shot: Any, small_model: Any) -> None:
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = small_model.encode_image(images)
    features = features / features.norm(dim=-1, keepdim=True)
    expected = small_model.logit_scale.exp() * features @ mean_of_templates(small_model, [*SEVEN, PLAIN]).T
    torch.testing.assert_close(zero_shot().model_inference(images), expected, atol=2e-5, rtol=0)


def test_imagenet_has_the_seven_alone(zero_shot: Any, as_dataset: Any, small_model: Any, log_lines: list[str]) -> None:
    as_dataset("ImageNet")
    got = zero_shot("DATASET.NAME", "ImageNet").text_features()[0]
    assert logged_templates(log_lines) == SEVEN
    assert equal(got, mean_of_templates(small_model, SEVEN))


@pytest.mark.parametrize("name", ["OxfordPets", "ImageNetV2"])
def test_other_data_sets_have_their_own_template_as_the_eighth(
    name: str, zero_shot: Any, as_dataset: Any, small_model: Any, log_lines: list[str]
) -> None:
    as_dataset(name)
    got = zero_shot("DATASET.NAME", name).text_features()[0]
    assert logged_templates(log_lines) == [*SEVEN, OWN.get(name, PLAIN)]
    assert equal(got, mean_of_templates(small_model, [*SEVEN, OWN.get(name, PLAIN)]))


def test_every_data_set_of_the_table_has_its_template_once() -> None:
    assert {name: template for name, template in TEMPLATES.items() if template != PLAIN} == OWN
    for name in TEMPLATES:
        expected = SEVEN if name == "ImageNet" else [*SEVEN, OWN.get(name, PLAIN)]
        assert ensemble_of(name, template_of(name)) == expected


def test_building_twice_adds_no_template_twice(zero_shot: Any, log_lines: list[str]) -> None:
    first, second = zero_shot(), zero_shot()
    assert torch.equal(first.text_features(), second.text_features())
    assert logged_templates(log_lines) == [*SEVEN, PLAIN]


@pytest.mark.parametrize("ensemble", [False, True])
def test_the_configs_template_replaces_the_data_sets_own(
    ensemble: bool, zero_shot: Any, as_dataset: Any, small_model: Any
) -> None:
    as_dataset("OxfordPets")
    given = "a drawing of one {}."
    trainer = zero_shot("DATASET.NAME", "OxfordPets", "DATASET.TEMPLATE", given, ensemble=ensemble)
    expected = mean_of_templates(small_model, [*(SEVEN if ensemble else []), given])
    assert equal(trainer.text_features()[0], expected)


def test_a_data_set_can_bring_its_own_template(zero_shot: Any, monkeypatch: Any, small_model: Any) -> None:
    own = "{}, as a colour."
    monkeypatch.setattr(DATASET_REGISTRY.get("TrainerSquares"), "template", own, raising=False)
    assert equal(zero_shot().text_features()[0], mean_of_templates(small_model, [*SEVEN, own]))
