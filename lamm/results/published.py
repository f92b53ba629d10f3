"""Numbers that papers report, beside which ours may be put: `published.yaml`, and whether they can be compared."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lamm.errors import ResultsError, unknown_name
from lamm.results.unrecorded import natural

FILE = Path(__file__).with_name("published.yaml")
DEMO_DATA = ("digits", "shapes", "shapes_sketch", "shapes_noisy", "shapes_inverted")
DEMO = "not comparable: demo data"
EACH = "each"
VARIANTS = {
    "imagenet": ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"),
    "shapes": ("shapes_sketch", "shapes_noisy", "shapes_inverted"),
}
"""Data sets with the same classes under domain shift, in the order of the tables."""
CONFIGS = {
    "ZeroshotCLIP": "vit_b16",
    "CoOp": "vit_b16_ep50_ctxv1",
    "CoCoOp": "vit_b16_c4_ep10_batch1_ctxv1",
    "MaPLe": "vit_b16_c2_ep5_batch4_2ctx",
    "LAMM": "vit_b16_ep50_ctxv1",
    "CoOp_LAMM": "vit_b16_ep50_ctxv1",
    "KgCoOp": "vit_b16_ep100_ctxv1",
    "PromptSRC": "vit_b16_c4_ep50_batch4",
    "LinearProbe": "vit_b16",
    "TipAdapter": "vit_b16",
    "TipAdapterF": "vit_b16_ep20",
    "GDA": "vit_b16",
    "CLIPLoRA": "vit_b16_it500",
    "CoCoOp_LAMM": "vit_b16_c4_ep10_batch1_ctxv1",
    "MaPLe_LAMM": "vit_b16_c2_ep5_batch4_2ctx",
    "KgCoOp_LAMM": "vit_b16_ep100_ctxv1",
    "PromptSRC_LAMM": "vit_b16_c4_ep50_batch4",
}
"""By trainer, the config file with the settings of the papers."""


@dataclass(frozen=True)
class PublishedRow:
    """One method, or one variant of a method.

    Attributes:
        label: What the table calls it.
        values: One per column; None where nothing is reported.
        trainer: Registered name; empty for a method that is not ours.
        part: What sets the row apart from the trainer's other rows, such as `set1` or the name of a variant.
        overrides: Config overrides (KEY → VALUE as on a command line) that make the variant.
        source: The method's paper and repository, where the table is gathered from several.
        whose: Who reports the numbers; empty where there are none.
        uses: What the method has beyond labelled images and class names, and what it tunes of CLIP.
    """

    label: str
    values: tuple[float | None, ...]
    trainer: str = ""
    part: str = ""
    overrides: dict[str, str] = field(default_factory=dict)
    source: str = ""
    whose: str = ""
    uses: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper.

    Attributes:
        name: What `published` is asked for.
        title: What is measured.
        table: Number of table or figure in the paper; empty when it is gathered from several.
        source: The paper.
        trained_on: Data sets of the runs; of more than one, a number is the mean over all. `(EACH,)`: the columns are
            the data sets.
        backbone: The CLIP model.
        shots: Training images per class.
        seeds: Number of runs that a number is the mean of.
        unit: Of the numbers.
        columns: Names of the columns, in order.
        rows: In the paper's order.
        notes: What has to be known to read it.
    """

    name: str
    title: str
    table: str
    source: str
    trained_on: tuple[str, ...]
    backbone: str
    shots: tuple[int, ...]
    seeds: int
    unit: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    notes: tuple[str, ...]

    def row_of(self, trainer: str, part: str = "", overrides: dict[str, str] | None = None) -> PublishedRow | None:
        """The row of a trainer (of its `part`, with just these overrides), None when the table has none."""
        key = trainer, part, overrides or {}
        return next((row for row in self.rows if (row.trainer, row.part, row.overrides) == key), None)


def published(name: str) -> PublishedTable:
    """The table of a name, see `table_names`.

    Raises:
        ResultsError: There is none.
    """
    tables = _tables()
    if name not in tables:
        raise ResultsError(unknown_name("published table", name, tables))
    return tables[name]


