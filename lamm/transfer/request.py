"""What the words of a transfer command ask for: a source, its targets, and the settings of them all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lamm.datasets import BENCHMARK, DATASETS, OWN, dataset_class
from lamm.errors import ConfigError
from lamm.results.published import published
from lamm.results.transfer import VARIANTS
from lamm.results.transfer_pairs import BASE_TO_NEW, CROSS_DATASET, DOMAIN_GENERALIZATION, NEW
from lamm.run.config_files import trainer_config, trainer_configs
from lamm.run.main_script import require_no_folder
from lamm.run.settings import KEY
from lamm.suggest import unknown_name

SUBSET = "DATASET.SUBSAMPLE_CLASSES"


@dataclass(frozen=True)
class TransferRequest:
    """One trainer, one source, its targets.

    Attributes:
        protocol: `domain_generalization`, `base_to_new` or `cross_dataset`.
        trainer: registered name.
        source: data set to train on.
        shots: training images a class.
        targets: data sets to test on; `new` alone in `base_to_new`.
        config: of the trainer; None: its default for the source.
        overrides: KEY VALUE … of every run.
    """

    protocol: str
    trainer: str
    source: str
    shots: int
    targets: tuple[str, ...]
    config: Path | None
    overrides: tuple[str, ...]


def read_request(protocol: str, trainer: str, source: str, shots: int, rest: Sequence[str]) -> TransferRequest:
    """The request in `SOURCE SHOTS [TARGET …] [CFG] [KEY VALUE …]`; `base_to_new` has no targets of its own.

    Raises:
        ConfigError: a word that is none of these, a source that can't be trained on, a target that can't be one, or
            no target where there are no usual ones.
    """
    require_no_folder(rest)
    words = list(rest)
    targets: list[str] = []
    while words and protocol != BASE_TO_NEW and words[0] in DATASETS:
        targets.append(words.pop(0))
    config = None
    if words and words[0] in trainer_configs(trainer):
        config = trainer_config(trainer, words.pop(0))
    elif words and not KEY.fullmatch(words[0]):
        known = [*trainer_configs(trainer), *(DATASETS if protocol != BASE_TO_NEW and config is None else ())]
        kind = f"config of {trainer}" if protocol == BASE_TO_NEW else f"target, or config of {trainer},"
        raise ConfigError(unknown_name(kind, words[0], known))
    _check_source(protocol, source)
    if SUBSET in words[::2]:
        reason = f"is what {protocol} sets itself" if protocol == BASE_TO_NEW else f"has no place in {protocol}"
        raise ConfigError(f"{SUBSET} {reason}: leave it out")
    if protocol == BASE_TO_NEW:
        return TransferRequest(protocol, trainer, source, shots, (NEW,), config, tuple(words))
    chosen = tuple(targets) or usual_targets(protocol, source)
    _check_targets(source, chosen)
    return TransferRequest(protocol, trainer, source, shots, chosen, config, tuple(words))


def usual_targets(protocol: str, source: str) -> tuple[str, ...]:
    """The targets of the papers: ImageNet's variants (of `shapes` its own), or the ten other data sets.

    Raises:
        ConfigError: there are none for this source.
    """
    others = tuple(name for name in published("few_shot").trained_on if name != "imagenet")
    usual = {DOMAIN_GENERALIZATION: VARIANTS, CROSS_DATASET: {"imagenet": others}}[protocol]
    if source not in usual:
        raise ConfigError(
            f"{protocol} from {source} has no usual targets (those from {' and '.join(usual)} have): "
            "name them behind SHOTS"
        )
    return usual[source]


def _check_source(protocol: str, source: str) -> None:
    if source not in DATASETS:
        raise ConfigError(unknown_name("data set", source, DATASETS))
    if source not in OWN and getattr(dataset_class(source), "test_only", False):
        raise ConfigError(f"{source} is for testing only: it can be a target, not what is trained on")
    if source in OWN and protocol != BASE_TO_NEW:
        raise ConfigError(f"your own images (data set {source}) can't be a source here: all targets have one data root")


def _check_targets(source: str, targets: Sequence[str]) -> None:
    for number, target in enumerate(targets):
        if target == source:
            raise ConfigError(f"{target} is the source, which is in the table anyway: name other targets")
        if target in targets[:number]:
            raise ConfigError(f"{target} is named twice: name each target once")
        if target in OWN:
            known = [name for name in BENCHMARK if name != source]
            raise ConfigError(f"your own images (data set {target}) can't be a target here; known: {', '.join(known)}")
