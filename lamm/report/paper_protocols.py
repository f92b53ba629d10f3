"""Tables 1 and 2 of the paper, transfer and class-incremental learning, beside ours, and all our results of these."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from lamm.errors import ResultsError
from lamm.incremental.results import IncrementalResult, incremental_findings, mean_over
from lamm.report.material import Material
from lamm.report.paper import (
    NO_BACKBONE,
    PaperTable,
    further_overrides,
    in_order,
    incomplete_cell,
    incomplete_note,
    joined,
    over,
    preference,
    reason,
    rows_beside,
)
from lamm.report.tables import Cell, Table, name_cell, nothing_cell, shots_text, statistic_cell
from lamm.results.curves import ZERO_SHOT_TRAINER
from lamm.results.frame import natural, shots_in_words
from lamm.results.published import PublishedRow, PublishedTable, comparable, place_in_tables, published
from lamm.results.schema import EVALUATION, INCREMENTAL
from lamm.results.table import Statistic
from lamm.transfer import BASE_TO_NEW, CROSS_DATASET, DOMAIN_GENERALIZATION
from lamm.transfer.results import TransferResult, transfer_findings, with_base_to_new_means
from lamm.transfer.table import why_not_comparable

TRANSFER_COMMAND = "lamm run lamm domain_generalization shapes 16      # imagenet 16: the paper's"
TRANSFERS = {
    DOMAIN_GENERALIZATION: "Domain generalisation",
    BASE_TO_NEW: "From base to new classes",
    CROSS_DATASET: "To other data sets",
}
INCREMENTAL_COMMAND = "lamm run lamm incremental digits 16      # each of the 11 data sets: the paper's"
CHANGE = "change of Set 1"
HEADINGS = {"set1_before": "Set 1 before Set 2", "set1": "Set 1 after Set 2", "set2": "Set 2", "change": CHANGE}
OWN_CLASSES = "Each set is scored among its own classes only."
UNCOUNTED = "its runs don't tell the number of test images"
MEANING = "Change of Set 1: its accuracy after learning the other sets minus that before; below 0: forgotten."

Counterparts = Mapping[str, Mapping[str, IncrementalResult]]
"""By label of a published row and by data set, our results that stand beside it."""


def transfer_paper_table(material: Material) -> PaperTable:
    """Table 1, and a table for each kind of transfer that there are runs of."""
    theirs = published(DOMAIN_GENERALIZATION)
    paper = PaperTable(theirs.table, theirs.title, command=TRANSFER_COMMAND)
    if not (material.finished.protocol == EVALUATION).any():
        return paper
    try:
        findings = transfer_findings(material.runs)
    except ResultsError as error:
        paper.error = str(error)
        return paper
    results, outside = _on_page(material, findings.results)
    results, lacking = with_base_to_new_means(results)
    # Problems of single results are notes of their tables.
    noted = {problem for result in findings.results for problem in result.problems}
    problems = [line for line in findings.problems if line not in noted]
    paper.problems = [*(material.shown(line) for line in (*problems, *findings.left_out)), *outside, *lacking]
    kinds: dict[tuple[str, str], list[TransferResult]] = {}
    for result in results:
        kinds.setdefault((result.protocol, result.source), []).append(result)
    paper.further = [_transfers(material, *kind, members) for kind, members in kinds.items()]
    domains = [result for result in results if result.protocol == DOMAIN_GENERALIZATION]
    ours = {}
    for row in theirs.rows:
        if one := _counterpart(theirs, row, domains):
            why = why_not_comparable(one).removeprefix("not comparable: ") if one.backbone else NO_BACKBONE
            numbers = {theirs.trained_on[0]: one.source_accuracy, **one.targets}
            average = Statistic((fmean(numbers[name].mean for name in theirs.columns if name in numbers),))
            sources = {name: _sources(material, one, name) for name in numbers}
            numbers["average"], sources["average"] = average, material.sources_of(one.files)
            cells = [statistic_cell(numbers[name], sources[name], digits=2) for name in theirs.columns]
            ours[row.label] = cells, [why] * len(cells)
    if ours:
        rows, paper.reason = rows_beside(theirs, ours)
        caption = f"{TRANSFERS[DOMAIN_GENERALIZATION]} from {theirs.trained_on[0]}: accuracy in percent"
        paper.table = Table(caption, ["", "", *theirs.columns], rows, theirs.notes, grouped=True)
        paper.command = TRANSFER_COMMAND if len(ours) < len(theirs.rows) else ""
    else:  # why results of other sources stand beside nothing
        reasons = [comparable(one.source, one.backbone).removeprefix("not comparable: ") for one in domains]
        trained_on = ", ".join(dict.fromkeys(one.source for one in domains))
        paper.reason = joined(why or f"trained on {trained_on}, the paper on imagenet" for why in reasons)
    return paper


def _on_page(material: Material, results: Iterable[TransferResult]) -> tuple[list[TransferResult], list[str]]:
    """The results whose runs are all on the page, and a line for each other one."""
    on_page, lines = [], []
    for result in results:
        if outside := [file for file in result.files if not material.runs_of([file])]:
            names = ", ".join((result.trainer, result.source, shots_in_words(result.shots), result.cfg))
            lines.append(f"left out, not below the folders of this page: {outside[0].parent}, of {names}")
        else:
            on_page.append(result)
    return on_page, lines


def _counterpart(theirs: PublishedTable, row: PublishedRow, results: Iterable[TransferResult]) -> TransferResult | None:
    """The result of a row's trainer on the table's source with its targets."""
    targets = {*theirs.columns} - {"average", *theirs.trained_on}
    fitting = (one for one in results if one.trainer == row.trainer and one.source in theirs.trained_on)
    return min(
        (one for one in fitting if targets <= one.targets.keys()),
        key=lambda one: (*preference(theirs, row, one.cfg, one.shots), natural(one.cfg)),
        default=None,
    )


def _transfers(material: Material, protocol: str, source: str, results: Sequence[TransferResult]) -> Table:
    """All results of one protocol and source: a row per model, a column per target."""
    targets = sorted({target for result in results for target in result.targets}, key=place_in_tables)
    rows = []
    for result in results:
        number = result.harmonic_mean if protocol == BASE_TO_NEW else result.average
        labels = [
            f"{name}: {count} of {result.classes[name]}" for name, count in result.labels_from_clip.items() if count
        ]
        rows.append(
            [
                name_cell(result.trainer),
                Cell(shots_text(result.shots), result.shots),
                statistic_cell(result.source_accuracy, _sources(material, result, source)),
                *(
                    statistic_cell(result.targets[name], _sources(material, result, name))
                    if name in result.targets
                    else nothing_cell("not evaluated")
                    for name in targets
                ),
                Cell(f"{number:.1f}", number, material.sources_of(result.files)),
                name_cell(", ".join(labels)),
                name_cell(result.cfg),
            ]
        )
    mean, meaning = "harmonic mean", "Harmonic mean of base and new classes."
    if protocol != BASE_TO_NEW:
        mean, members = "mean", "source and targets" if protocol == DOMAIN_GENERALIZATION else "targets"
        meaning = f"Mean over {members}. "
        meaning += "Labels from CLIP: classes that the model had not learned, for which it starts from CLIP's own."
    notes = [meaning, *(problem for result in results for problem in result.problems)]
    headings = ["method", "shots", f"on {source}", *targets, mean, "labels from CLIP", "config"]
    return Table(f"{TRANSFERS[protocol]}, trained on {source}: accuracy in percent", headings, rows, notes)


def _sources(material: Material, result: TransferResult, name: str) -> tuple[str, ...]:
    """The groups of a result's runs on one data set; `new` stands for the evaluations on the source's new classes."""
    runs = material.runs.loc[material.runs_of(result.files)]
    evaluated = runs.protocol == EVALUATION
    if name == result.source:
        return material.sources(runs.index[~evaluated])
    datasets = (result.averaged or (result.source,)) if result.protocol == BASE_TO_NEW else (name,)
    return material.sources(runs.index[evaluated & runs.dataset.isin(datasets)])


def incremental_paper_table(material: Material) -> PaperTable:
    """Table 2: the mean over data sets, each data set, and every result with the harder score beside it."""
    theirs = published("class_incremental")
    paper = PaperTable(theirs.table, theirs.title, command=INCREMENTAL_COMMAND)
    if not (material.runs.protocol == INCREMENTAL).any():
        return paper
    try:
        findings = incremental_findings(material.runs)
    except ResultsError as error:
        paper.error = str(error)
        return paper
    results, paper.problems = findings.results, [material.shown(line) for line in findings.problems]
    if not results:
        return paper
    papers = [result for result in results if result.dataset in theirs.trained_on]
    paper.further = [_all_incremental(material, results)]
    if counterparts := _counterparts(theirs, papers or results):
        paper.table, paper.reason = _means(material, theirs, counterparts)
        if len(counterparts) == len(theirs.rows) and not incomplete_note(paper.table.rows):
            paper.command = ""
        if papers:
            paper.further = [_each_data_set(material, papers), *paper.further]
    return paper


def _counterparts(theirs: PublishedTable, results: Sequence[IncrementalResult]) -> Counterparts:
    """Our results in two steps of each row's trainer: those of a row have one config and one number of shots."""
    ours = {}
    for row in theirs.rows:
        kinds: dict[tuple[str, int], dict[str, IncrementalResult]] = {}
        for result in results:
            if result.trainer == row.trainer and result.steps == 2:
                kinds.setdefault((result.cfg, result.shots), {}).setdefault(result.dataset, result)
        order = {kind: (*preference(theirs, row, *kind, len(kinds[kind])), natural(kind[0])) for kind in kinds}
        if kinds:
            ours[row.label] = kinds[min(order, key=order.__getitem__)]
    return ours


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
    further = dict.fromkeys(one for member in members for one in further_overrides(theirs, row, member.cfg) or [])
    why = reason(theirs, runs, datasets, list(further), seeds)
    other = sorted({member.shots for member in members} - {*theirs.shots})
    if why or not other or zero_shot:
        return why
    return f"{', '.join(map(shots_text, other))} shots, reported with {theirs.shots[0]}"


