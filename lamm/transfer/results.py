"""Accuracy of trained models on other domains, new classes and other data sets, over seeds."""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from statistics import fmean

import pandas as pd

from lamm.results.collect import natural, shots_in_words
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.published import published
from lamm.results.table import Statistic
from lamm.transfer.runs import BASE, BASE_TO_NEW, DOMAIN_GENERALIZATION, NEW, PROTOCOLS, Transfer, find_transfers

LEARNED, FROM_CLIP = "labels_learned", "labels_from_clip"
VARIANTS = {
    "imagenet": ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"),
    "shapes": ("shapes_sketch", "shapes_noisy", "shapes_inverted"),
}
"""Data sets with the same classes under domain shift, in the order of the tables."""


@dataclass(frozen=True)
class TransferResult:
    """A model trained on one source, over its seeds.

    Attributes:
        protocol: `domain_generalization`, `base_to_new` or `cross_dataset`.
        source: Data set that it was trained on; in `base_to_new` on its base classes; of a mean what it is called.
        averaged: The data sets of a mean over several; empty for a result on one.
        shots: Training images a class.
        trainer: Registered name.
        cfg: Name of the config file with overrides.
        split: The part of the data that was measured on.
        backbone: The CLIP model.
        seeds: Of the runs that were evaluated on any target.
        seeds_of_targets: Of the evaluations, by target: all `seeds`, but for those that are missing.
        source_accuracy: Percent on the source itself.
        targets: Percent by target; `new` is the target of `base_to_new`.
        labels_from_clip: Of a trainer that learns labels: target → classes whose label is CLIP's own, the most of any
            seed. A trainer without labels has none here.
        classes: Of the same targets the number of classes.
        harmonic_means: Of `base_to_new`, for each seed.
        files: The results.json of all these runs.
        problems: One line for each evaluation that is missing or there twice.
    """

    protocol: str
    source: str
    averaged: tuple[str, ...]
    shots: int
    trainer: str
    cfg: str
    split: str
    backbone: str
    seeds: tuple[int, ...]
    seeds_of_targets: dict[str, tuple[int, ...]]
    source_accuracy: Statistic
    targets: dict[str, Statistic]
    labels_from_clip: dict[str, int]
    classes: dict[str, int]
    harmonic_means: tuple[float, ...]
    files: tuple[Path, ...]
    problems: tuple[str, ...]

    @property
    def fewest_seeds(self) -> int:
        """The smallest number of seeds of the source and any target, which is what the average stands on."""
        return min(len(seeds) for seeds in (self.seeds, *self.seeds_of_targets.values()))

    @property
    def average(self) -> float | None:
        """The mean that the protocol's tables show; None for `base_to_new`, which has `harmonic_mean`.

        Domain generalisation: over source and targets (LAMM, Table 1). Cross-data-set: over the targets (CoCoOp).
        """
        means = [target.mean for target in self.targets.values()]
        if self.protocol == BASE_TO_NEW:
            return None
        return fmean([self.source_accuracy.mean, *means] if self.protocol == DOMAIN_GENERALIZATION else means)

    @property
    def harmonic_mean(self) -> float | None:
        """Of the mean over seeds on base and on new classes, as papers give it; None for the other protocols."""
        if self.protocol != BASE_TO_NEW:
            return None
        return harmonic(self.source_accuracy.mean, self.targets[NEW].mean)


def harmonic(base: float, new: float) -> float:
    """The harmonic mean of two accuracies, 0 when both are."""
    return 2 * base * new / (base + new) if base + new else 0.0


@dataclass(frozen=True)
class TransferFindings:
    """The results in folders, and what is not among them.

    Attributes:
        results: Protocol after protocol.
        problems: One line for each evaluation that is unfinished, missing or there twice, or whose training run is
            missing or unfinished.
        left_out: One line for each evaluation that has no place in the tables, such as one with `--load-epoch`.
    """

    results: list[TransferResult]
    problems: list[str]
    left_out: list[str]


