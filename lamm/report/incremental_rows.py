"""Which class-incremental results of ours stand beside the rows of Table 2, and why a difference would mislead."""

from collections.abc import Mapping, Sequence

from lamm.report.material import Material
from lamm.report.paper_rows import further_overrides, reason
from lamm.report.shots_tables import shots_text
from lamm.results.few_shot_curve import ZERO_SHOT_TRAINER
from lamm.results.groups import natural
from lamm.results.incremental import IncrementalResult
from lamm.results.layout import shots_in_words
from lamm.results.published import PublishedRow, PublishedTable, has_other_config


def counterparts(
    theirs: PublishedTable, row: PublishedRow, results: Sequence[IncrementalResult]
) -> dict[str, IncrementalResult]:
    """By data set, the results of a row's trainer in two steps: all of one config and number of shots.

    Of several the one with the paper's shots counts, then with the fewest overrides, then with the paper's config, then
    the one on the most data sets.
    """
    found: dict[tuple[str, int], dict[str, IncrementalResult]] = {}
    for result in results:
        if result.trainer == row.trainer and result.steps == 2:
            found.setdefault((result.cfg, result.shots), {}).setdefault(result.dataset, result)
    if not found:
        return {}

    def rank(kind: tuple[str, int]) -> tuple[object, ...]:
        cfg, shots = kind
        further = len(_further(theirs, row, cfg))
        other = has_other_config(row.trainer, cfg), "released" in cfg
        return (shots not in theirs.shots, further, *other, -len(found[kind]), -shots, natural(cfg))

    return found[min(found, key=rank)]


def our_configs(found: Mapping[str, Mapping[str, IncrementalResult]]) -> str:
    """What settings the rows have: `Our configs: CoOp: tiny_ep50+STEPS=2, 16 shots.`"""
    firsts = [next(iter(members.values())) for members in found.values()]
    named = dict.fromkeys(f"{first.trainer}: {first.cfg}, {shots_in_words(first.shots)}" for first in firsts)
    return f"Our configs: {'; '.join(named)}."


def incremental_reason(
    material: Material,
    theirs: PublishedTable,
    row: PublishedRow,
    members: Sequence[IncrementalResult],
    datasets: str | list[str],
) -> str:
    """Why results have no difference from a row; empty when they have one.

    Args:
        material: That they are of.
        theirs: With which table.
        row: With which of its rows.
        members: One a data set.
        datasets: One data set, or all those that a mean is taken over.
    """
    folders = {file.parent.resolve() for member in members for file in member.files}
    runs = [run for run in material.finished if run.folder.resolve() in folders]
    zero_shot = row.trainer == ZERO_SHOT_TRAINER
    seeds = None if zero_shot else min(len(member.seeds) for member in members)
    further = list(dict.fromkeys(override for member in members for override in _further(theirs, row, member.cfg)))
    said = reason(material, theirs, runs, datasets, further, seeds)
    other = sorted({member.shots for member in members} - set(theirs.shots))
    if said or not other or zero_shot:
        return said
    return f"{', '.join(map(shots_text, other))} shots, reported with {theirs.shots[0]}"


def _further(theirs: PublishedTable, row: PublishedRow, cfg: str) -> list[str]:
    further = further_overrides(theirs, row, cfg) or []
    return [override for override in further if not override.startswith("STEPS=")]
