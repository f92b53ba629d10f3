"""The one loader behind every data set of the benchmark: split file, few-shot picks, class subset, checks."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

from lamm.datasets.class_subsets import check_subset, select_classes
from lamm.datasets.few_shot_cache import cached_few_shot_split
from lamm.datasets.image_files import missing_images
from lamm.datasets.splits import Split, SplitItem, check_labels, hash_of_split, read_split
from lamm.datasets.templates import DEFAULT_TEMPLATE
from lamm.engine import DatasetBase, Datum
from lamm.errors import ConfigError, DataError
from lamm.log import logger
from lamm.suggest import nearest


class BenchmarkDataset(DatasetBase):
    """A data set in the benchmark's layout on disk: `<root>/<dataset_dir>/` with a split file and an image folder.

    A subclass is a few class attributes. The engine builds it as `Name(cfg)`; `Name(root=..., num_shots=16, seed=1)`
    does the same without a config. Nothing is written before all checks have passed.

    Class attributes:
        dataset_dir: folder under the data root.
        image_prefix: folder inside it that the split's paths are relative to; "" is the folder itself.
        split_file: name of the split file in the folder.
        template: zero-shot prompt template.
        test_only: the training list is the test list and there is no validation list; NUM_SHOTS and
            SUBSAMPLE_CLASSES have no effect (a domain-shift variant of another data set).

    Attributes:
        folder: the data set's folder.
        image_folder: what the split's paths are relative to.
        split_hash: SHA-256 of the whole split, before sampling; two runs with the same one saw the same data.
    """

    dataset_dir: str = ""
    image_prefix: str = ""
    split_file: str = ""
    template: str = DEFAULT_TEMPLATE
    test_only: bool = False

    def __init__(
        self,
        cfg: Any = None,
        *,
        root: str | os.PathLike[str] = "",
        num_shots: int = -1,
        seed: int = -1,
        subsample_classes: str = "all",
    ) -> None:
        """Read the split, check it and its images, draw the shots, keep the class subset.

        Args:
            cfg: the engine's config; DATASET.ROOT, DATASET.NUM_SHOTS, DATASET.SUBSAMPLE_CLASSES (`all` where the key
                is absent) and SEED replace the arguments below.
            root: data root; `~` is expanded.
            num_shots: training images a class; below 1 all of them.
            seed: of the few-shot draw; -1 is unseeded.
            subsample_classes: `all`, `base` or `new`.

        Raises:
            ConfigError: a seed or class subset that does not exist.
            DataError: root, folder, split file or an image is missing, or the split is broken.
        """
        if cfg is not None:
            root, num_shots, seed = cfg.DATASET.ROOT, cfg.DATASET.NUM_SHOTS, cfg.SEED
            subsample_classes = getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", "all")
        check_subset(subsample_classes)
        if seed < -1:
            raise ConfigError(f"SEED {seed}: a seed is 0 or more; -1 is unseeded")
        self.folder = Path(os.path.abspath(os.path.expanduser(root))) / self.dataset_dir
        self.image_folder = self.folder / self.image_prefix
        self.prepare()
        self._check_folders()
        split = self.whole_split()
        check_labels(split, self.folder / self.split_file)
        self._check_images(split)
        self.split_hash = hash_of_split(split)
        if self.test_only:
            self._say_what_is_ignored(num_shots, subsample_classes)
        else:
            split = self._subset(self._few_shot(split, num_shots, seed), subsample_classes)
        train_x, val, test = (self._as_data(part) for part in (split.train, split.val, split.test))
        super().__init__(train_x=train_x, val=val or None, test=test)

    def prepare(self) -> None:
        """Called once the arguments are checked and before the folder is; data sets that make themselves do it here."""

    def whole_split(self) -> Split:
        """The split before sampling: by default what the split file says."""
        split = read_split(self.folder / self.split_file)
        return Split(train=split.test, val=[], test=split.test) if self.test_only else split

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        return f'put it there, or set DATASET.ROOT (--root) to the folder that holds "{self.dataset_dir}"'

    def _check_folders(self) -> None:
        root, name = self.folder.parent, type(self).__name__
        if not os.path.isdir(root):
            raise DataError(f"{name}: the data root {root} does not exist; {self.remedy()}")
        if not os.path.isdir(self.folder):
            other = nearest(self.dataset_dir, _visible_folders(root))
            seen = f' (the nearest name there is "{other}")' if other else ""
            raise DataError(f'{name}: no folder "{self.dataset_dir}" in {root}{seen}; {self.remedy()}')
        if not os.path.isfile(self.folder / self.split_file):
            raise DataError(f"{name}: no split file at {self.folder / self.split_file}; {self.remedy()}")
        if not os.path.isdir(self.image_folder):
            raise DataError(f"{name}: no image folder at {self.image_folder}; {self.remedy()}")

    def _check_images(self, split: Split) -> None:
        paths = {item.path: None for item in split.items()}
        missing = missing_images(self.image_folder, paths)
        if missing:
            raise DataError(
                f"{type(self).__name__}: {len(missing)} of {len(paths)} images are missing in {self.image_folder}, "
                f'the first is "{missing[0]}"; {self.remedy()}'
            )

    def _few_shot(self, split: Split, num_shots: int, seed: int) -> Split:
        if num_shots < 1:
            return split
        logger.info(f"Creating a {num_shots}-shot dataset")
        sizes = Counter(item.label for item in split.train).values()
        if min(sizes) < num_shots:
            few = sum(size < num_shots for size in sizes)
            logger.info(f"{few} of {len(sizes)} classes have fewer than {num_shots} training images: all are taken")
        return cached_few_shot_split(self.folder, split, num_shots, seed)

    def _subset(self, split: Split, subset: str) -> Split:
        if subset != "all":
            logger.info(f"SUBSAMPLE {subset.upper()} CLASSES!")
        return select_classes(split, subset)

    def _say_what_is_ignored(self, num_shots: int, subset: str) -> None:
        ignored = [f"NUM_SHOTS {num_shots}"] * (num_shots >= 1) + [f"SUBSAMPLE_CLASSES {subset}"] * (subset != "all")
        if ignored:
            logger.info(f"{type(self).__name__} is for testing only: {' and '.join(ignored)} has no effect on it")

    def _as_data(self, items: list[SplitItem]) -> list[Datum]:
        return [
            Datum(impath=os.path.join(self.image_folder, *path.split("/")), label=label, domain=0, classname=classname)
            for path, label, classname in items
        ]


def _visible_folders(root: Path) -> list[str]:
    try:
        return [entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []
