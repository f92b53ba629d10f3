"""What each method costs: seconds of training, peak memory, trained parameters."""

import statistics
from collections.abc import Sequence

from lamm.report.material import Material
from lamm.report.shots_tables import shots_text
from lamm.report.table_view import Cell, Table, name_cell, nothing_cell, statistic_cell
from lamm.results.few_shot_curve import Curve
from lamm.results.groups import Run
from lamm.results.statistic import median_seconds, trainable_parameters

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
