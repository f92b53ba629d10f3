"""The paper's few-shot tables beside ours, and what all the paper's tables need: rows, differences, reasons."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pandas as pd

from lamm.report.material import Material
from lamm.report.tables import Cell, Table, amount, name_cell, nothing_cell, statistic_cell
from lamm.results.curves import ZERO_SHOT_TRAINER, mean_curves
from lamm.results.frame import natural
from lamm.results.published import PublishedRow, PublishedTable, comparable, has_other_config, known_datasets, published

NO_BACKBONE = "the runs don't say their backbone"
COMMANDS = {
    "few_shot": "lamm sweep paper{}\nlamm sweep paper_hierarchical_loss{}",
    "loss_parts": "lamm sweep paper_loss_parts{}",
    "label_init": "lamm sweep paper_label_init{}",
    "field": (
        "lamm sweep paper --trainers LAMM CoOp_LAMM CoOp MaPLe KgCoOp PromptSRC CLIPLoRA "
        "LinearProbe TipAdapter TipAdapterF GDA{}"
    ),
}
"""By table, what fills it; in the place of {} stand the data sets, where the paper's are not there."""


ORIGIN = {"whose number": "whose", "uses": "uses", "source": "source"}
"""Heading → attribute of a row, of a table that is gathered from several papers."""


@dataclass
class PaperTable:
    """One of the paper's tables.

    Attributes:
        number: What the paper calls it.
        title: What it shows.
        table: Ours and theirs; None when there is nothing of ours.
        reason: Why differences are missing; empty when none is.
        command: What fills the table, or its empty rows; empty when it is full.
        further: Tables of the same experiment that the paper doesn't have.
        error: Why it couldn't be made; usually empty.
        problems: A line for each run that is not in the tables though it belongs there.
    """

    number: str
    title: str
    table: Table | None = None
    reason: str = ""
    command: str = ""
    further: Sequence[Table] = field(default=())
    error: str = ""
    problems: Sequence[str] = field(default=())


def is_on_own_photos(material: Material) -> bool:
    """Whether no run is on a data set that the paper reports on, or on demo data."""
    return not material.runs.dataset.isin(known_datasets()).any()


def few_shot_paper_table(material: Material, name: str) -> PaperTable:
    """A published table whose columns are shots, with our rows beside its own.

    Args:
        material: The runs.
        name: `few_shot`, `loss_parts`, `label_init` or `field`.
    """
    theirs = published(name)
    columns = [int(column) for column in theirs.columns]
    curves = material.curves[material.curves.dataset.isin(known_datasets())]
    if curves.dataset.isin(theirs.trained_on).any():
        curves = curves[curves.dataset.isin(theirs.trained_on)]
    others = [dataset for dataset in curves.dataset.unique() if dataset not in theirs.trained_on]
    command = COMMANDS[name].replace("{}", f" --datasets {' '.join(others)}" if others else "")
    lines = {row.label: line for row in theirs.rows if (line := line_of_row(theirs, row, curves)) is not None}
    lines = {label: line for label, line in lines.items() if line.shots.isin([0, *columns]).any()}
    if not lines:
        return PaperTable(theirs.table, theirs.title, command=command)
    datasets = in_order(theirs, [dataset for line in lines.values() for dataset in line.dataset.unique()])
    ours = {}
    for row in theirs.rows:
        if row.label not in lines:
            continue
        runs = material.runs.loc[lines[row.label].runs.sum()]
        means = mean_curves(runs.assign(protocol="", split=""), datasets).set_index("shots")
        cells, why = [], []
        for shots in columns:
            point = means.loc[0 if 0 in means.index else shots] if {0, shots} & {*means.index} else None
            members = runs.loc[[] if point is None else point.runs]
            sources = material.sources(members.index)
            if point is None or point.value is None:
                cells.append(incomplete_cell({*members.dataset}, datasets, sources))
                why.append("")
            else:
                cells.append(statistic_cell(point.value, sources, material.detail(list(members.index)), digits=2))
                why.append(reason_not_comparable(theirs, row, members, datasets))
        ours[row.label] = cells, why
    rows, reasons = rows_beside(theirs, ours)
    caption = f"{theirs.title.split(',')[0]}: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(f"{column} shot{'' if column == '1' else 's'}" for column in theirs.columns)]
    if not theirs.table:
        headings += [*ORIGIN]
        rows = with_origin(theirs, rows)
    where = f"Paper: {theirs.source}, {theirs.table}" if theirs.table else f"Reported: {theirs.source}"
    paper = f"{where}; {theirs.backbone}, {theirs.seeds} seeds."
    configs = "; ".join(f"{label}: {line.cfg.iloc[0]}" for label, line in lines.items())
    incomplete = incomplete_note(rows)
    notes = [paper, *theirs.notes, f"Our configs: {configs}.", *incomplete]
    table = Table(caption, headings, rows, notes, grouped=True)
    full = len(lines) == len(theirs.rows) and not incomplete
    return PaperTable(theirs.table, theirs.title, table, reasons, "" if full else command)


