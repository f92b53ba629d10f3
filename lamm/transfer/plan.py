"""What the words of a transfer command ask for: a source, its targets, and the settings of them all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from yacs.config import CfgNode

from lamm.datasets import BENCHMARK, DATASETS, DEMO, OWN, dataset_class
from lamm.errors import ConfigError, unknown_name
from lamm.results.published import VARIANTS, published
from lamm.run.arguments import KEY, require_no_folder, train_parser
from lamm.run.before import earlier_run
from lamm.run.plan import RunPlan, default_config, plan_run, trainer_config, trainer_configs
from lamm.sweep.runs import require_data
from lamm.transfer import BASE, BASE_TO_NEW, CROSS_DATASET, DOMAIN_GENERALIZATION, NEW

SUBSET = "DATASET.SUBSAMPLE_CLASSES"
ExtendCfg = Callable[[CfgNode], None]


@dataclass(frozen=True)
class TransferRequest:
    """One trainer, one source, its targets.

    Attributes:
        protocol: `domain_generalization`, `base_to_new` or `cross_dataset`.
        trainer: Registered name.
        source: Data set to train on.
        shots: Training images per class.
        targets: Data sets to test on; `new` alone in `base_to_new`.
        config: Of the trainer; None: its default for the source.
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
        ConfigError: A word that is none of these, a source that can't be trained on, a target that can't be one, or
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
        ConfigError: There are none for this source.
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


def plan_transfer(
    request: TransferRequest, seeds: Sequence[int], root: str, extend_cfg: ExtendCfg, flags: Sequence[str] = ()
) -> list[tuple[str, Sequence[str]]]:
    """Plan every run, and look whether all data are there, before anything takes time.

    Args:
        request: What to run.
        seeds: One training run each.
        root: Of the data.
        extend_cfg: Adds the trainers' config keys.
        flags: Further flags of every `train.py`.

    Returns:
        For each seed the training on the source, then a test on each target.

    Raises:
        ConfigError: A mistake in any run's settings, or a folder that holds another run.
        DataError: Data that are missing or broken.
    """
    config = request.config

    def words_of(seed: int, subset: str, *further: str) -> tuple[str, ...]:
        """The command line of a run on a target, or on the source (`base`)."""
        dataset = request.source if subset in (BASE, NEW) else subset
        words = ["--trainer", request.trainer, "--dataset", dataset, "--shots", str(request.shots)]
        words += ["--seed", str(seed), "--root", root, *(("--config-file", str(config)) if config else ())]
        half = (SUBSET, subset) if request.protocol == BASE_TO_NEW else ()
        return (*words, *flags, *further, *half, *request.overrides)

    def plan(words: Sequence[str]) -> RunPlan:
        return plan_run(train_parser().parse_args(list(words)), extend_cfg)

    source = plan(words_of(seeds[0], BASE))
    node = getattr(source.trainer_class, "config_node", "")
    specific = node in source.cfg.TRAINER and source.cfg.TRAINER[node].get("CSC", False)
    if specific and request.protocol != DOMAIN_GENERALIZATION:
        raise ConfigError(
            f"TRAINER.{node}.CSC is True: context of each class has nothing for other classes, set it to False"
        )
    if request.protocol != DOMAIN_GENERALIZATION and not getattr(source.trainer_class, "serves_other_classes", True):
        raise ConfigError(
            f"{source.trainer} computes a part for each class from its images and has nothing for other classes: "
            f"{request.protocol} is not for it"
        )
    if config is None:  # targets take the source's config, whatever their own default is
        config = default_config(source.trainer, source.trainer_class, request.source in DEMO)
    learns = getattr(source.trainer_class, "learner_class", source.trainer_class) is not None
    runs: list[tuple[str, Sequence[str]]] = []
    for number, seed in enumerate(seeds, start=1):
        training = plan(words_of(seed, BASE))
        earlier_run(training)
        model = ("--model-dir", str(training.output_dir)) if learns else ()
        tests = {target: words_of(seed, target, "--eval-only", *model) for target in request.targets}
        if training.output_dir.is_dir() or not learns:
            for words in tests.values():
                earlier_run(plan(words))
        label = f"seed {seed} ({number} of {len(seeds)})"
        runs.append((f"{label}: training on {request.source}", words_of(seed, BASE)))
        runs += [(f"{label}: testing on {target}", words) for target, words in tests.items()]
    source.trainer_class.require_weights(source.cfg)  # also where only tests are left, which are done again
    for one in (source, *(plan(words_of(seeds[0], target)) for target in request.targets)):
        require_data(one)
    return runs
