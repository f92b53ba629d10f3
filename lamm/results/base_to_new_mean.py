"""Base to new over several data sets: the mean that CoCoOp's and MaPLe's first tables show."""

from collections.abc import Sequence
from itertools import chain
from statistics import fmean

from lamm.results.statistic import Statistic
from lamm.results.transfer import TransferResult, harmonic
from lamm.results.transfer_pairs import BASE_TO_NEW, NEW, PROTOCOLS


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
