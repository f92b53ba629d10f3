"""A user's own list of images: a CSV or JSON file with the columns path, label and, optionally, split."""

import os
import shlex
from pathlib import Path
from typing import Any

from lamm.datasets.own_images import OwnDataset, pretty_names
from lamm.datasets.splits import PARTS, Split, SplitItem
from lamm.datasets.tables import Table, list_in, read_table
from lamm.engine.embedded.log import say
from lamm.errors import ConfigError, DataError


class Csv(OwnDataset):
    """The images of a CSV or JSON file, with paths relative to it; see `lamm.datasets.tables`.

    Labels are class names, any text; they are numbered in the order of the alphabet (of whole numbers, by value), or of
    the numbers that the list has beside them.
    `classnames.txt` beside the file may give better names. Without a `split` column the split is made here
    (`complete_split`) and stored in `split_lamm_<name of the file>.json` beside it.

    Args:
        cfg: the engine's config: DATASET.CSV is the file, or DATASET.ROOT where that is a file.
        csv: the file, without a config.
        options: further arguments of `BenchmarkDataset`.
    """

    def __init__(self, cfg: Any = None, *, csv: str | os.PathLike[str] = "", **options: Any) -> None:
        super().__init__(cfg, **({"root": csv, **options} if csv else options))

    def locate(self, root: str | os.PathLike[str], cfg: Any = None) -> None:
        """Set `file` (DATASET.CSV, else the data root or the list in it), and the folder that its paths are in."""
        csv = getattr(cfg.DATASET, "CSV", "") if cfg is not None else ""
        self.file = list_in(Path(os.path.abspath(os.path.expanduser(csv or root))))
        self.folder = self.image_folder = self.file.parent

    @property
    def own_split_file(self) -> str:
        """Name of the file that stores a split made here."""
        return f"split_lamm_{self.file.stem}.json"

    def split_source(self) -> Path:
        """The file, for messages."""
        return self.file

    def check_folders(self) -> None:
        """Raise an error unless the file is there."""
        if self.file.is_dir():
            raise ConfigError(
                f"data set csv needs --csv FILE (DATASET.CSV), a CSV or JSON file; {self.file} is a folder"
            )
        if not self.file.is_file():
            raise DataError(f"no file at {self.file}; --csv must be a CSV or JSON file of path,label[,split]")

    def check_arguments(self) -> str:
        """What `lamm check-data` needs to check these images."""
        return f"csv --csv {shlex.quote(str(self.file))}"

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return f"paths are relative to {self.file}"

    def whole_split(self) -> Split:
        """See the class."""
        table = read_table(self.file)
        self._require_sound(table)
        for note in table.notes:
            say(note)
        classes = table.classes
        if len(classes) < 2:
            raise DataError(f'{self.file} has one class, "{classes[0]}"; a classifier needs two or more')
        names = pretty_names(self.folder, classes)
        label_of = {name: label for label, name in enumerate(classes)}
        parts: dict[str, list[SplitItem]] = {part: [] for part in PARTS}
        for row in table.rows:
            parts[row.split or "train"].append(SplitItem(row.path, label_of[row.label], names[row.label]))
        return self.complete_split(Split(**parts))

    def _require_sound(self, table: Table) -> None:
        """Raise DataError at the first thing that is wrong with the list."""
        rows, file = table.rows, self.file
        if table.error:
            raise DataError(table.error)
        if table.broken:
            raise DataError(f"{file}, {table.broken[0]}")
        if not rows:
            raise DataError(f"{file} lists no image; expected rows of path,label[,split]")
        for path, places in table.twice.items():
            raise DataError(f'{file}, {places[1]}: "{path}" is in {places[0]} already')
        blank = next((row for row in rows if not row.split), None)
        if blank is not None and any(row.split for row in rows):
            raise DataError(f"{file}, {blank.place}: no split, but other lines have one; give all of them one, or none")
        trained = {row.label for row in rows if row.split in ("", "train")}
        untrained = next((row for row in rows if row.label not in trained), None)
        if untrained is not None:
            raise DataError(f'{file}, {untrained.place}: class "{untrained.label}" has no training image')

    def path_of(self, path: str) -> str:
        """The file of a path in the table; it may be absolute, or lead out of the table's folder."""
        return os.path.normpath(os.path.join(self.folder, path))
