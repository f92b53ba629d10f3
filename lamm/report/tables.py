"""The page's own tables: accuracy by shots, means over data sets, cost, and the list of runs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from lamm.report.material import Material
from lamm.results.curves import ALL_SHOTS, ascending, few_shot_curves, mean_curves
from lamm.results.published import DEMO_DATA, related
from lamm.results.schema import RESULTS_FILE
from lamm.results.table import Statistic

NOTHING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: What is shown.
        value: What the column is sorted by; None: the text.
        sources: Anchors of the groups of runs that it comes from, in the list at the page's end.
        detail: The numbers behind it, for a tooltip.
        kind: How it looks: `name`, `text`, `number`, `best`, `gain`, `loss`, `incomplete` or `nothing`.
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
        caption: What it shows.
        headings: One per column.
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


def shots_text(shots: int) -> str:
    """A number of shots as a heading."""
    return "all" if shots == ALL_SHOTS else str(shots)


@dataclass(frozen=True)
class Mean:
    """A mean over data sets.

    Attributes:
        datasets: Those that it is taken over, at least two.
        curves: See `mean_curves`; a point that one of the data sets lacks has no value.
        backbone: Of all its runs, where the report has several; else empty.
    """

    datasets: list[str]
    curves: pd.DataFrame
    backbone: str = ""

    @property
    def points(self) -> pd.DataFrame:
        """The points of the curves that have a value."""
        return self.curves[self.curves.value.notna()]

    @property
    def name(self) -> str:
        """What it is the mean of: `digits, shapes`, or `11 data sets, ViT-B/16`."""
        datasets = ", ".join(self.datasets) if len(self.datasets) <= 3 else f"{len(self.datasets)} data sets"
        return ", ".join(part for part in (datasets, self.backbone) if part)


def means(material: Material) -> list[Mean]:
    """The means of a report, those over the paper's data sets first, then those over demo data, each per backbone.

    A mean over data sets of the user's own would say nothing.
    """
    backbones = material.few_shot.groupby("backbone", sort=False)
    results = []
    for backbone, runs in backbones:
        for members in related(few_shot_curves(runs).dataset):
            name = (backbone or "backbone not known") if len(backbones) > 1 else ""
            results.append(Mean(members, mean_curves(runs, members), name))
    return sorted(results, key=lambda mean: mean.datasets[0] in DEMO_DATA)


def average_tables(material: Material, averages: Sequence[Mean]) -> list[Table]:
    """The table of each mean over data sets; one of which no method is a part is left out."""
    tables = []
    for mean in averages:
        if mean.points.empty:
            continue
        backbone = f", {mean.backbone}" if mean.backbone else ""
        caption = f"Mean of {len(mean.datasets)} data sets{backbone}: accuracy in percent by number of shots"
        notes = [f"Mean of {', '.join(mean.datasets)}. A cell is empty where a data set has no finished run yet."]
        if lacking := [name for name in mean.curves.label.unique() if name not in set(mean.points.label)]:
            notes.append(f"Without a mean, since no number of shots is finished on all: {', '.join(lacking)}.")
        tables.append(_table_by_shots(material, caption, mean.points, mean.curves.shots, notes))
    return tables


def shots_tables(material: Material) -> dict[str, Table]:
    """The table of each data set, by its name."""
    caption = "Accuracy in percent by number of shots"
    return {
        dataset: _table_by_shots(material, caption, points, points.shots)
        for dataset, points in material.curves.groupby("dataset", sort=False)
    }


def _table_by_shots(
    material: Material, caption: str, points: pd.DataFrame, shots: pd.Series, notes: Sequence[str] = ()
) -> Table:
    """A row per curve, a column per number of shots; a curve without training has its one value in all of them."""
    cells = [
        statistic_cell(point.value, material.sources(point.runs), material.detail(point.runs))
        for point in points.itertuples()
    ]
    table = points.assign(cell=cells).pivot(index="label", columns="shots", values="cell")
    columns = ascending({*shots} - {0}) or [0]
    table = table.loc[points.label.unique()].apply(lambda row: row.reindex(columns).fillna(row.get(0)), axis=1)
    table = table.where(table.notna(), nothing_cell("no finished runs yet"))
    for number in columns:
        values = [cell.value for cell in table[number] if cell.value is not None]
        if len(values) > 1:
            table[number] = [replace(c, kind="best") if c.value == max(values) else c for c in table[number]]
    rows = [[name_cell(label), *row] for label, row in zip(table.index, table.to_numpy(), strict=True)]
    return Table(caption, ["method", *map(shots_text, columns)], rows, notes)


COST_HEADINGS = (
    *("method", "data set", "shots", "seconds", "memory (MiB)", "trained parameters", "precision", "accuracy (%)"),
    *("ECE (%)", "AUROC (%)"),
)


def cost_tables(material: Material) -> list[Table]:
    """The cost at the most shots of each method and data set; then at all shots, where there are others."""
    points = material.curves
    most = points.groupby(["dataset", "label"], sort=False).tail(1)
    notes = [
        "Median seconds of training over the seeds, largest peak memory: of the GPU's tensors where there is one, else "
        "of the process. Runs beside each other on one machine slow each other down.",
        "ECE: mean distance of confidence from accuracy. AUROC: how often a right prediction is surer than a wrong.",
    ]
    tables = [Table("At the most shots", COST_HEADINGS, _costs(material, most), notes)] if len(most) else []
    if len(points) > len(most):
        tables.append(Table("At all shots", COST_HEADINGS, _costs(material, points)))
    return tables


def _costs(material: Material, points: pd.DataFrame) -> list[list[Cell]]:
    """A row per point."""
    rows = []
    for point in points.itertuples():
        runs, sources = material.runs.loc[point.runs], material.sources(point.runs)

        def cell(value: Any, layout: str, detail: str = "", sources: tuple[str, ...] = sources) -> Cell:
            unknown = pd.isna(value)
            return nothing_cell("not recorded") if unknown else Cell(format(value, layout), value, sources, detail)

        seconds = runs.seconds_train
        spread = f"{seconds.min():.1f} to {seconds.max():.1f}, median {seconds.median():.1f}"
        rows.append(
            [
                name_cell(point.label),
                name_cell(point.dataset),
                Cell(shots_text(point.shots), point.shots),
                cell(seconds.median(), ".1f", spread),
                cell(runs.peak_memory_mb.max(), ",.0f"),
                cell(runs.trainable_parameters.max(), ",d"),
                name_cell(", ".join(sorted({*runs.precision} - {""}))),
                statistic_cell(point.value, sources, material.detail(point.runs)),
                *(cell(runs[name].mean() if name in runs else None, ".1f") for name in ("ece", "auroc")),
            ]
        )
    return rows


def run_list(material: Material, page: Path) -> list[tuple[str, list[Any]]]:
    """All runs, the unfinished ones included: the anchor of each group, and its runs as tuples of named fields.

    Beside the columns of the runs there are `shots_text`, `path`, the run's file or folder as shown, and `link`, the
    same as seen from the page.

    Args:
        material: The runs.
        page: The file that links start from.
    """
    runs = material.runs
    shots = ["?" if pd.isna(number) else shots_text(number if number > 0 else ALL_SHOTS) for number in runs.shots]
    files = [
        run.folder / RESULTS_FILE if run.finished and (run.folder / RESULTS_FILE).is_file() else run.folder
        for run in runs.itertuples()
    ]
    links = [quote(Path(os.path.relpath(file, page.absolute().parent)).as_posix()) for file in files]
    listed = runs.assign(shots_text=shots, path=[material.shown(file) for file in files], link=links)
    return [(anchor, list(group.itertuples())) for anchor, group in listed.groupby("anchor", sort=False)]
