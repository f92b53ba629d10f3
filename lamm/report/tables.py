"""What the page shows of a table: cells that know the runs that they come from."""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lamm.report.material import Material
from lamm.results.collect import GroupKey, Groups, Run
from lamm.results.curves import ALL_SHOTS, Curve, ascending, average_curves, curves, without_average
from lamm.results.published import published
from lamm.results.table import Statistic, median_seconds, trainable_parameters

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown.
        value: What the column is sorted by; None: the text.
        sources: Anchors of the groups of runs that it comes from, in the list at the page's end.
        detail: The numbers behind it, for a tooltip.
        kind: How it looks: `name`, `number`, `best`, `gain`, `loss`, `incomplete` or `nothing`.
    """

    text: str
    value: float | None = None
    sources: tuple[str, ...] = ()
    detail: str = ""
    kind: str = "number"


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        caption: What it is of.
        headings: One a column.
        rows: Their cells, as many as headings.
        notes: Lines below it.
        grouped: Whether several rows belong together, so that sorting would tear them apart.
    """

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = field(default=())
    grouped: bool = False


def name_cell(text: str, detail: str = "") -> Cell:
    """The cell at the head of a row."""
    return Cell(text, detail=detail, kind="name")


def nothing_cell(reason: str = "") -> Cell:
    """A cell without a number, and why."""
    return Cell(NOTHING, detail=reason, kind="nothing")


def amount(value: float, digits: int, sign: bool = False) -> str:
    """A number as text; its minus is a minus, not a hyphen."""
    return format(value, f"{'+' if sign else ''}.{digits}f").replace("-", "−")


def statistic_cell(value: Statistic, sources: Sequence[str], detail: str = "", digits: int = 1) -> Cell:
    """Mean ± standard deviation, the mean alone where there is one number."""
    spread = f" ± {value.std:.{digits}f}" if len(value.values) > 1 else ""
    return Cell(amount(value.mean, digits) + spread, value.mean, tuple(sources), detail)


def difference_cell(ours: float, theirs: float, detail: str) -> Cell:
    """Ours minus the published one, with its sign."""
    difference = ours - theirs
    kind = "gain" if difference > 0 else "loss" if difference < 0 else "number"
    return Cell(amount(difference, 2, sign=True), difference, (), detail, kind)


@dataclass(frozen=True)
class Mean:
    """A mean over data sets.

    Attributes:
        datasets: Those that it is taken over, at least two.
        curves: Of the methods that are there on all of them.
        lacking: Names of the methods that are not.
        shots: Every number of shots that a run of these data sets has.
        backbone: Of all its runs, where the report has several; else empty.
    """

    datasets: list[str]
    curves: list[Curve]
    lacking: list[str]
    shots: set[int] = field(default_factory=set)
    backbone: str = ""

    @property
    def name(self) -> str:
        """What it is the mean of: `digits, shapes`, or `11 data sets, ViT-B/16`."""
        datasets = ", ".join(self.datasets) if len(self.datasets) <= 3 else f"{len(self.datasets)} data sets"
        return ", ".join(part for part in (datasets, self.backbone) if part)


def means(material: Material) -> list[Mean]:
    """The means of a report, that over the paper's data sets first.

    Each backbone has a mean over the paper's data sets and one over its others, or, where any of the paper's is not
    there, one over all.
    """
    groups = _by_backbone(material)
    found = []
    for backbone, members in groups.items():
        by_dataset = curves(members)
        for datasets in _together(by_dataset):
            if len(datasets) > 1:
                points = {number for name in datasets for curve in by_dataset[name] for number in curve.points}
                made, lacking = average_curves(by_dataset, datasets), without_average(by_dataset, datasets)
                shown = (backbone or "backbone not known") if len(groups) > 1 else ""
                found.append(Mean(datasets, made, lacking, points, shown))
    return sorted(found, key=lambda mean: not _is_the_papers(mean.datasets))


def _by_backbone(material: Material) -> dict[str, Groups]:
    """The few-shot runs of each backbone, by group."""
    found: dict[str, Groups] = {}
    for key, runs in material.few_shot.items():
        for run in runs:
            found.setdefault(material.facts[run.folder].backbone, {}).setdefault(key, []).append(run)
    return found


def _together(datasets: Iterable[str]) -> list[list[str]]:
    """The data sets of one backbone, apart as far as a mean over all would be of little use."""
    everything = list(datasets)
    papers = published("few_shot").trained_on
    if not {*papers} <= {*everything}:
        return [everything]
    return [list(papers), [name for name in everything if name not in papers]]


def _is_the_papers(datasets: Sequence[str]) -> bool:
    return {*datasets} == {*published("few_shot").trained_on}


def shots_text(shots: int) -> str:
    """A number of shots as a heading."""
    return "all" if shots == ALL_SHOTS else str(shots)


def shots_tables(material: Material) -> dict[str, Table]:
    """The table of each data set, by its name."""
    return {
        dataset: _table(material, "Accuracy in percent by number of shots", members, _shots(members))
        for dataset, members in material.curves.items()
    }


def average_tables(material: Material, averages: Iterable[Mean]) -> list[Table]:
    """The table of each mean over data sets; one of which no method is a part is left out."""
    return [_average_table(material, mean) for mean in averages if mean.curves]


