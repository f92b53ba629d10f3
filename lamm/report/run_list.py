"""The list at the page's end: every run with its numbers and the file that they are in."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lamm.report.material import Material
from lamm.report.shots_tables import shots_text
from lamm.results.few_shot_curve import ALL_SHOTS
from lamm.results.groups import Run
from lamm.results.layout import GroupKey


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
        ListedGroup(material.anchors[key], key, _shots(key), [_listed(material, run, page) for run in runs])
        for key, runs in material.groups.all.items()
    ]


def _shots(key: GroupKey) -> str:
    if key.shots is None:
        return "?"
    return shots_text(key.shots if key.shots > 0 else ALL_SHOTS)


def _listed(material: Material, run: Run, page: Path) -> ListedRun:
    facts = material.facts.get(run.folder)
    source = facts.source if facts else run.folder
    link = Path(os.path.relpath(source, page.absolute().parent)).as_posix()
    return ListedRun(run, material.shown(source), quote(link))
