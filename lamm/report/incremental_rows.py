"""Which class-incremental results of ours stand beside the rows of Table 2, and why a difference would mislead."""

from collections.abc import Sequence

from lamm.report.material import Material
from lamm.report.paper_rows import further_overrides, reason
from lamm.report.shots_tables import shots_text
from lamm.results.few_shot_curve import ZERO_SHOT_TRAINER
from lamm.results.groups import natural
from lamm.results.incremental import IncrementalResult
from lamm.results.published import PublishedRow, PublishedTable, has_other_config


def counterparts(
    theirs: PublishedTable, row: PublishedRow, results: Sequence[IncrementalResult]
) -> dict[str, IncrementalResult]:
    """By data set, the result of a row's trainer in two steps.

    The paper's shots come first, then the fewest overrides, then its config.
    """
    best: dict[str, tuple[tuple[object, ...], IncrementalResult]] = {}
    for result in results:
        if result.trainer != row.trainer or result.steps != 2:
            continue
        further = len(_further(theirs, row, result))
        other = has_other_config(row.trainer, result.cfg), "released" in result.cfg
        rank = (result.shots not in theirs.shots, further, *other, -result.shots, natural(result.cfg))
        if result.dataset not in best or rank < best[result.dataset][0]:
            best[result.dataset] = (rank, result)
    return {dataset: result for dataset, (_, result) in best.items()}


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
    further = list(dict.fromkeys(override for member in members for override in _further(theirs, row, member)))
    said = reason(material, theirs, runs, datasets, further, seeds)
    other = sorted({member.shots for member in members} - set(theirs.shots))
    if said or not other or zero_shot:
        return said
    return f"{', '.join(map(shots_text, other))} shots, reported with {theirs.shots[0]}"


def _further(theirs: PublishedTable, row: PublishedRow, result: IncrementalResult) -> list[str]:
    further = further_overrides(theirs, row, result.cfg) or []
    return [override for override in further if not override.startswith("STEPS=")]