def table_names() -> list[str]:
    """Names of all tables."""
    return list(_tables())


def comparable(
    datasets: str | Iterable[str],
    backbone: str,
    seeds: int | None = None,
    overrides: Iterable[str] = (),
    table: PublishedTable | None = None,
    trainer: str = "",
    cfg: str = "",
) -> str:
    """Why a result can't be compared with published ones; empty when it can.

    Args:
        datasets: The data set of the runs, or all those that a mean is taken over.
        backbone: `MODEL.BACKBONE.NAME` of the runs.
        seeds: Number of runs that the number is the mean of; None: it doesn't matter.
        overrides: Settings that differ from the paper's, such as `MAX_EPOCH=2`.
        table: With which one; None: what counts is whether the runs are as the paper's (data, ViT-B/16, 3 seeds).
        trainer: Registered name; empty: the config doesn't matter.
        cfg: Name of the config file; overrides at its end, such as `+MAX_EPOCH=2`, are left to `overrides`.
    """
    asked, table = table, table or published("few_shot")
    own = [datasets] if isinstance(datasets, str) else list(datasets)
    if any(name in DEMO_DATA for name in own):
        return DEMO
    known = (*published("few_shot").trained_on, *published("domain_generalization").columns[:-1])
    if unknown := [name for name in own if name not in known]:
        return f"not comparable: nothing is reported for {', '.join(unknown)}"
    if backbone != table.backbone:
        return f"not comparable: backbone {backbone}, reported with {table.backbone}"
    if asked and EACH not in asked.trained_on and set(own) != set(asked.trained_on):
        return f"not comparable: {', '.join(own)}, reported for {_named(asked.trained_on)}"
    if has_other_config(trainer, cfg):
        return f"not comparable: config {config_of(cfg)}, reported with {CONFIGS[trainer]}"
    if differing := list(overrides):
        return f"not comparable: other settings ({', '.join(differing)})"
    if seeds is not None and seeds != table.seeds:
        return f"not comparable: {seeds} seed{'' if seeds == 1 else 's'}, reported with {table.seeds}"
    return ""


def known_datasets() -> tuple[str, ...]:
    """The data sets of the paper and the demo data; any other is of the user's own, such as photos."""
    return (*DEMO_DATA, *published("few_shot").trained_on, *published("domain_generalization").columns)


def related(datasets: Iterable[str]) -> list[list[str]]:
    """The data sets over which a mean says something: at least two of the paper's, at least two of demo data."""
    names = set(datasets)
    groups = [[name for name in group if name in names] for group in (published("few_shot").trained_on, DEMO_DATA)]
    return [group for group in groups if len(group) > 1]


def place_in_tables(dataset: str) -> tuple[object, ...]:
    """A sorting key: data sets as the papers' tables have them, then by name."""
    order = (*VARIANTS["imagenet"], *published("few_shot").trained_on, *VARIANTS["shapes"])
    return order.index(dataset) if dataset in order else len(order), natural(dataset)


def config_of(cfg: str) -> str:
    """The name of the config file in a run's `cfg`, without overrides and the step of a class-incremental run."""
    return cfg.partition("+")[0].partition("/step")[0]


def has_other_config(trainer: str, cfg: str) -> bool:
    """Whether a run's config file is not the one with the paper's settings; of trainers of others nothing is known."""
    return trainer in CONFIGS and config_of(cfg) != CONFIGS[trainer]


def _named(datasets: tuple[str, ...]) -> str:
    return datasets[0] if len(datasets) == 1 else f"the mean of {len(datasets)} data sets"


@cache
def _tables() -> dict[str, PublishedTable]:
    content = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {name: _table(name, entry) for name, entry in content.items()}


def _table(name: str, entry: dict[str, Any]) -> PublishedTable:
    rows = tuple(PublishedRow(**{**row, "values": tuple(row["values"])}) for row in entry["rows"])
    lists = {key: tuple(entry[key]) for key in ("trained_on", "shots", "columns", "notes")}
    return PublishedTable(**{**entry, **lists, "rows": rows, "name": name})
