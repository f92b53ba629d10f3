"""Means over data sets: of runs with one backbone, and of the paper's data sets by themselves where all are there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lamm.report.material import Material
from lamm.results.averages import average_curves, without_average
from lamm.results.few_shot_curve import Curve, curves
from lamm.results.groups import Groups
from lamm.results.published import published


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
