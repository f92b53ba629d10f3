"""Table 2 of the paper, class-incremental learning, beside ours, and all our class-incremental results."""

from collections.abc import Iterable, Mapping, Sequence

from lamm.errors import ResultsError
from lamm.incremental.results import IncrementalResult, incremental_findings, mean_over
from lamm.report.material import Material
from lamm.report.paper import (
    PaperTable,
    beside,
    further_overrides,
    in_order,
    incomplete_cell,
    incomplete_note,
    joined,
    over,
    reason,
)
from lamm.report.tables import Cell, Table, name_cell, nothing_cell, shots_text, statistic_cell
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.frame import natural, shots_in_words
from lamm.results.published import PublishedRow, PublishedTable, has_other_config, published
from lamm.results.schema import INCREMENTAL
from lamm.results.table import Statistic

COMMAND = "bash scripts/lamm/incremental.sh digits 16      # each of the 11 data sets: the paper's"
CHANGE = "change of Set 1"
HEADINGS = {"set1_before": "Set 1 before Set 2", "set1": "Set 1 after Set 2", "set2": "Set 2", "change": CHANGE}
OWN_CLASSES = "Each set is scored among its own classes only."
MEANING = "Change of Set 1: its accuracy after learning the other sets minus that before; below 0: forgotten."

Counterparts = Mapping[str, Mapping[str, IncrementalResult]]
"""By label of a published row and by data set, our results that stand beside it."""


def incremental_paper_table(material: Material) -> PaperTable:
    """Table 2: the mean over data sets, each data set, and every result with the harder score beside it."""
    theirs = published("class_incremental")
    number, title = theirs.table, theirs.title
    if not (material.runs.protocol == INCREMENTAL).any():
        return PaperTable(number, title, command=COMMAND)
    try:
        findings = incremental_findings(material.runs)
    except ResultsError as error:
        return PaperTable(number, title, command=COMMAND, error=str(error))
    results, problems = findings.results, [material.shown(line) for line in findings.problems]
    if not results:
        return PaperTable(number, title, command=COMMAND, problems=problems)
    papers = [result for result in results if result.dataset in theirs.trained_on]
    ours = counterparts(theirs, papers or results)
    everything = _everything(material, results)
    if not ours:
        return PaperTable(number, title, command=COMMAND, further=[everything], problems=problems)
    table, why = _means(material, theirs, ours)
    command = "" if len(ours) == len(theirs.rows) and not incomplete_note(table.rows) else COMMAND
    further = [_each_data_set(material, papers), everything] if papers else [everything]
    return PaperTable(number, title, table, why, command, further, problems=problems)


def counterparts(theirs: PublishedTable, results: Sequence[IncrementalResult]) -> Counterparts:
    """Our results in two steps of each row's trainer: those of a row have one config and one number of shots.

    Of several the one with the paper's shots counts, then with the fewest overrides, then with the paper's config, then
    the one on the most data sets.
    """
    ours = {}
    for row in theirs.rows:
        kinds: dict[tuple[str, int], dict[str, IncrementalResult]] = {}
        for result in results:
            if result.trainer == row.trainer and result.steps == 2:
                kinds.setdefault((result.cfg, result.shots), {}).setdefault(result.dataset, result)

        def rank(kind: tuple[str, int], row: PublishedRow = row, kinds: Mapping = kinds) -> tuple[object, ...]:
            cfg, shots = kind
            other = has_other_config(row.trainer, cfg), "released" in cfg
            further = len(_further(theirs, row, cfg))
            return (shots not in theirs.shots, further, *other, -len(kinds[kind]), -shots, natural(cfg))

        if kinds:
            ours[row.label] = kinds[min(kinds, key=rank)]
    return ours


def _further(theirs: PublishedTable, row: PublishedRow, cfg: str) -> list[str]:
    return [one for one in further_overrides(theirs, row, cfg) or [] if not one.startswith("STEPS=")]


def _configs(ours: Counterparts) -> str:
    """What settings the rows have: `Our configs: CoOp: tiny_ep50+STEPS=2, 16 shots.`"""
    firsts = [next(iter(members.values())) for members in ours.values()]
    named = dict.fromkeys(f"{first.trainer}: {first.cfg}, {shots_in_words(first.shots)}" for first in firsts)
    return f"Our configs: {'; '.join(named)}."