def _means(material: Material, theirs: PublishedTable, ours: Counterparts) -> tuple[Table, str]:
    """Table 2, and why differences are missing."""
    datasets = in_order(theirs, (name for members in ours.values() for name in members))
    beside = {}
    for row in theirs.rows:
        members = list(ours.get(row.label, {}).values())
        sources = _sources_of(material, members)
        if len(members) == len(datasets):
            numbers = {
                "set1_before": [member.own[0][0] for member in members],
                "set1": [member.own[1][0] for member in members],
                "set2": [member.own[1][1] for member in members],
                "change": [_change(member) for member in members],
            }
            why = _reason(material, theirs, row, members, datasets)
            cells = [statistic_cell(_mean(members, numbers[name]), sources, digits=2) for name in theirs.columns]
            beside[row.label] = cells, [why] * len(cells)
        elif members:
            cells = [incomplete_cell(ours[row.label], datasets, sources)] * len(theirs.columns)
            beside[row.label] = cells, [""] * len(cells)
    rows, missing = rows_beside(theirs, beside)
    caption = f"Class-incremental learning: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(HEADINGS[name] for name in theirs.columns)]
    notes = [OWN_CLASSES, MEANING, _configs(ours), *incomplete_note(rows)]
    return Table(caption, headings, rows, notes, grouped=True), missing


