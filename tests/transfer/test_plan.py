"""The words of a transfer command: targets, config, overrides, and mistakes among them."""

import pytest

from lamm.errors import ConfigError
from lamm.transfer.plan import TransferRequest, read_request

DOMAINS, NEW, CROSS = "domain_generalization", "base_to_new", "cross_dataset"


def request(protocol: str, line: str) -> TransferRequest:
    source, shots, *rest = line.split()
    return read_request(protocol, "LAMM", source, int(shots), rest)


def test_words_that_name_data_sets_are_targets_then_come_config_and_overrides() -> None:
    asked = request(DOMAINS, "shapes 4 shapes_noisy shapes_sketch tiny_ep50 OPTIM.LR 0.1")
    assert (asked.source, asked.shots, asked.targets) == ("shapes", 4, ("shapes_noisy", "shapes_sketch"))
    assert asked.config is not None
    assert (asked.config.name, asked.overrides) == ("tiny_ep50.yaml", ("OPTIM.LR", "0.1"))


def test_config_and_overrides_may_be_left_out() -> None:
    assert request(CROSS, "shapes 4 digits").config is None
    assert request(CROSS, "shapes 4 digits OPTIM.LR 0.1").overrides == ("OPTIM.LR", "0.1")


@pytest.mark.parametrize(
    ("protocol", "source", "targets"),
    [
        (DOMAINS, "imagenet", ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")),
        (DOMAINS, "shapes", ("shapes_sketch", "shapes_noisy", "shapes_inverted")),
        (NEW, "digits", ("new",)),
    ],
)
def test_the_usual_targets(protocol: str, source: str, targets: tuple[str, ...]) -> None:
    assert request(protocol, f"{source} 1").targets == targets


def test_from_imagenet_the_ten_other_data_sets_are_the_usual_targets() -> None:
    targets = request(CROSS, "imagenet 16").targets
    assert len(targets) == 10
    assert "imagenet" not in targets
    assert {"caltech101", "eurosat", "sun397"} < set(targets)


@pytest.mark.parametrize(
    ("protocol", "line", "said"),
    [
        (
            DOMAINS,
            "shapes 1 shapes_skech",
            'unknown target, or config of LAMM, "shapes_skech"; did you mean "shapes_sk',
        ),
        (DOMAINS, "shapes 1 shapes_noisy tiny_ep05", 'did you mean "tiny_ep50"'),
        (DOMAINS, "shapes 1 shapes", "shapes is the source, which is in the table anyway"),
        (DOMAINS, "shapes 1 shapes_noisy shapes_noisy", "shapes_noisy is named twice"),
        (DOMAINS, "shape 1 shapes_noisy", 'unknown data set "shape"; did you mean "shapes"'),
        (DOMAINS, "caltech101 1", "from caltech101 has no usual targets .those from imagenet and shapes have"),
        (CROSS, "shapes 1", "from shapes has no usual targets"),
        (DOMAINS, "imagenet_sketch 1 imagenet", "imagenet_sketch is for testing only"),
        (NEW, "imagenet_a 1", "imagenet_a is for testing only"),
        (CROSS, "shapes 1 folder", "your own images .data set folder. can't be a target"),
        (CROSS, "folder 1 digits", "your own images .data set folder. can't be a source here"),
        (NEW, "digits 1 shapes", 'unknown config of LAMM "shapes"'),
        (CROSS, "shapes 1 digits DATASET.SUBSAMPLE_CLASSES new", "SUBSAMPLE_CLASSES has no place in cross_dataset"),
        (DOMAINS, "shapes 1 OPTIM.LR 0.1 DATASET.SUBSAMPLE_CLASSES base", "has no place in domain_generalization"),
        (NEW, "digits 1 DATASET.SUBSAMPLE_CLASSES all", "DATASET.SUBSAMPLE_CLASSES is what base_to_new sets itself"),
    ],
)
def test_a_mistake_is_one_line(protocol: str, line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        request(protocol, line)
    assert "\n" not in str(raised.value)
