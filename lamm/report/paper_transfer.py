"""Table 1 of the paper beside ours, and every evaluation of a trained model on other domains, classes or data sets."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from lamm.errors import ResultsError
from lamm.report.material import Material
from lamm.report.paper import NO_BACKBONE, PaperTable, beside, further_overrides, joined
from lamm.report.tables import Cell, Table, name_cell, nothing_cell, shots_text, statistic_cell
from lamm.results.frame import natural, shots_in_words
from lamm.results.published import (
    PublishedRow,
    PublishedTable,
    comparable,
    has_other_config,
    place_in_tables,
    published,
)
from lamm.results.schema import EVALUATION
from lamm.results.table import Statistic
from lamm.transfer.results import TransferResult, transfer_findings, with_base_to_new_means
from lamm.transfer.runs import BASE_TO_NEW, CROSS_DATASET, DOMAIN_GENERALIZATION
from lamm.transfer.table import why_not_comparable

COMMAND = "bash scripts/lamm/domain_generalization.sh shapes 16      # imagenet 16: the paper's"
TITLES = {
    DOMAIN_GENERALIZATION: "Domain generalisation",
    BASE_TO_NEW: "From base to new classes",
    CROSS_DATASET: "To other data sets",
}


def transfer_paper_table(material: Material) -> PaperTable:
    """Table 1, and a table for each kind of transfer that there are runs of."""
    theirs = published(DOMAIN_GENERALIZATION)
    number, title = theirs.table, theirs.title
    if not (material.finished.protocol == EVALUATION).any():
        return PaperTable(number, title, command=COMMAND)
    try:
        findings = transfer_findings(material.runs)
    except ResultsError as error:
        return PaperTable(number, title, command=COMMAND, error=str(error))
    results, outside = _on_page(material, findings.results)
    results, lacking = with_base_to_new_means(results)
    # Problems of single results are notes of their tables.
    noted = {problem for result in findings.results for problem in result.problems}
    problems = [line for line in findings.problems if line not in noted]
    problems = [*(material.shown(line) for line in (*problems, *findings.left_out)), *outside, *lacking]
    kinds = dict.fromkeys((result.protocol, result.source) for result in results)
    further = [_everything(material, [one for one in results if (one.protocol, one.source) == kind]) for kind in kinds]
    domains = [result for result in results if result.protocol == DOMAIN_GENERALIZATION]
    ours = {row.label: result for row in theirs.rows if (result := _counterpart(theirs, row, domains))}
    if not ours:
        why = _other_sources(domains)
        return PaperTable(number, title, reason=why, command=COMMAND, further=further, problems=problems)
    rows: list[list[Cell]] = []
    reasons = []
    for row in theirs.rows:
        cells, why = None, ""
        if result := ours.get(row.label):
            why = why_not_comparable(result).removeprefix("not comparable: ") if result.backbone else NO_BACKBONE
            cells = _cells(material, theirs, result)
        reasons.append(why)
        rows += beside(row.label, cells, row.values, [why] * len(row.values))
    caption = f"{TITLES[DOMAIN_GENERALIZATION]} from {theirs.trained_on[0]}: accuracy in percent"
    table = Table(caption, ["", "", *theirs.columns], rows, theirs.notes, grouped=True)
    command = COMMAND if len(ours) < len(theirs.rows) else ""
    return PaperTable(number, title, table, joined(reasons), command, further, problems=problems)


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
    """The result of a row's trainer on the table's source with its targets.

    Of several the one with the table's shots counts, then with the fewest overrides, then with the paper's config.
    """
    targets = {*theirs.columns} - {"average", *theirs.trained_on}

    def rank(one: TransferResult) -> tuple[object, ...]:
        other = has_other_config(row.trainer, one.cfg), "released" in one.cfg
        further = further_overrides(theirs, row, one.cfg) or []
        return (one.shots not in theirs.shots, len(further), *other, -one.shots, natural(one.cfg))

    fitting = (one for one in results if one.trainer == row.trainer and one.source in theirs.trained_on)
    return min((one for one in fitting if targets <= one.targets.keys()), key=rank, default=None)


def _other_sources(results: Sequence[TransferResult]) -> str:
    """Why results of other sources stand beside nothing."""
    reasons = [comparable(result.source, result.backbone).removeprefix("not comparable: ") for result in results]
    sources = ", ".join(dict.fromkeys(result.source for result in results))
    return joined(why or f"trained on {sources}, the paper on imagenet" for why in reasons)


def _cells(material: Material, theirs: PublishedTable, result: TransferResult) -> list[Cell]:
    """A cell per column of the table."""
    numbers = {theirs.trained_on[0]: result.source_accuracy, **result.targets}
    average = Statistic((fmean(numbers[name].mean for name in theirs.columns if name in numbers),))
    return [
        statistic_cell(average, material.sources(material.runs_of(result.files)), digits=2)
        if name == "average"
        else statistic_cell(numbers[name], _sources(material, result, name), digits=2)
        for name in theirs.columns
    ]


def _everything(material: Material, results: Sequence[TransferResult]) -> Table:
    """All results of one protocol and source: a row per model, a column per target."""
    protocol, source = results[0].protocol, results[0].source
    targets = sorted({target for result in results for target in result.targets}, key=place_in_tables)
    mean = "harmonic mean" if protocol == BASE_TO_NEW else "mean"
    rows = []
    for result in results:
        number = result.harmonic_mean if protocol == BASE_TO_NEW else result.average
        cells = [
            statistic_cell(result.targets[name], _sources(material, result, name))
            if name in result.targets
            else nothing_cell("not evaluated")
            for name in targets
        ]
        sources = material.sources(material.runs_of(result.files))
        cells.append(nothing_cell() if number is None else Cell(f"{number:.1f}", number, sources))
        labels = [
            f"{name}: {count} of {result.classes[name]}" for name, count in result.labels_from_clip.items() if count
        ]
        trained = [
            name_cell(result.trainer),
            Cell(shots_text(result.shots), result.shots),
            statistic_cell(result.source_accuracy, _sources(material, result, source)),
        ]
        rows.append([*trained, *cells, name_cell(", ".join(labels)), name_cell(result.cfg)])
    over = "source and targets" if protocol == DOMAIN_GENERALIZATION else "targets"
    meaning = (
        f"Mean over {over}. Labels from CLIP: classes that the model had not learned, for which it takes CLIP's own."
    )
    if protocol == BASE_TO_NEW:
        meaning = "Harmonic mean of base and new classes."
    notes = [meaning, *(problem for result in results for problem in result.problems)]
    headings = ["method", "shots", f"on {source}", *targets, mean, "labels from CLIP", "config"]
    return Table(f"{TITLES[protocol]}, trained on {source}: accuracy in percent", headings, rows, notes)


def _sources(material: Material, result: TransferResult, name: str) -> tuple[str, ...]:
    """The groups of a result's runs on one data set; `new` stands for the evaluations on the source's new classes."""
    runs = material.runs.loc[material.runs_of(result.files)]
    evaluated = runs.protocol == EVALUATION
    if name == result.source:
        return material.sources(runs.index[~evaluated])
    datasets = (result.averaged or (result.source,)) if result.protocol == BASE_TO_NEW else (name,)
    return material.sources(runs.index[evaluated & runs.dataset.isin(datasets)])