def line_of_row(table: PublishedTable, row: PublishedRow, curves: pd.DataFrame) -> pd.DataFrame | None:
    """The points of the trainer with the config that suits the row best, on each data set; None: there are none."""
    points = curves[curves.trainer == row.trainer]
    points = points[points.label == points.groupby(["dataset", "cfg"]).label.transform("last")]
    datasets = points.groupby("cfg").dataset.nunique()

    def order(cfg: str) -> tuple[object, ...]:
        return (*preference(table, row, cfg, table.shots[0], datasets[cfg]), len(cfg), natural(cfg))

    fitting = (cfg for cfg in points.cfg.unique() if further_overrides(table, row, cfg) is not None)
    best = min(fitting, key=order, default=None)
    return None if best is None else points[points.cfg == best]


def preference(table: PublishedTable, row: PublishedRow, cfg: str, shots: int, datasets: int = 1) -> tuple[object, ...]:
    """A sorting key of runs that could stand beside a row, the best first.

    Those with the table's shots come first, then those with the fewest further overrides, with the paper's config, not
    with that of the authors' code, on the most data sets, and with the most shots.
    """
    further = further_overrides(table, row, cfg) or []
    other = has_other_config(row.trainer, cfg), "released" in cfg
    return (shots not in table.shots, len(further), *other, -datasets, -shots)


def row_of_curve(table: PublishedTable, curve: pd.DataFrame) -> PublishedRow | None:
    """The row that a curve is the counterpart of, other settings aside; None when there is none."""
    trainer, cfg = curve.trainer.iloc[0], curve.cfg.iloc[0]
    rows = (row for row in table.rows if row.trainer == trainer)
    return next((row for row in rows if further_overrides(table, row, cfg) is not None), None)


def further_overrides(table: PublishedTable, row: PublishedRow, cfg: str) -> list[str] | None:
    """What a config overrides besides what makes the row; None where it is not that row's, or another one's.

    The number of incremental steps is left out: it is what a table is about.

    Args:
        table: That the row is of; a key that any of its rows overrides tells its rows apart.
        row: A row with a trainer.
        cfg: Name of a config file, with overrides whose keys may be short: `tiny_ep50+LAMBDA_KD=0.0`.
    """
    own = dict(part.partition("=")[::2] for part in cfg.split("+")[1:])
    for key, value in row.overrides.items():
        short = next((name for name in own if f".{key}".endswith(f".{name}")), None)
        if short is None or not same_value(own.pop(short), value):
            return None
    telling = {key for other in table.rows for key in other.overrides}
    if any(f".{key}".endswith(f".{name}") for name in own for key in telling):
        return None
    return [f"{name}={value}" for name, value in own.items() if name != "STEPS"]


def same_value(one: str, other: str) -> bool:
    """Whether two values of an override are the same, as numbers where they are numbers."""
    with suppress(ValueError):
        return float(one) == float(other)
    return one.lower() == other.lower()


def reason_not_comparable(table: PublishedTable, row: PublishedRow, runs: pd.DataFrame, datasets: Sequence[str]) -> str:
    """Why the mean of few-shot runs over data sets is not a counterpart of a published number; empty when it is one.

    Args:
        table: With which table.
        row: With which of its rows.
        runs: At least one.
        datasets: Those of all of them.
    """
    seeds = runs.groupby(["dataset", "shots"]).seed.nunique(dropna=False).min()
    further = further_overrides(table, row, runs.cfg.iloc[0]) or []
    return reason(table, runs, list(datasets), further, None if row.trainer == ZERO_SHOT_TRAINER else seeds)