def transfer_findings(
    folders: pd.DataFrame | Iterable[str | os.PathLike[str]], trainers: Collection[str] = ()
) -> TransferFindings:
    """The results of all evaluations of trained models in and below folders, and what is wrong with them.

    Args:
        folders: Any folders above runs.
        trainers: Those to look at; empty: all.

    Raises:
        ResultsError: A folder does not exist, or a file is damaged.
    """
    if isinstance(folders, pd.DataFrame):  # a frame from `lamm.results.load`; soon the only argument
        folders = list(folders.folder)
    transfers = find_transfers(folders, trainers)
    results = results_of(transfers.found)
    problems = [*transfers.problems, *(problem for result in results for problem in result.problems)]
    return TransferFindings(results, problems, transfers.left_out)


def transfer_results(folders: Iterable[str | os.PathLike[str]]) -> list[TransferResult]:
    """The results of `transfer_findings` alone.

    Raises:
        ResultsError: A folder does not exist, or a file is damaged.
    """
    return transfer_findings(folders).results


def results_of(found: Iterable[Transfer]) -> list[TransferResult]:
    """Put together what differs only in seed and target."""
    groups: dict[tuple[str, ...], list[Transfer]] = {}
    for pair in found:
        groups.setdefault(_key(pair), []).append(pair)
    made = [_result(pairs) for pairs in groups.values()]
    return sorted(made, key=_order)


def _key(pair: Transfer) -> tuple[str, ...]:
    source = pair.source
    return pair.protocol, source.dataset, str(source.shots), source.trainer, _cfg(pair), source.split, pair.backbone


def _cfg(pair: Transfer) -> str:
    cfg = pair.source.cfg
    return cfg.replace(f"+SUBSAMPLE_CLASSES={BASE}", "") if pair.protocol == BASE_TO_NEW else cfg


def _order(result: TransferResult) -> tuple[object, ...]:
    names = (natural(result.trainer), natural(result.cfg), result.split)
    return (
        PROTOCOLS.index(result.protocol),
        natural(result.source),
        result.shots,
        result.trainer != ZERO_SHOT_TRAINER,
        *names,
    )


def _result(pairs: Sequence[Transfer]) -> TransferResult:
    """The result of pairs that differ in seed and target alone."""
    evaluated, problems = _by_target(pairs)
    sources = dict(sorted({pair.source.seed: pair for pair in pairs}.items()))
    one, cfg = pairs[0], _cfg(pairs[0])
    what = f"{one.source.trainer}, {one.source.dataset}, {shots_in_words(one.source.shots)}, {cfg}"
    problems += [
        f"missing: seed {seed} of {what} on {target}"
        for target, runs in evaluated.items()
        for seed in sources
        if seed not in runs
    ]
    metrics = {target: [pair.results.metrics for pair in runs.values()] for target, runs in evaluated.items()}
    labelled = {target: found for target, found in metrics.items() if all(FROM_CLIP in each for each in found)}
    files = [pair.source_file for pair in sources.values()]
    files += [pair.file for runs in evaluated.values() for pair in runs.values()]
    return TransferResult(
        protocol=one.protocol,
        source=one.source.dataset,
        averaged=(),
        shots=one.source.shots,
        trainer=one.source.trainer,
        cfg=cfg,
        split=one.source.split,
        backbone=one.backbone,
        seeds=tuple(sources),
        seeds_of_targets={target: tuple(runs) for target, runs in evaluated.items()},
        source_accuracy=_accuracy([pair.source.metrics for pair in sources.values()]),
        targets={target: _accuracy(found) for target, found in metrics.items()},
        labels_from_clip={name: max(int(each[FROM_CLIP]) for each in found) for name, found in labelled.items()},
        classes={name: max(int(each[LEARNED] + each[FROM_CLIP]) for each in found) for name, found in labelled.items()},
        harmonic_means=_harmonic_means(evaluated),
        files=tuple(files),
        problems=tuple(problems),
    )


