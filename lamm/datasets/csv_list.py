"""Anyone's own list of images: a CSV or JSONL file of path, label and, if wished, split."""

import os
from pathlib import Path
from typing import Any

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.image_table import TableRow, read_table
from lamm.datasets.own_split import complete_split, keep_own_split
from lamm.datasets.pretty_names import pretty_names
from lamm.datasets.splits import PARTS, Split, SplitItem
from lamm.errors import ConfigError, DataError


class Csv(BenchmarkDataset):
    """The images of a CSV or JSONL file, with paths relative to it; see `image_table` for its columns.

    Labels are class names, any text; they are numbered in the order of the alphabet (of whole numbers, by value).
    `classnames.txt` beside the file may give better names. Without a `split` column the split is made here
    (`own_split`) and kept in `split_lamm_<name of the file>.json` beside it.

    Args:
        cfg: the engine's config: DATASET.CSV is the file, or DATASET.ROOT where that is a file.
        csv: the file, without a config.
        options: further arguments of `BenchmarkDataset`.
    """

    def __init__(self, cfg: Any = None, *, csv: str | os.PathLike[str] = "", **options: Any) -> None:
        super().__init__(cfg, **({"root": csv, **options} if csv else options))

    @classmethod
    def place_of(cls, cfg: Any, root: str | os.PathLike[str]) -> str | os.PathLike[str]:
        """The file: DATASET.CSV, else the data root."""
        return (getattr(cfg.DATASET, "CSV", "") if cfg is not None else "") or root

    def locate(self, root: str | os.PathLike[str]) -> None:
        """Set `file`, and the folder that it and its paths are in."""
        self.file = Path(os.path.abspath(os.path.expanduser(root)))
        self.folder = self.image_folder = self.file.parent

    @property
    def own_split_file(self) -> str:
        """Name of the file that keeps a split made here."""
        return f"split_lamm_{self.file.stem}.json"

    def split_source(self) -> Path:
        """The file, for messages."""
        return self.file

    def check_folders(self) -> None:
        """Raise an error unless the file is there."""
        if self.file.is_dir():
            raise ConfigError(
                f"data set csv needs --csv FILE (DATASET.CSV), a CSV or JSONL file; {self.file} is a folder"
            )
        if not self.file.is_file():
            raise DataError(f"no file at {self.file}; --csv must be a CSV or JSONL file of path,label[,split]")

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return f"paths are relative to {self.file}"

    def whole_split(self) -> Split:
        """See the class."""
        rows = read_table(self.file)
        classes = in_order({row.label for row in rows})
        if len(classes) < 2:
            raise DataError(f'{self.file} has one class, "{classes[0]}"; a classifier needs two or more')
        names = pretty_names(self.folder, classes)
        label_of = {name: label for label, name in enumerate(classes)}
        parts: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
        for row in rows:
            parts[row.split or "train"].append(SplitItem(row.path, label_of[row.label], names[row.label]))
        self._check_classes(rows)
        self._made_here = not (parts["val"] or parts["test"])
        return complete_split(Split(**parts), self.folder / self.own_split_file)

    def keep_split_made_here(self, split: Split) -> None:
        """Keep which image is in which part, where the table doesn't say it."""
        if self._made_here:
            keep_own_split(self.folder / self.own_split_file, split)

    def _check_classes(self, rows: list[TableRow]) -> None:
        trained = {row.label for row in rows if row.split in ("", "train")}
        stranger = next((row for row in rows if row.label not in trained), None)
        if stranger is not None:
            raise DataError(f'{self.file}, line {stranger.line}: class "{stranger.label}" has no training image')

    def path_of(self, path: str) -> str:
        """The file of a path in the table; it may be absolute, or lead out of the table's folder."""
        return os.path.normpath(os.path.join(self.folder, path))


def in_order(labels: set[str]) -> list[str]:
    """By code point; whole numbers by value."""
    return sorted(labels, key=lambda label: (int(label), label)) if all(map(str.isdecimal, labels)) else sorted(labels)
