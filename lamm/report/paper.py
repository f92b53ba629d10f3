"""Which of our lines stands beside a published row, and why a difference of the two would mislead."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from lamm.report.material import Material
from lamm.report.tables import Cell, Table, amount, difference_cell, name_cell, nothing_cell, statistic_cell
from lamm.results.collect import Run, natural
from lamm.results.curves import ZERO_SHOT_TRAINER, Curve, mean_over
from lamm.results.published import PublishedRow, PublishedTable, comparable, has_other_config, published

NO_BACKBONE = "the runs don't say their backbone"


@dataclass(frozen=True)
class Line:
    """Our counterpart of a published row.

    Attributes:
        cfg: Name of the config file, with overrides.
        curves: By data set.
    """

    cfg: str
    curves: dict[str, Curve]


def line_of_row(table: PublishedTable, row: PublishedRow, curves: Mapping[str, Sequence[Curve]]) -> Line | None:
    """The line of the row's trainer and overrides with the fewest others; None when there is none.

    Of several configs the paper's counts, then the one on most data sets, those of the authors' code last.
    """
    found: dict[str, dict[str, Curve]] = {}
    for dataset, members in curves.items():
        for curve in members:
            if curve.trainer == row.trainer and further_overrides(table, row, cfg_of(curve)) is not None:
                found.setdefault(cfg_of(curve), {})[dataset] = curve
    if not found:
        return None

    def rank(cfg: str) -> tuple[object, ...]:
        further = further_overrides(table, row, cfg) or []
        other = has_other_config(row.trainer, cfg)
        return (len(further), other, "released" in cfg, -len(found[cfg]), len(cfg), natural(cfg))

    best = min(found, key=rank)
    return Line(best, found[best])


def row_of_line(table: PublishedTable, curve: Curve) -> PublishedRow | None:
    """The row that a curve is the counterpart of, other settings aside; None when there is none."""
    for row in table.rows:
        if row.trainer == curve.trainer and further_overrides(table, row, cfg_of(curve)) is not None:
            return row
    return None


def further_overrides(table: PublishedTable, row: PublishedRow, cfg: str) -> list[str] | None:
    """What a config overrides besides what makes the row; None where it is not that row's, or another one's.

    Args:
        table: That the row is of; a key that any of its rows overrides tells its rows apart.
        row: A row with a trainer.
        cfg: Name of a config file, with overrides whose keys may be short: `tiny_ep50+LAMBDA_KD=0.0`.
    """
    own = dict(part.partition("=")[::2] for part in cfg.split("+")[1:])
    for key, value in row.overrides.items():
        short = next((name for name in own if is_key(name, key)), None)
        if short is None or not same_value(own.pop(short), value):
            return None
    telling = {key for other in table.rows for key in other.overrides}
    if any(is_key(name, key) for name in own for key in telling):
        return None
    return [f"{name}={value}" for name, value in own.items()]


def is_key(short: str, key: str) -> bool:
    """Whether a key of a folder's name means the full `key`."""
    return key == short or key.endswith(f".{short}")


def same_value(one: str, other: str) -> bool:
    """Whether two values of an override are the same, as numbers where they are numbers."""
    with suppress(ValueError):
        return float(one) == float(other)
    return one.lower() == other.lower()


def cfg_of(curve: Curve) -> str:
    """The config, with overrides, of a curve's runs."""
    return next((runs[0].key.cfg for runs in curve.runs.values()), "")


def reason_not_comparable(
    material: Material, table: PublishedTable, row: PublishedRow, runs: Sequence[Run], datasets: Iterable[str]
) -> str:
    """Why the mean of runs over data sets is no counterpart of a published number; empty when it is one.

    Args:
        material: That the runs are of.
        table: With which table.
        row: With which of its rows.
        runs: At least one.
        datasets: Of all of them.
    """
    further = further_overrides(table, row, runs[0].key.cfg) or []
    return reason(material, table, runs, list(datasets), further, None if row.trainer == ZERO_SHOT_TRAINER else 0)