def _average_table(material: Material, mean: Mean) -> Table:
    backbone = f", {mean.backbone}" if mean.backbone else ""
    caption = f"Mean of {len(mean.datasets)} data sets{backbone}: accuracy in percent by number of shots"
    notes = [f"Mean of {', '.join(mean.datasets)}. A cell is empty where a data set has no finished run yet."]
    if mean.lacking:
        notes.append(f"Without a mean, since no number of shots is finished on all: {', '.join(mean.lacking)}.")
    zero_shot_first = sorted(mean.curves, key=lambda curve: not curve.zero_shot)
    return _table(material, caption, zero_shot_first, ascending(mean.shots - {0}) or [0], notes)


def _shots(members: Iterable[Curve]) -> list[int]:
    return ascending({number for curve in members for number in curve.points if not curve.zero_shot}) or [0]


def _table(
    material: Material, caption: str, members: Sequence[Curve], shots: Sequence[int], notes: Sequence[str] = ()
) -> Table:
    rows = [[name_cell(curve.label), *(_cell(material, curve, number) for number in shots)] for curve in members]
    headings = ["method", *map(shots_text, shots)]
    return Table(caption, headings, _with_best(rows), notes)


def _cell(material: Material, curve: Curve, shots: int) -> Cell:
    place = 0 if curve.zero_shot else shots
    if place not in curve.points:
        return nothing_cell("no finished runs yet")
    runs = curve.runs[place]
    return statistic_cell(curve.points[place], material.sources(runs), material.detail(runs))


def _with_best(rows: list[list[Cell]]) -> list[list[Cell]]:
    """The rows, the highest number of each column marked, if there is another."""
    for column in range(1, len(rows[0])):
        values = [row[column].value for row in rows]
        known = [value for value in values if value is not None]
        for row, value in zip(rows, values, strict=True):
            if len(known) > 1 and value is not None and value == max(known):
                cell = row[column]
                row[column] = Cell(cell.text, cell.value, cell.sources, cell.detail, "best")
    return rows


@dataclass(frozen=True)
class ListedRun:
    """One run of the list.

    Attributes:
        run: The run.
        path: Its file, or its folder, as shown.
        link: The same, as seen from the page.
    """

    run: Run
    path: str
    link: str


@dataclass(frozen=True)
class ListedGroup:
    """Runs that differ in the seed alone.

    Attributes:
        anchor: Of the group.
        key: What the runs have in common.
        shots: The number of shots in words.
        runs: Of the group.
    """

    anchor: str
    key: GroupKey
    shots: str
    runs: list[ListedRun]


def run_list(material: Material, page: Path) -> list[ListedGroup]:
    """All runs, the unfinished ones included.

    Args:
        material: The runs.
        page: The file that links start from.
    """
    return [
        ListedGroup(material.anchors[key], key, _shots_run_list(key), [_listed(material, run, page) for run in runs])
        for key, runs in material.groups.all.items()
    ]


def _shots_run_list(key: GroupKey) -> str:
    if key.shots is None:
        return "?"
    return shots_text(key.shots if key.shots > 0 else ALL_SHOTS)


def _listed(material: Material, run: Run, page: Path) -> ListedRun:
    facts = material.facts.get(run.folder)
    source = facts.source if facts else run.folder
    link = Path(os.path.relpath(source, page.absolute().parent)).as_posix()
    return ListedRun(run, material.shown(source), quote(link))


HEADINGS = ("method", "data set", "shots", "seconds", "memory (MiB)", "trained parameters", "precision", "accuracy (%)")


def cost_tables(material: Material) -> list[Table]:
    """The cost at the most shots of each method and data set; then at all shots, where there are others."""
    lines = [(dataset, curve) for dataset, members in material.curves.items() for curve in members]
    most = [_row(material, dataset, curve, list(curve.points)[-1]) for dataset, curve in lines]
    everything = [_row(material, dataset, curve, shots) for dataset, curve in lines for shots in curve.points]
    notes = [
        "Median seconds of training over the seeds, largest peak memory: of the GPU's tensors where there is one, else "
        "of the process. Runs beside each other on one machine slow each other down."
    ]
    tables = [Table("At the most shots", HEADINGS, most, notes)] if most else []
    if len(everything) > len(most):
        tables.append(Table("At all shots", HEADINGS, everything))
    return tables


def _row(material: Material, dataset: str, curve: Curve, shots: int) -> list[Cell]:
    runs = curve.runs[shots]
    sources = material.sources(runs)
    precisions = sorted({material.facts[run.folder].precision for run in runs} - {""})
    return [
        name_cell(curve.label),
        name_cell(dataset),
        Cell(shots_text(shots), shots),
        _amount(median_seconds(runs), sources, ".1f", _detail(runs)),
        _amount(_peak_memory(material, runs), sources, ",.0f"),
        _amount(trainable_parameters(runs), sources, ",d"),
        name_cell(", ".join(precisions)),
        statistic_cell(curve.points[shots], sources, material.detail(runs)),
    ]


def _amount(value: float | None, sources: tuple[str, ...], layout: str, detail: str = "") -> Cell:
    return nothing_cell("not recorded") if value is None else Cell(format(value, layout), value, sources, detail)


def _peak_memory(material: Material, runs: Sequence[Run]) -> float | None:
    known = [memory for run in runs if (memory := material.facts[run.folder].peak_memory_mb) is not None]
    return max(known, default=None)


def _detail(runs: Sequence[Run]) -> str:
    seconds = [run.seconds_train for run in runs if run.seconds_train is not None]
    return f"{min(seconds):.1f} to {max(seconds):.1f}, median {statistics.median(seconds):.1f}" if seconds else ""