def _sources_of(material: Material, members: Iterable[IncrementalResult]) -> tuple[str, ...]:
    return material.sources_of(file for member in members for file in member.files)


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
    ours = _counterparts(theirs, results)
    beside = {}
    for row in theirs.rows:
        members = ours.get(row.label, {})
        cells, reasons = [], []
        for name in theirs.columns:
            if name in members:
                number = members[name].own[1][0 if row.part == "set1" else 1]
                cells.append(statistic_cell(number, _sources_of(material, [members[name]]), digits=2))
                reasons.append(_reason(material, theirs, row, [members[name]], name))
            else:
                cells.append(nothing_cell("no finished runs"))
                reasons.append("")
        if members:
            beside[row.label] = cells, reasons
    rows, _ = rows_beside(theirs, beside)
    caption = f"{theirs.title}: accuracy in percent after Set 2"
    notes = [OWN_CLASSES, "Set 1: after learning Set 2.", _configs(ours)]
    return Table(caption, ["", "", *theirs.columns], rows, notes, grouped=True)


def _all_incremental(material: Material, results: Sequence[IncrementalResult]) -> Table:
    """A row per result."""
    headings = ["method", "data set", "shots", "steps", "Set 1 at first", "Set 1 at the end", CHANGE, "last set"]
    headings += ["mean at the end", "mean among all classes", "average accuracy", "last accuracy", "config"]
    rows = []
    for result in results:
        names = [name_cell(text) for text in (result.trainer, result.dataset)]
        counts = [Cell(shots_text(result.shots), result.shots), Cell(str(result.steps), result.steps)]
        numbers: list[Statistic | None] = [result.own[0][0], result.own[-1][0], _change(result), result.own[-1][-1]]
        numbers += [result.own_average[-1], result.seen_average[-1], result.average_accuracy, result.last_accuracy]
        sources = _sources_of(material, [result])
        cells = [nothing_cell(UNCOUNTED) if number is None else statistic_cell(number, sources) for number in numbers]
        rows.append([*names, *counts, *cells, name_cell(result.cfg)])
    notes = ["Each set is scored among its own classes; under “among all classes”, among all classes seen so far."]
    notes += ["Average and last accuracy: over all images of all classes seen so far, among these classes."]
    return Table("All class-incremental results, accuracy in percent", headings, rows, [*notes, MEANING])