def _reason(
    material: Material,
    theirs: PublishedTable,
    row: PublishedRow,
    members: Sequence[IncrementalResult],
    datasets: str | list[str],
) -> str:
    """Why results, one per data set, have no difference from a row; empty when they have one."""
    runs = material.runs.loc[material.runs_of(file for member in members for file in member.files)]
    zero_shot = row.trainer == ZERO_SHOT_TRAINER
    seeds = None if zero_shot else min(len(member.seeds) for member in members)
    further = list(dict.fromkeys(one for member in members for one in _further(theirs, row, member.cfg)))
    why = reason(theirs, runs, datasets, further, seeds)
    other = sorted({member.shots for member in members} - {*theirs.shots})
    if why or not other or zero_shot:
        return why
    return f"{', '.join(map(shots_text, other))} shots, reported with {theirs.shots[0]}"


def _means(material: Material, theirs: PublishedTable, ours: Counterparts) -> tuple[Table, str]:
    """Table 2, and why differences are missing."""
    datasets = in_order(theirs, (name for members in ours.values() for name in members))
    rows: list[list[Cell]] = []
    reasons = []
    for row in theirs.rows:
        members = list(ours.get(row.label, {}).values())
        sources = _sources(material, members)
        why, cells = "", None
        if len(members) == len(datasets):
            why = _reason(material, theirs, row, members, datasets)
            numbers = {
                "set1_before": [member.own[0][0] for member in members],
                "set1": [member.own[1][0] for member in members],
                "set2": [member.own[1][1] for member in members],
                "change": [_change(member) for member in members],
            }
            cells = [statistic_cell(_mean(members, numbers[name]), sources, digits=2) for name in theirs.columns]
        elif members:
            cells = [incomplete_cell(ours[row.label], datasets, sources)] * len(theirs.columns)
        reasons.append(why)
        rows += beside(row.label, cells, row.values, [why] * len(row.values))
    caption = f"Class-incremental learning: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(HEADINGS[name] for name in theirs.columns)]
    notes = [OWN_CLASSES, MEANING, _configs(ours), *incomplete_note(rows)]
    return Table(caption, headings, rows, notes, grouped=True), joined(reasons)


def _sources(material: Material, members: Iterable[IncrementalResult]) -> tuple[str, ...]:
    return material.sources(material.runs_of(file for member in members for file in member.files))


def _mean(members: Sequence[IncrementalResult], numbers: Iterable[Statistic]) -> Statistic:
    """The mean over data sets, seed by seed where all have the same seeds."""
    same_seeds = len({tuple(member.seeds) for member in members}) == 1
    return mean_over([number if same_seeds else Statistic((number.mean,)) for number in numbers])


def _change(result: IncrementalResult) -> Statistic:
    """After minus before, as the paper has it; a result's `fall` is before minus after."""
    return Statistic(tuple(-value + 0.0 for value in result.fall[0].values))


def _each_data_set(material: Material, results: Sequence[IncrementalResult]) -> Table:
    """Both sets after the second step, a column per data set."""
    theirs = published("class_incremental_datasets")
    ours = counterparts(theirs, results)
    rows: list[list[Cell]] = []
    for row in theirs.rows:
        members = ours.get(row.label, {})
        cells, reasons = [], []
        for name in theirs.columns:
            if name not in members:
                cells.append(nothing_cell("no finished runs"))
                reasons.append("")
                continue
            number = members[name].own[1][0 if row.part == "set1" else 1]
            cells.append(statistic_cell(number, _sources(material, [members[name]]), digits=2))
            reasons.append(_reason(material, theirs, row, [members[name]], name))
        rows += beside(row.label, cells if members else None, row.values, reasons)
    caption = f"{theirs.title}: accuracy in percent after Set 2"
    notes = [OWN_CLASSES, "Set 1: after learning Set 2.", _configs(ours)]
    return Table(caption, ["", "", *theirs.columns], rows, notes, grouped=True)


def _everything(material: Material, results: Sequence[IncrementalResult]) -> Table:
    """A row per result."""
    headings = ["method", "data set", "shots", "steps", "Set 1 at first", "Set 1 at the end", CHANGE, "last set"]
    headings += ["mean at the end", "mean among all classes", "config"]
    rows = []
    for result in results:
        names = [name_cell(text) for text in (result.trainer, result.dataset)]
        counts = [Cell(shots_text(result.shots), result.shots), Cell(str(result.steps), result.steps)]
        numbers = [result.own[0][0], result.own[-1][0], _change(result), result.own[-1][-1]]
        numbers += [result.own_average[-1], result.seen_average[-1]]
        cells = [statistic_cell(number, _sources(material, [result])) for number in numbers]
        rows.append([*names, *counts, *cells, name_cell(result.cfg)])
    notes = ["Each set is scored among its own classes; under “among all classes”, among all classes seen so far."]
    return Table("All class-incremental results, accuracy in percent", headings, rows, [*notes, MEANING])
