"""Table 1 of the paper beside ours, and every evaluation of a trained model on other domains, classes or data sets."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from lamm.errors import ResultsError
from lamm.report.material import Material
from lamm.report.paper import NO_BACKBONE, PaperTable, beside, further_overrides, joined
from lamm.report.tables import Cell, Table, name_cell, nothing_cell, shots_text, statistic_cell
from lamm.results.collect import natural, shots_in_words
from lamm.results.published import PublishedRow, PublishedTable, comparable, has_other_config, published
from lamm.results.schema import EVALUATION
from lamm.results.table import Statistic
from lamm.transfer.results import (
    TransferFindings,
    TransferResult,
    place_in_tables,
    transfer_findings,
    with_base_to_new_means,
)
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
    if not any(key.protocol == EVALUATION for key in material.groups.finished):
        return PaperTable(theirs.table, theirs.title, command=COMMAND)
    try:
        findings = transfer_findings(material.folders, {key.trainer for key in material.groups.all})
    except ResultsError as error:
        return PaperTable(theirs.table, theirs.title, command=COMMAND, error=str(error))
    traced, untraced = _traced(material, findings.results)
    results, lacking = with_base_to_new_means(traced)
    problems = [*_problems(material, findings), *untraced, *lacking]
    kinds = dict.fromkeys((result.protocol, result.source) for result in results)
    further = [_everything(material, [one for one in results if (one.protocol, one.source) == kind]) for kind in kinds]
    domains = [result for result in results if result.protocol == DOMAIN_GENERALIZATION]
    counterparts = {row.label: found for row in theirs.rows if (found := _counterpart(theirs, row, domains))}
    if not counterparts:
        reason = _other_sources(domains)
        return PaperTable(
            theirs.table, theirs.title, reason=reason, command=COMMAND, further=further, problems=problems
        )
    rows: list[list[Cell]] = []
    reasons: list[str] = []
    for row in theirs.rows:
        result = counterparts.get(row.label)
        why = _reason(result) if result else ""
        reasons += [why] if why else []
        ours = _ours(material, theirs, result) if result else None
        rows += beside(row.label, ours, row.values, [why] * len(row.values))
    caption = f"Domain generalisation from {theirs.trained_on[0]}: accuracy in percent"
    table = Table(caption, ["", "", *theirs.columns], rows, theirs.notes, grouped=True)
    command = COMMAND if len(counterparts) < len(theirs.rows) else ""
    return PaperTable(theirs.table, theirs.title, table, joined(reasons), command, further, problems=problems)


def _traced(material: Material, results: Iterable[TransferResult]) -> tuple[list[TransferResult], list[str]]:
    """The results whose runs are all on the page, and a line for each other one."""
    kept, lines = [], []
    for result in results:
        if outside := material.outside(result.files):
            names = ", ".join((result.trainer, result.source, shots_in_words(result.shots), result.cfg))
            lines.append(f"left out, not below the folders of this page: {outside[0].parent}, of {names}")
        else:
            kept.append(result)
    return kept, lines


def _problems(material: Material, findings: TransferFindings) -> list[str]:
    """What no table shows: evaluations without a training run, unfinished ones, and those that have no place here."""
    beside_tables = {problem for result in findings.results for problem in result.problems}
    told = [problem for problem in findings.problems if problem not in beside_tables]
    return [line.replace(f"{material.base}/", "") for line in (*told, *findings.left_out)]


def _counterpart(theirs: PublishedTable, row: PublishedRow, results: Iterable[TransferResult]) -> TransferResult | None:
    """The result of a row's trainer on the table's source with its targets.

    Of several the one with the table's shots counts, then with the fewest overrides, then with the paper's config.
    """
    wanted = [name for name in theirs.columns if name != "average" and name not in theirs.trained_on]
    found = [
        result
        for result in results
        if result.trainer == row.trainer
        and result.source in theirs.trained_on
        and all(target in result.targets for target in wanted)
    ]
    if not found:
        return None

    def rank(one: TransferResult) -> tuple[object, ...]:
        other = has_other_config(row.trainer, one.cfg), "released" in one.cfg
        return (one.shots not in theirs.shots, len(_further(theirs, row, one)), *other, -one.shots, natural(one.cfg))

    return min(found, key=rank)


def _further(theirs: PublishedTable, row: PublishedRow, result: TransferResult) -> list[str]:
    return further_overrides(theirs, row, result.cfg) or []


def _reason(result: TransferResult) -> str:
    return why_not_comparable(result).removeprefix("not comparable: ") if result.backbone else NO_BACKBONE


def _other_sources(results: Sequence[TransferResult]) -> str:
    """Why results of other sources stand beside nothing."""
    reasons = [comparable(result.source, result.backbone).removeprefix("not comparable: ") for result in results]
    sources = ", ".join(dict.fromkeys(result.source for result in results))
    return joined(why or f"trained on {sources}, the paper on imagenet" for why in reasons)


def _ours(material: Material, theirs: PublishedTable, result: TransferResult) -> list[Cell]:
    numbers = {theirs.trained_on[0]: result.source_accuracy, **result.targets}
    shown = [numbers[name] for name in theirs.columns if name in numbers]
    cells = {name: statistic_cell(value, _sources(material, result, name), digits=2) for name, value in numbers.items()}
    cells["average"] = statistic_cell(
        Statistic((fmean(number.mean for number in shown),)), material.sources_of_files(result.files), digits=2
    )
    return [cells[name] for name in theirs.columns]


def _everything(material: Material, results: Sequence[TransferResult]) -> Table:
    """All results of one protocol and source: a row a model, a column a target."""
    protocol, source = results[0].protocol, results[0].source
    targets = sorted({target for result in results for target in result.targets}, key=place_in_tables)
    last = "harmonic mean" if protocol == BASE_TO_NEW else "mean"
    headings = ["method", "shots", f"on {source}", *targets, last, "labels from CLIP", "config"]
    rows = []
    for result in results:
        everything = material.sources_of_files(result.files)
        mean = result.harmonic_mean if protocol == BASE_TO_NEW else result.average
        rows.append(
            [
                name_cell(result.trainer),
                Cell(shots_text(result.shots), result.shots),
                statistic_cell(result.source_accuracy, _sources(material, result, result.source)),
                *(
                    statistic_cell(result.targets[name], _sources(material, result, name))
                    if name in result.targets
                    else nothing_cell("not evaluated")
                    for name in targets
                ),
                nothing_cell() if mean is None else Cell(f"{mean:.1f}", mean, everything),
                name_cell(", ".join(_labels(result))),
                name_cell(result.cfg),
            ]
        )
    problems = [problem for result in results for problem in result.problems]
    notes = [_meaning(protocol), *problems]
    return Table(f"{TITLES[protocol]}, trained on {source}: accuracy in percent", headings, rows, notes)


def _meaning(protocol: str) -> str:
    if protocol == BASE_TO_NEW:
        return "Harmonic mean of base and new classes."
    over = "source and targets" if protocol == DOMAIN_GENERALIZATION else "targets"
    return f"Mean over {over}. Labels from CLIP: classes that the model had not learned, for which it takes CLIP's own."


def _labels(result: TransferResult) -> list[str]:
    return [f"{name}: {count} of {result.classes[name]}" for name, count in result.labels_from_clip.items() if count]


def _sources(material: Material, result: TransferResult, name: str) -> tuple[str, ...]:
    """The groups of a result's runs on one data set; `new` stands for the evaluations on the source's new classes."""
    keys = {anchor: key for key, anchor in material.anchors.items()}
    everything = material.sources_of_files(result.files)
    evaluated = {anchor for anchor in everything if keys[anchor].protocol == EVALUATION}
    if name == result.source:
        return tuple(anchor for anchor in everything if anchor not in evaluated)
    wanted = (result.averaged or (result.source,)) if result.protocol == BASE_TO_NEW else (name,)
    return tuple(anchor for anchor in everything if anchor in evaluated and keys[anchor].dataset in wanted)