def reason(
    material: Material,
    table: PublishedTable,
    runs: Sequence[Run],
    datasets: str | list[str],
    overrides: Sequence[str] = (),
    seeds: int | None = 0,
) -> str:
    """`lamm.results.published.comparable` for runs, without its first words; `seeds` 0: the runs' `fewest_seeds`."""
    backbones = material.backbones(runs)
    if seeds == 0:
        seeds = fewest_seeds(runs)
    telling = next((run.key for run in runs if has_other_config(run.key.trainer, run.key.cfg)), runs[0].key)
    said = comparable(datasets, backbones[0], seeds, overrides, table, telling.trainer, telling.cfg)
    if said and not backbones[0] and "backbone" in said and "demo" not in said:
        return NO_BACKBONE
    if not said and len(backbones) > 1:
        return f"the runs have several backbones ({', '.join(name or 'unknown' for name in backbones)})"
    made = dict.fromkeys(run.key.dataset for run in runs if material.facts[run.folder].split_made_here)
    if not said and made:
        return f"not the published split, but one made here ({', '.join(made)})"
    return said.removeprefix("not comparable: ")


def fewest_seeds(runs: Sequence[Run]) -> int:
    """The number of seeds of that data set and number of shots that has the fewest."""
    seeds: dict[tuple[str, int | None], set[int | None]] = {}
    for run in runs:
        seeds.setdefault((run.key.dataset, run.key.shots), set()).add(run.seed)
    return min(map(len, seeds.values()))


INCOMPLETE = "incomplete"


def beside(
    label: str, ours: Sequence[Cell] | None, theirs: Sequence[float | None], reasons: Sequence[str]
) -> list[list[Cell]]:
    """The lines of one row: ours, the paper's, and their difference where it means something.

    Args:
        label: Of the row.
        ours: A cell a column; None: we have none.
        theirs: A number a column.
        reasons: Of each column, why the two can't be compared; empty when they can.
    """
    paper = [nothing_cell("not reported") if value is None else Cell(amount(value, 2), value) for value in theirs]
    lines = [] if ours is None else [[name_cell(label), name_cell("ours"), *ours]]
    lines.append([name_cell("" if lines else label), name_cell("paper"), *paper])
    if ours is not None:
        differences = [_difference(*column) for column in zip(ours, theirs, reasons, strict=True)]
        if any(cell.value is not None for cell in differences):
            lines.append([name_cell(""), name_cell("difference"), *differences])
    return lines


def over(datasets: Sequence[str]) -> str:
    """What a number is the mean over, in words."""
    if len(datasets) == 1:
        return datasets[0]
    return f"mean of {', '.join(datasets) if len(datasets) <= 3 else f'{len(datasets)} data sets'}"


def joined(reasons: Iterable[str]) -> str:
    """The reasons, each once."""
    return "; ".join(dict.fromkeys(reasons))


def all_datasets(theirs: PublishedTable, members: Iterable[Mapping[str, object]]) -> list[str]:
    """The data sets that any member has, in the paper's order: what a whole row is the mean over."""
    found = dict.fromkeys(name for member in members for name in member)
    papers = [name for name in theirs.trained_on if name in found]
    return [*papers, *(name for name in found if name not in papers)]


def incomplete_cell(found: Collection[str], datasets: Sequence[str], sources: Sequence[str] = ()) -> Cell:
    """A cell in the place of a mean that lacks data sets: how many are there."""
    if not found:
        return nothing_cell("no finished runs")
    lacking = ", ".join(name for name in datasets if name not in found)
    return Cell(f"{len(found)} of {len(datasets)}", None, tuple(sources), f"not finished on {lacking}", INCOMPLETE)


def incomplete_note(rows: Iterable[Iterable[Cell]]) -> list[str]:
    """What `incomplete_cell` means, where there is one."""
    if not any(cell.kind == INCOMPLETE for row in rows for cell in row):
        return []
    return ["“k of n”: finished on k of n data sets; the mean is shown once it is on all."]


def _difference(cell: Cell, value: float | None, reason: str) -> Cell:
    if cell.value is None or value is None or reason:
        return nothing_cell(reason)
    return difference_cell(cell.value, value, f"{cell.value:.2f} − {value:.2f}")


@dataclass(frozen=True)
class PaperTable:
    """One of the paper's tables.

    Attributes:
        number: What the paper calls it.
        title: What it is of.
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


COMMANDS = {
    "few_shot": (
        "python tools/sweep.py paper{}",
        "python tools/sweep.py paper_hierarchical_loss{}",
    ),
    "loss_parts": ("python tools/sweep.py paper_loss_parts{}",),
    "label_init": ("python tools/sweep.py paper_label_init{}",),
}
"""By table, what fills it; in the place of {} stand the data sets, where the paper's are not there."""