def _by_target(pairs: Sequence[Transfer]) -> tuple[dict[str, dict[int, Transfer]], list[str]]:
    """Target → seed → evaluation, in the tables' order, and one line for each that is there twice."""
    found: dict[str, dict[int, Transfer]] = {}
    problems = []
    for pair in pairs:
        taken = found.setdefault(pair.target, {})
        first = taken.setdefault(pair.source.seed, pair)
        if first is not pair:
            where = f"{first.file.parent} and {pair.file.parent}"
            problems.append(f"there twice, the first counts: seed {pair.source.seed} on {pair.target} in {where}")
    return {target: dict(sorted(found[target].items())) for target in sorted(found, key=place_in_tables)}, problems


def place_in_tables(dataset: str) -> tuple[object, ...]:
    """A sorting key: data sets as the papers' tables have them, then by name."""
    order = (*VARIANTS["imagenet"], *published("few_shot").trained_on, *VARIANTS["shapes"])
    return order.index(dataset) if dataset in order else len(order), natural(dataset)


def _harmonic_means(evaluated: dict[str, dict[int, Transfer]]) -> tuple[float, ...]:
    pairs = evaluated.get(NEW, {}).values()
    return tuple(harmonic(pair.source.metrics["accuracy"], pair.results.metrics["accuracy"]) for pair in pairs)


def _accuracy(metrics: Sequence[dict[str, float]]) -> Statistic:
    return Statistic(tuple(each["accuracy"] for each in metrics))


def with_base_to_new_means(results: Sequence[TransferResult]) -> tuple[list[TransferResult], list[str]]:
    """Results, and the mean of each method over the data sets with base-to-new results, where there are several.

    The mean is taken seed by seed, over the seeds that all data sets have on both base and new classes.

    Args:
        results: Of any protocols.

    Returns:
        Protocol after protocol; means, one a method (a trainer with one config) that has all data sets, follow what
        they are of. And a line for each method that has not.
    """
    halves = [result for result in results if result.protocol == BASE_TO_NEW]
    means: list[TransferResult] = []
    lacking = []
    for shots, split, backbone in dict.fromkeys((one.shots, one.split, one.backbone) for one in halves):
        alike = [one for one in halves if (one.shots, one.split, one.backbone) == (shots, split, backbone)]
        sources = tuple(dict.fromkeys(one.source for one in alike))
        if len(sources) == 1:
            continue
        for method in dict.fromkeys((one.trainer, one.cfg) for one in alike):
            parts = [one for one in alike if (one.trainer, one.cfg) == method]
            missing = [name for name in sources if name not in {one.source for one in parts}]
            seeds = sorted(set.intersection(*(set(one.seeds) & set(one.seeds_of_targets[NEW]) for one in parts)))
            if missing or not seeds:
                why = f"not on {', '.join(missing)}" if missing else "no seed on all of them"
                lacking.append(f"left out of the mean of {len(sources)} data sets, {why}: {', '.join(method)}")
            else:
                means.append(_mean(parts, tuple(seeds)))
    return sorted([*results, *means], key=lambda one: PROTOCOLS.index(one.protocol)), lacking


def _mean(parts: Sequence[TransferResult], seeds: tuple[int, ...]) -> TransferResult:
    """The mean of one method's results."""
    base = [fmean(one.source_accuracy.values[one.seeds.index(seed)] for one in parts) for seed in seeds]
    new = [fmean(one.targets[NEW].values[one.seeds_of_targets[NEW].index(seed)] for one in parts) for seed in seeds]
    labelled = all(NEW in one.labels_from_clip for one in parts)
    sources = tuple(one.source for one in parts)
    return TransferResult(
        protocol=BASE_TO_NEW,
        source=f"mean of {len(sources)} data sets",
        averaged=sources,
        shots=parts[0].shots,
        trainer=parts[0].trainer,
        cfg=parts[0].cfg,
        split=parts[0].split,
        backbone=parts[0].backbone,
        seeds=seeds,
        seeds_of_targets={NEW: seeds},
        source_accuracy=Statistic(tuple(base)),
        targets={NEW: Statistic(tuple(new))},
        labels_from_clip={NEW: sum(one.labels_from_clip[NEW] for one in parts)} if labelled else {},
        classes={NEW: sum(one.classes[NEW] for one in parts)} if labelled else {},
        harmonic_means=tuple(map(harmonic, base, new)),
        files=tuple(chain.from_iterable(one.files for one in parts)),
        problems=(),
    )
