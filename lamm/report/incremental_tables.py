"""Table 2 of the paper beside ours: classes learned in two steps, and how far the first ones fall."""

from collections.abc import Sequence

from lamm.errors import ResultsError
from lamm.report.incremental_rows import counterparts, incremental_reason
from lamm.report.material import Material
from lamm.report.paper_tables import PaperTable, beside, joined, over, shared_datasets
from lamm.report.shots_tables import shots_text
from lamm.report.table_view import Cell, Table, name_cell, nothing_cell, statistic_cell
from lamm.results.incremental import PROTOCOL, IncrementalResult, incremental_results, mean_over
from lamm.results.published import PublishedTable, published
from lamm.results.statistic import Statistic

COMMAND = "bash scripts/lamm/incremental.sh digits 16      # each of the 11 data sets: the paper's"
HEADINGS = {"set1_before": "Set 1 before", "set1": "Set 1 after Set 2", "set2": "Set 2", "fall": "change of Set 1"}


def incremental_paper_table(material: Material) -> PaperTable:
    """Table 2: the mean over data sets, each data set, and every result with the harder score beside it."""
    theirs = published("class_incremental")
    results: list[IncrementalResult] = []
    if any(key.protocol == PROTOCOL for key in material.groups.finished):
        try:
            results = incremental_results(material.folders)
        except ResultsError as error:
            return PaperTable(theirs.table, theirs.title, command=COMMAND, error=str(error))
    shown = {key.trainer for key in material.groups.all}
    results = [result for result in results if result.trainer in shown]
    if not results:
        return PaperTable(theirs.table, theirs.title, command=COMMAND)
    papers = [result for result in results if result.dataset in theirs.trained_on]
    found = {row.label: members for row in theirs.rows if (members := counterparts(theirs, row, papers or results))}
    everything = _everything(material, results)
    if not found:
        return PaperTable(theirs.table, theirs.title, command=COMMAND, further=[everything])
    table, reasons = _means(material, theirs, found)
    command = COMMAND if len(found) < len(theirs.rows) else ""
    further = [*([_each_data_set(material, papers)] if papers else []), everything]
    return PaperTable(theirs.table, theirs.title, table, joined(reasons), command, further)


def _means(
    material: Material, theirs: PublishedTable, found: dict[str, dict[str, IncrementalResult]]
) -> tuple[Table, list[str]]:
    datasets = shared_datasets(list(found.values()))
    rows: list[list[Cell]] = []
    reasons: list[str] = []
    for row in theirs.rows:
        members = [found[row.label][name] for name in datasets if name in found.get(row.label, {})]
        whole = members if len(members) == len(datasets) else []
        why = incremental_reason(material, theirs, row, whole, datasets) if whole else ""
        reasons += [why] if why else []
        ours = _ours(material, theirs, whole) if whole else None
        rows += beside(row.label, ours, row.values, [why] * len(row.values))
    caption = f"Class-incremental learning: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(HEADINGS[name] for name in theirs.columns)]
    return Table(caption, headings, rows, theirs.notes, grouped=True), reasons


def _ours(material: Material, theirs: PublishedTable, members: Sequence[IncrementalResult]) -> list[Cell]:
    sources = material.sources_of_files(file for member in members for file in member.files)
    falls = [Statistic(tuple(-value for value in member.fall[0].values)) for member in members]
    numbers = {
        "set1_before": [member.own[0][0] for member in members],
        "set1": [member.own[1][0] for member in members],
        "set2": [member.own[1][1] for member in members],
        "fall": falls,
    }
    same = len({tuple(member.seeds) for member in members}) == 1
    return [statistic_cell(_mean(numbers[name], same), sources, digits=2) for name in theirs.columns]


def _mean(numbers: Sequence[Statistic], same_seeds: bool) -> Statistic:
    """The mean over data sets, seed by seed where all have the same seeds."""
    return mean_over(numbers if same_seeds else [Statistic((number.mean,)) for number in numbers])


def _each_data_set(material: Material, results: Sequence[IncrementalResult]) -> Table:
    """Both sets after the second step, a column a data set."""
    theirs = published("class_incremental_datasets")
    rows: list[list[Cell]] = []
    for row in theirs.rows:
        found = counterparts(theirs, row, results)
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
    return Table(caption, ["", "", *theirs.columns], rows, theirs.notes, grouped=True)


def _everything(material: Material, results: Sequence[IncrementalResult]) -> Table:
    headings = ["method", "data set", "shots", "steps", "Set 1 at first", "Set 1 at the end", "last set"]
    headings += ["mean at the end", "mean among all classes", "config"]
    rows = []
    for result in results:
        sources = material.sources_of_files(result.files)
        names = [name_cell(text) for text in (result.trainer, result.dataset)]
        counts = [Cell(shots_text(result.shots), result.shots), Cell(str(result.steps), result.steps)]
        numbers = [result.own[0][0], result.own[-1][0], result.own[-1][-1], result.own_average[-1]]
        numbers.append(result.seen_average[-1])
        cells = [statistic_cell(number, sources) for number in numbers]
        rows.append([*names, *counts, *cells, name_cell(result.cfg)])
    notes = ["Each set is scored among its own classes; under “among all classes”, among all classes seen so far."]
    notes += [f"{result.title}: seeds {result.unfinished} unfinished" for result in results if result.unfinished]
    return Table("All class-incremental results, accuracy in percent", headings, rows, notes)
