"""A small data set that a check finds whole, until something in it is changed."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lamm.checking.benchmark import check_benchmark
from lamm.checking.findings import Report
from lamm.datasets.sources import Source
from tests.datasets.miniature_files import Truth
from tests.datasets.miniature_trees import PUBLISHED_SPLITS


@dataclass
class Checked:
    """A small data set on disk that the check expects to be just so."""

    root: Path
    source: Source
    truth: Truth

    @property
    def folder(self) -> Path:
        return self.truth.folder

    @property
    def split_file(self) -> Path:
        return self.folder / PUBLISHED_SPLITS[self.source.name]

    def edit_split(self, edit: Callable[[dict[str, list[Any]]], object]) -> None:
        """Change what the split file says."""
        content = json.loads(self.split_file.read_bytes())
        edit(content)
        self.split_file.write_text(json.dumps(content, indent=4, separators=(",", ": ")), encoding="utf-8")

    def check(self, quick: bool = False) -> Report:
        return check_benchmark(self.source, self.root, quick)


Builder = Callable[..., Checked]


def texts(report: Report) -> list[str]:
    """Every finding as it is printed."""
    return [f"{'fault' if finding.is_fault else 'note'}: {finding.text}" for finding in report.findings]
