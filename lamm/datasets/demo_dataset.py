"""Data sets whose images come from code: they appear under the data root on first use, in the benchmark's layout."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from lamm.datasets.base import BenchmarkDataset
from lamm.datasets.demo import materialise
from lamm.datasets.splits import Split, write_split


class DemoDataset(BenchmarkDataset):
    """A data set that makes itself: a subclass says which images there are.

    Class attributes:
        generator_version: raise it with every change to images or split, so that old data on disk is noticed.
    """

    image_prefix = "images"
    generator_version: int = 1

    @classmethod
    @abstractmethod
    def content(cls) -> tuple[Split, Iterator[tuple[str, Image.Image]]]:
        """The split, and every image in it once as (path, picture), drawn as the iterator moves on.

        Both are the same on every machine.
        """

    def prepare(self) -> None:
        """Build the data set where it is not there yet."""
        materialise(self.folder, self.generator_version, self._build)

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return f"remove {self.folder} and it is made again"

    def _build(self, folder: Path) -> None:
        split, pictures = self.content()
        for path, picture in tqdm(
            pictures, total=sum(1 for _ in split.items()), desc=self.dataset_dir, unit="img", disable=None
        ):
            file = folder / self.image_prefix / path
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
        write_split(folder / self.split_file, split)
