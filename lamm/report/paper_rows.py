"""Which of our lines stands beside a published row, and why a difference of the two would mislead."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lamm.report.material import Material
from lamm.results.few_shot_curve import ZERO_SHOT_TRAINER, Curve
from lamm.results.groups import Run, natural
from lamm.results.published import PublishedRow, PublishedTable, comparable, has_other_config

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