def few_shot_paper_table(material: Material, name: str) -> PaperTable:
    """A published table whose columns are shots, with our rows beside its own.

    Args:
        material: The runs.
        name: `few_shot`, `loss_parts` or `label_init`.
    """
    theirs = published(name)
    curves = _paper_data_sets(theirs, material.curves)
    lines = {row.label: line for row in theirs.rows if (line := line_of_row(theirs, row, curves))}
    lines = {label: line for label, line in lines.items() if _has_a_column(theirs, line)}
    command = _command(theirs, name, curves)
    if not lines:
        return PaperTable(theirs.table, theirs.title, command=command)
    datasets = all_datasets(theirs, [line.curves for line in lines.values()])
    rows: list[list[Cell]] = []
    reasons: list[str] = []
    for row in theirs.rows:
        columns = [_members(lines.get(row.label), name, datasets) for name in theirs.columns]
        why = [
            reason_not_comparable(material, theirs, row, _all_runs(found), datasets)
            if len(found) == len(datasets)
            else ""
            for found in columns
        ]
        reasons += filter(None, why)
        ours = [_cell(material, found, datasets) for found in columns] if any(columns) else None
        rows += beside(row.label, ours, row.values, why)
    caption = f"{theirs.title.split(',')[0]}: accuracy in percent, {over(datasets)}"
    headings = ["", "", *(f"{column} shot{'' if column == '1' else 's'}" for column in theirs.columns)]
    incomplete = incomplete_note(rows)
    notes = [*_notes(theirs), *_configs(lines, theirs.rows), *incomplete]
    table = Table(caption, headings, rows, notes, grouped=True)
    full = len(lines) == len(theirs.rows) and not incomplete
    return PaperTable(theirs.table, theirs.title, table, joined(reasons), "" if full else command)


def _command(theirs: PublishedTable, name: str, curves: Mapping[str, object]) -> str:
    others = [dataset for dataset in curves if dataset not in theirs.trained_on]
    chosen = f" --datasets {' '.join(others)}" if others else ""
    return "\n".join(command.format(chosen) for command in COMMANDS[name])


def _paper_data_sets(theirs: PublishedTable, curves: Mapping[str, Sequence[Curve]]) -> dict[str, Sequence[Curve]]:
    """The curves on the paper's data sets, on any where there is none of those."""
    known = {dataset: members for dataset, members in curves.items() if dataset in theirs.trained_on}
    return known or dict(curves)


def _has_a_column(theirs: PublishedTable, line: Line) -> bool:
    columns = {int(column) for column in theirs.columns}
    return any(curve.zero_shot or columns & set(curve.points) for curve in line.curves.values())


def _members(line: Line | None, column: str, datasets: Sequence[str]) -> dict[str, list[Run]]:
    """The runs of a line in a column, by data set."""
    curves = {} if line is None else {name: line.curves[name] for name in datasets if name in line.curves}
    runs = {name: curve.runs.get(0 if curve.zero_shot else int(column), []) for name, curve in curves.items()}
    return {name: found for name, found in runs.items() if found}


def _all_runs(found: Mapping[str, Sequence[Run]]) -> list[Run]:
    return [run for runs in found.values() for run in runs]


def _cell(material: Material, found: Mapping[str, Sequence[Run]], datasets: Sequence[str]) -> Cell:
    runs = _all_runs(found)
    sources = material.sources(runs)
    if len(found) < len(datasets):
        return incomplete_cell(found, datasets, sources)
    return statistic_cell(mean_over(list(found.values())), sources, material.detail(runs), digits=2)


def _notes(theirs: PublishedTable) -> list[str]:
    return [f"Paper: {theirs.source}, {theirs.table}; {theirs.backbone}, {theirs.seeds} seeds.", *theirs.notes]


def _configs(lines: Mapping[str, Line], rows: Iterable[PublishedRow]) -> list[str]:
    named = [f"{row.label}: {lines[row.label].cfg}" for row in rows if row.label in lines]
    return [f"Our configs: {'; '.join(named)}."]
