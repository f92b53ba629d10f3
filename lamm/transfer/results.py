"""Accuracy of trained models on other domains, new classes and other data sets, over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import pandas as pd

from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.frame import natural, shots_in_words
from lamm.results.published import place_in_tables
from lamm.results.schema import RESULTS_FILE
from lamm.results.table import Statistic
from lamm.transfer import BASE_TO_NEW, DOMAIN_GENERALIZATION, NEW, PROTOCOLS
from lamm.transfer.runs import find_transfers

NAMES = ["protocol", "source", "shots", "trainer", "cfg", "split", "backbone"]
"""What the pairs of one result have in common."""


@dataclass(frozen=True)
class TransferResult:
    """A model trained on one source, over its seeds.

    Attributes:
        protocol: `domain_generalization`, `base_to_new` or `cross_dataset`.
        source: Data set that it was trained on; in `base_to_new` on its base classes; of a mean what it is called.
        shots: Training images per class.
        trainer: Registered name.
        cfg: Name of the config file with overrides.
        split: The part of the data that was measured on.
        backbone: The CLIP model.
        seeds: Of the runs that were evaluated on any target.
        seeds_of_targets: Of the evaluations, by target: all `seeds`, but for those that are missing.
        source_accuracy: Percent on the source itself.
        targets: Percent by target; `new` is the target of `base_to_new`.
        labels_from_clip: Of a trainer that learns labels: target → classes without a learned label, the most of any
            seed. A trainer without labels has none here.
        classes: Of the same targets the number of classes.
        harmonic_means: Of `base_to_new`, for each seed.
        files: The results.json of all these runs.
        problems: One line for each evaluation that is missing or there twice.
        averaged: The data sets of a mean over several; empty for a result on one.
    """

    protocol: str
    source: str
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
    problems: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()

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
    """The results in a frame, and what is not among them.

    Attributes:
        results: Protocol after protocol.
        problems: One line for each evaluation that is unfinished, missing or there twice, or whose training run is
            missing or unfinished.
        left_out: One line for each evaluation that has no place in the tables, such as one with `--load-epoch`.
    """

    results: list[TransferResult]
    problems: list[str]
    left_out: list[str]


def transfer_findings(frame: pd.DataFrame) -> TransferFindings:
    """The results of all evaluations of trained models, and what is wrong with them.

    Args:
        frame: Runs, from `lamm.results.load`.

    Raises:
        ResultsError: A file is damaged.
    """
    pairs, problems, left_out = find_transfers(frame)
    results = [_result(same) for _, same in pairs.groupby(NAMES, sort=False)] if len(pairs) else []

    def order(result: TransferResult) -> tuple[object, ...]:
        names = (natural(result.trainer), natural(result.cfg), result.split)
        zero_shot = result.trainer == ZERO_SHOT_TRAINER
        return (PROTOCOLS.index(result.protocol), natural(result.source), result.shots, not zero_shot, *names)

    results.sort(key=order)
    problems += [problem for result in results for problem in result.problems]
    return TransferFindings(results, problems, left_out)


def _result(pairs: pd.DataFrame) -> TransferResult:
    """The result of pairs that differ in seed and target alone."""
    problems = []
    for (target, seed), same in pairs.groupby(["target", "seed"], sort=False).folder:
        for folder in same.iloc[1:]:
            where = f"{same.iloc[0]} and {folder}"
            problems.append(f"there twice, the first counts: seed {seed} on {target} in {where}")
    sources = pairs.drop_duplicates("seed", keep="last").sort_values("seed")
    evaluations = pairs.drop_duplicates(["target", "seed"]).sort_values("seed")
    targets = sorted(set(pairs.target), key=place_in_tables)
    by_target = {name: evaluations[evaluations.target == name] for name in targets}
    one = {name: pairs[name].iloc[0] for name in NAMES} | {"shots": int(pairs.shots.iloc[0])}
    what = f"{one['trainer']}, {one['source']}, {shots_in_words(one['shots'])}, {one['cfg']}"
    problems += [
        f"missing: seed {seed} of {what} on {target}"
        for target, runs in by_target.items()
        for seed in sources.seed[~sources.seed.isin(runs.seed)]
    ]
    labels = {name: runs for name, runs in by_target.items() if runs.labels_from_clip.notna().all()}
    new = by_target.get(NEW, evaluations[:0])
    folders = [*sources.source_folder, *(folder for runs in by_target.values() for folder in runs.folder)]
    return TransferResult(
        **one,
        seeds=tuple(sources.seed.tolist()),
        seeds_of_targets={name: tuple(runs.seed.tolist()) for name, runs in by_target.items()},
        source_accuracy=Statistic(tuple(sources.source_accuracy.tolist())),
        targets={name: Statistic(tuple(runs.accuracy.tolist())) for name, runs in by_target.items()},
        labels_from_clip={name: int(runs.labels_from_clip.max()) for name, runs in labels.items()},
        classes={name: int((runs.labels_learned + runs.labels_from_clip).max()) for name, runs in labels.items()},
        harmonic_means=tuple(map(harmonic, new.source_accuracy.tolist(), new.accuracy.tolist())),
        files=tuple(folder / RESULTS_FILE for folder in folders),
        problems=tuple(problems),
    )


def with_base_to_new_means(results: Sequence[TransferResult]) -> tuple[list[TransferResult], list[str]]:
    """Results, and the mean of each method over the data sets with base-to-new results, where there are several.

    The mean is taken seed by seed, over the seeds that all data sets have on both base and new classes.

    Args:
        results: Of any protocols.

    Returns:
        Protocol after protocol; means, one per method (a trainer with one config) that has all data sets, follow what
        they are of. And a line for each method that has not.
    """
    halves = [result for result in results if result.protocol == BASE_TO_NEW]
    means, lacking = [], []
    for kind in dict.fromkeys((one.shots, one.split, one.backbone) for one in halves):
        alike = [one for one in halves if (one.shots, one.split, one.backbone) == kind]
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
    return replace(
        parts[0],
        source=f"mean of {len(parts)} data sets",
        averaged=tuple(one.source for one in parts),
        seeds=seeds,
        seeds_of_targets={NEW: seeds},
        source_accuracy=Statistic(tuple(base)),
        targets={NEW: Statistic(tuple(new))},
        labels_from_clip={NEW: sum(one.labels_from_clip[NEW] for one in parts)} if labelled else {},
        classes={NEW: sum(one.classes[NEW] for one in parts)} if labelled else {},
        harmonic_means=tuple(map(harmonic, base, new)),
        files=tuple(file for one in parts for file in one.files),
        problems=(),
    )
