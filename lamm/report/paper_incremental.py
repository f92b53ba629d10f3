"""Which class-incremental results of ours stand beside the rows of Table 2, and why a difference would mislead."""

from collections.abc import Mapping, Sequence

from lamm.errors import ResultsError
from lamm.incremental.results import IncrementalResult, incremental_findings, mean_over
from lamm.report.material import Material
from lamm.report.paper import (
    PaperTable,
    all_datasets,
    beside,
    further_overrides,
    incomplete_cell,
    incomplete_note,
    joined,
    over,
    reason,
)
from lamm.report.tables import Cell, Table, name_cell, nothing_cell, shots_text, statistic_cell
from lamm.results.collect import natural, shots_in_words
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.published import PublishedRow, PublishedTable, has_other_config, published
from lamm.results.schema import INCREMENTAL
from lamm.results.table import Statistic


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


COMMAND = "bash scripts/lamm/incremental.sh digits 16      # each of the 11 data sets: the paper's"
CHANGE = "change of Set 1"
HEADINGS = {"set1_before": "Set 1 before Set 2", "set1": "Set 1 after Set 2", "set2": "Set 2", "change": CHANGE}
OWN_CLASSES = "Each set is scored among its own classes only."
MEANING = "Change of Set 1: its accuracy after learning the other sets minus that before; below 0: forgotten."


def incremental_paper_table(material: Material) -> PaperTable:
    """Table 2: the mean over data sets, each data set, and every result with the harder score beside it."""
    theirs = published("class_incremental")
    if not any(key.protocol == INCREMENTAL for key in material.groups.all):
        return PaperTable(theirs.table, theirs.title, command=COMMAND)
    try:
        findings = incremental_findings(material.folders, {key.trainer for key in material.groups.all})
    except ResultsError as error:
        return PaperTable(theirs.table, theirs.title, command=COMMAND, error=str(error))
    results = findings.results
    problems = [line.replace(f"{material.base}/", "") for line in findings.problems]
    if not results:
        return PaperTable(theirs.table, theirs.title, command=COMMAND, problems=problems)
    papers = [result for result in results if result.dataset in theirs.trained_on]
    found = {row.label: members for row in theirs.rows if (members := counterparts(theirs, row, papers or results))}
    everything = _everything(material, results)
    if not found:
        return PaperTable(theirs.table, theirs.title, command=COMMAND, further=[everything], problems=problems)
    table, reasons = _means(material, theirs, found)
    full = len(found) == len(theirs.rows) and not incomplete_note(table.rows)
    command = "" if full else COMMAND
    further = [*([_each_data_set(material, papers)] if papers else []), everything]
    return PaperTable(theirs.table, theirs.title, table, joined(reasons), command, further, problems=problems)


def _means(
    material: Material, theirs: PublishedTable, found: dict[str, dict[str, IncrementalResult]]
) -> tuple[Table, list[str]]:
    datasets = all_datasets(theirs, found.values())
    rows: list[list[Cell]] = []
    reasons: list[str] = []
    for row in theirs.rows:
        members = found.get(row.label, {})
        whole = list(members.values()) if len(members) == len(datasets) else []
        why = incremental_reason(material, theirs, row, whole, datasets) if whole else ""
        reasons += [why] if why else []
        ours = _ours(material, theirs, whole) if whole else _incomplete(material, theirs, members, datasets)
        rows += beside(row.label, ours if members else None, row.values, [why] * len(row.values))
    caption = f"Class-incremental learning: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(HEADINGS[name] for name in theirs.columns)]
    notes = [OWN_CLASSES, MEANING, our_configs(found), *incomplete_note(rows)]
    return Table(caption, headings, rows, notes, grouped=True), reasons


def _incomplete(
    material: Material, theirs: PublishedTable, members: dict[str, IncrementalResult], datasets: Sequence[str]
) -> list[Cell]:
    sources = material.sources_of_files(file for member in members.values() for file in member.files)
    return [incomplete_cell(members, datasets, sources)] * len(theirs.columns)


def _ours(material: Material, theirs: PublishedTable, members: Sequence[IncrementalResult]) -> list[Cell]:
    sources = material.sources_of_files(file for member in members for file in member.files)
    numbers = {
        "set1_before": [member.own[0][0] for member in members],
        "set1": [member.own[1][0] for member in members],
        "set2": [member.own[1][1] for member in members],
        "change": [_change(member) for member in members],
    }
    same = len({tuple(member.seeds) for member in members}) == 1
    return [statistic_cell(_mean(numbers[name], same), sources, digits=2) for name in theirs.columns]


def _change(result: IncrementalResult) -> Statistic:
    """After minus before, as the paper has it; a result's `fall` is before minus after."""
    return Statistic(tuple(-value + 0.0 for value in result.fall[0].values))


def _mean(numbers: Sequence[Statistic], same_seeds: bool) -> Statistic:
    """The mean over data sets, seed by seed where all have the same seeds."""
    return mean_over(numbers if same_seeds else [Statistic((number.mean,)) for number in numbers])


def _each_data_set(material: Material, results: Sequence[IncrementalResult]) -> Table:
    """Both sets after the second step, a column a data set."""
    theirs = published("class_incremental_datasets")
    rows: list[list[Cell]] = []
    all_found = {row.label: counterparts(theirs, row, results) for row in theirs.rows}
    for row in theirs.rows:
        found = all_found[row.label]
        place = 0 if row.part == "set1" else 1
        ours = [
            statistic_cell(found[name].own[1][place], material.sources_of_files(found[name].files), digits=2)
            if name in found
            else nothing_cell("no finished runs")
            for name in theirs.columns
        ]
        why = [
            incremental_reason(material, theirs, row, [found[name]], name) if name in found else ""
            for name in theirs.columns
        ]
        rows += beside(row.label, ours if found else None, row.values, why)
    caption = f"{theirs.title}: accuracy in percent after Set 2"
    configs = our_configs({label: members for label, members in all_found.items() if members})
    notes = [OWN_CLASSES, "Set 1: after learning Set 2.", configs]
    return Table(caption, ["", "", *theirs.columns], rows, notes, grouped=True)


def _everything(material: Material, results: Sequence[IncrementalResult]) -> Table:
    headings = ["method", "data set", "shots", "steps", "Set 1 at first", "Set 1 at the end", CHANGE, "last set"]
    headings += ["mean at the end", "mean among all classes", "config"]
    rows = []
    for result in results:
        sources = material.sources_of_files(result.files)
        names = [name_cell(text) for text in (result.trainer, result.dataset)]
        counts = [Cell(shots_text(result.shots), result.shots), Cell(str(result.steps), result.steps)]
        numbers = [result.own[0][0], result.own[-1][0], _change(result), result.own[-1][-1]]
        numbers += [result.own_average[-1], result.seen_average[-1]]
        cells = [statistic_cell(number, sources) for number in numbers]
        rows.append([*names, *counts, *cells, name_cell(result.cfg)])
    notes = ["Each set is scored among its own classes; under “among all classes”, among all classes seen so far."]
    notes.append(MEANING)
    return Table("All class-incremental results, accuracy in percent", headings, rows, notes)