def reason(
    table: PublishedTable, runs: pd.DataFrame, datasets: str | list[str], overrides: Sequence[str], seeds: int | None
) -> str:
    """`lamm.results.published.comparable` for runs, without its first words."""
    backbones = sorted({*runs.backbone})
    other = [has_other_config(trainer, cfg) for trainer, cfg in zip(runs.trainer, runs.cfg, strict=True)]
    telling = runs.iloc[other.index(True) if True in other else 0]
    said = comparable(datasets, backbones[0], seeds, overrides, table, telling.trainer, telling.cfg)
    if said and not backbones[0] and "backbone" in said and "demo" not in said:
        return NO_BACKBONE
    if not said and len(backbones) > 1:
        return f"the runs have several backbones ({', '.join(name or 'unknown' for name in backbones)})"
    split_here = runs.dataset[runs.split_made_here].unique()
    if not said and len(split_here):
        return f"not the published split, but one made here ({', '.join(split_here)})"
    return said.removeprefix("not comparable: ")


def rows_beside(
    theirs: PublishedTable, ours: Mapping[str, tuple[Sequence[Cell], Sequence[str]]]
) -> tuple[list[list[Cell]], str]:
    """The lines of each row, ours, the paper's, and their difference where it means something; and why some lack one.

    Args:
        theirs: The paper's rows.
        ours: By label, a cell per column, and for each column why the two can't be compared; empty when they can.
    """
    rows: list[list[Cell]] = []
    missing: list[str] = []
    for row in theirs.rows:
        paper = [
            nothing_cell("not reported") if value is None else Cell(amount(value, 2), value) for value in row.values
        ]
        if row.label not in ours:
            rows.append([name_cell(row.label), name_cell("paper"), *paper])
            continue
        cells, reasons = ours[row.label]
        missing += reasons
        rows += [[name_cell(row.label), name_cell("ours"), *cells], [name_cell(""), name_cell("paper"), *paper]]
        differences = [_difference(*column) for column in zip(cells, row.values, reasons, strict=True)]
        if any(cell.value is not None for cell in differences):
            rows.append([name_cell(""), name_cell("difference"), *differences])
    return rows, joined(missing)


def with_origin(theirs: PublishedTable, rows: Sequence[Sequence[Cell]]) -> list[list[Cell]]:
    """The lines of `rows_beside` with whose the numbers are and what the method uses, where a method's lines begin."""
    of_label = {row.label: row for row in theirs.rows}
    return [
        [*line, *(name_cell(getattr(of_label.get(line[0].text), attribute, "")) for attribute in ORIGIN.values())]
        for line in rows
    ]


def _difference(ours: Cell, theirs: float | None, reason: str) -> Cell:
    if ours.value is None or theirs is None or reason:
        return nothing_cell(reason)
    difference = ours.value - theirs
    kind = "gain" if difference > 0 else "loss" if difference < 0 else "number"
    return Cell(amount(difference, 2, sign=True), difference, (), f"{ours.value:.2f} − {theirs:.2f}", kind)


def over(datasets: Sequence[str]) -> str:
    """What a number is the mean over, in words."""
    if len(datasets) == 1:
        return datasets[0]
    return f"mean of {', '.join(datasets) if len(datasets) <= 3 else f'{len(datasets)} data sets'}"


def joined(reasons: Iterable[str]) -> str:
    """The reasons, each once."""
    return "; ".join(dict.fromkeys(filter(None, reasons)))


def in_order(theirs: PublishedTable, datasets: Iterable[str]) -> list[str]:
    """Data sets, each once, the paper's in its order: what a whole row is the mean over."""
    names = dict.fromkeys(datasets)
    papers = [name for name in theirs.trained_on if name in names]
    return [*papers, *(name for name in names if name not in papers)]


def incomplete_cell(finished: Collection[str], datasets: Sequence[str], sources: Sequence[str] = ()) -> Cell:
    """A cell in the place of a mean that lacks data sets: on how many it is finished."""
    if not finished:
        return nothing_cell("no finished runs")
    lacking = ", ".join(name for name in datasets if name not in finished)
    text = f"{len(finished)} of {len(datasets)}"
    return Cell(text, None, tuple(sources), f"not finished on {lacking}", "incomplete")


def incomplete_note(rows: Iterable[Iterable[Cell]]) -> list[str]:
    """What `incomplete_cell` means, where there is one."""
    if not any(cell.kind == "incomplete" for row in rows for cell in row):
        return []
    return ["“k of n”: finished on k of n data sets; the mean is shown once it is on all."]
