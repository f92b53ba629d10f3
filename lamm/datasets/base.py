"""The one loader behind every data set of the benchmark: split file, few-shot picks, class subset, checks."""

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lamm.datasets import BENCHMARK
from lamm.datasets.few_shot import cached_few_shot_split, original_few_shot_split
from lamm.datasets.listing import ListedData, missing_images
from lamm.datasets.splits import (
    SPLIT_SEED,
    SeenSet,
    Split,
    SplitItem,
    check_labels,
    check_subset,
    class_names,
    class_sets,
    hash_of_split,
    read_split,
    select_classes,
    write_split,
)
from lamm.engine import DatasetBase, Datum
from lamm.errors import ConfigError, DataError, nearest
from lamm.log import logger


class BenchmarkDataset(DatasetBase):
    """A data set in the benchmark's layout on disk: `<root>/<dataset_dir>/` with a split file and an image folder.

    A subclass is a few class attributes, and where the split file may be absent or there is none, the rule that takes
    its place (`fallback_split`). The engine builds it as `Name(cfg)`; `Name(root=..., num_shots=16, seed=1)`
    does the same without a config. Nothing is written before all checks have passed.

    Class attributes:
        dataset_dir: folder under the data root.
        image_prefix: folder inside it that the split's paths are relative to; "" is the folder itself.
        split_file: name of the published split file in the folder; "" where none is published.
        test_only: the training list is the test list and there is no validation list; NUM_SHOTS and
            SUBSAMPLE_CLASSES have no effect (a domain-shift variant of another data set).
        val_is_test: validation images are the test images (ImageNet).
        expected_sizes: images in train, val and test of the whole split; None where that is open.
        expected_classes: number of classes; 0 where that is open.

    Attributes:
        folder: the data set's folder.
        image_folder: what the split's paths are relative to.
        split_hash: SHA-256 of the whole split, before sampling; two runs with the same one saw the same data.
        split_made_here: whether the split is one made here, since the published one is absent.
        seen_sets: in class-incremental learning, the sets of classes up to this step's, which is the last and whose
            classes and images the data set gives. Empty without steps.
    """

    dataset_dir: str = ""
    image_prefix: str = ""
    split_file: str = ""
    test_only: bool = False
    val_is_test: bool = False
    expected_sizes: tuple[int, int, int] | None = None
    expected_classes: int = 0

    folder: Path
    image_folder: Path
    seen_sets: list[SeenSet]
    _store_picks: Callable[[], None] | None = None

    def __init__(
        self,
        cfg: Any = None,
        *,
        root: str | os.PathLike[str] = "",
        num_shots: int = -1,
        seed: int = -1,
        subsample_classes: str = "all",
        original_picks: bool = False,
        steps: int = 0,
        step: int = 0,
        order_seed: int = -1,
        first: int = 0,
    ) -> None:
        """Read the split, check it and its images, draw the shots, keep the class subset.

        Args:
            cfg: the engine's config; DATASET.ROOT, DATASET.NUM_SHOTS, DATASET.SUBSAMPLE_CLASSES,
                DATASET.ORIGINAL_PICKS, INCREMENTAL.STEPS, STEP, ORDER_SEED and FIRST (their defaults below where a key
                is absent) and SEED replace the arguments.
            root: data root; `~` is expanded.
            num_shots: training images per class; below 1 all of them.
            seed: of the few-shot draw; -1 is unseeded.
            subsample_classes: `all`, `base` or `new`.
            original_picks: take the few-shot picks that the original code left beside the data.
            steps: number of sets that class-incremental learning cuts the classes into; 0: none.
            step: which of them, from 1, this is.
            order_seed: of the order of the classes before they are cut; -1: ascending labels.
            first: classes in the first set; 0: as in the others.

        Raises:
            ConfigError: a seed, class subset or step that does not exist.
            DataError: root, folder, split file or an image is missing, or the split is broken.
        """
        if cfg is not None:
            root, num_shots, seed = cfg.DATASET.ROOT, cfg.DATASET.NUM_SHOTS, cfg.SEED
            subsample_classes = getattr(cfg.DATASET, "SUBSAMPLE_CLASSES", subsample_classes)
            original_picks = getattr(cfg.DATASET, "ORIGINAL_PICKS", original_picks)
            incremental = getattr(cfg, "INCREMENTAL", None)
            if incremental is not None:
                steps, step = incremental.STEPS, incremental.STEP
                order_seed, first = getattr(incremental, "ORDER_SEED", -1), getattr(incremental, "FIRST", 0)
        self.seen_sets = []
        check_subset(subsample_classes)
        if steps and self.test_only:
            raise ConfigError(f"{type(self).__name__} is for testing only: nothing can be learned on it step by step")
        if seed < -1:
            raise ConfigError(f"SEED {seed}: a seed is 0 or more; -1 is unseeded")
        self.locate(root, cfg)
        self.prepare()
        self.check_folders()
        split = self.whole_split()
        check_labels(split, self.split_source())
        self.check_images(split)
        self.check_parts(split)
        whole = split
        self.split_hash = hash_of_split(split)
        self.split_made_here = bool(self.split_file) and not (self.folder / self.split_file).is_file()
        if self.test_only:
            ignored = [f"NUM_SHOTS {num_shots}"] if num_shots >= 1 else []
            ignored += [f"SUBSAMPLE_CLASSES {subsample_classes}"] if subsample_classes != "all" else []
            if ignored:
                logger.info(f"{type(self).__name__} is for testing only: {' and '.join(ignored)} has no effect on it")
        else:
            split = self._few_shot(split, num_shots, seed, original_picks) if num_shots >= 1 else split
            if subsample_classes != "all":
                logger.info(f"SUBSAMPLE {subsample_classes.upper()} CLASSES!")
            split = select_classes(split, subsample_classes)
            split = self._set_of_step(class_sets(split, steps, order_seed, first), step) if steps else split
        train_x, val, test = map(self._as_data, (split.train, split.val, split.test))
        super().__init__(train_x=train_x, val=test if self.val_is_test else val or None, test=test)
        self.check_photos()
        self.store_split_made_here(whole)
        if self._store_picks is not None:
            self._store_picks()
            self._store_picks = None  # loader processes get a copy of the data set

    @classmethod
    def split_on_disk(cls, root: str | os.PathLike[str]) -> Split:
        """The whole split, before sampling; images are not looked for.

        Raises:
            DataError: root, folder or split file is missing, or the split is broken.
        """
        dataset = cls.__new__(cls)
        dataset.locate(root)
        dataset.check_folders()
        return dataset.whole_split()

    def locate(self, root: str | os.PathLike[str], cfg: Any = None) -> None:
        """Set `folder` and `image_folder`, from the data root and the engine's config, if there is one."""
        self.folder = Path(os.path.abspath(os.path.expanduser(root))) / self.dataset_dir
        self.image_folder = self.folder / self.image_prefix

    def prepare(self) -> None:
        """Called once the arguments are checked and before the folder is; data sets that make themselves do it here."""

    @property
    def own_split_file(self) -> str:
        """Name of the file that stores a split made here; never that of the published one."""
        return f"split_lamm_{type(self).__name__}.json"

    def split_source(self) -> Path:
        """What says the split, for messages: its file, or the folder with the lists it is made from."""
        files = (self.folder / name for name in (self.split_file, self.own_split_file))
        return next((file for file in files if file.is_file()), self.folder)

    def whole_split(self) -> Split:
        """The split before sampling: what the published file says, else the one that `fallback_split` makes."""
        published = self.folder / self.split_file
        if published.is_file():
            split = read_split(published)
            return Split(train=split.test, val=[], test=split.test) if self.test_only else split
        try:
            file = self.folder / self.own_split_file
            split = read_split(file) if file.is_file() else self.fallback_split(random.Random(SPLIT_SEED))
        except DataError as error:
            if not self.split_file:
                raise
            name = type(self).__name__
            raise DataError(f"{name}: no split file at {published}, and none can be made: {error}") from None
        if self.split_file:
            logger.info(f"{self.split_file} is absent: the split is one made here, published numbers are on another")
        return split

    def store_split_made_here(self, split: Split) -> None:
        """Store a split that was made here, after the checks, so that later runs have the very same one."""
        files = (self.folder / self.split_file, self.folder / self.own_split_file)
        if self.split_file and not any(file.is_file() for file in files):
            try:
                write_split(files[1], split)
                logger.info(f"The split is stored in {files[1]}")
            except OSError as error:
                logger.info(f"the split is not stored: can't write to {self.folder} ({error.strerror or error})")

    def fallback_split(self, rng: random.Random) -> Split:
        """Make a split where none is published, or the published one is absent.

        Raises:
            DataError: the data set has no rule for it (unless a subclass gives one), or its files don't allow it.
        """
        raise DataError(self.remedy())

    def remedy(self) -> str:
        """What to do about missing files: the last part of an error message."""
        own_name = type(self).__name__
        name = next((name for name, (_, class_name) in BENCHMARK.items() if class_name == own_name), "")
        get = f"; lamm check-data {name} says what to get" if name else ""
        return f'put it there, or set DATASET.ROOT (--root) to the folder that holds "{self.dataset_dir}"{get}'

    def check_folders(self) -> None:
        """Raise DataError unless the data set's folder and its image folder are there."""
        root, name = self.folder.parent, type(self).__name__
        if not os.path.isdir(root):
            raise DataError(f"{name}: the data root {root} does not exist; {self.remedy()}")
        if not os.path.isdir(self.folder):
            folders = []
            with suppress(OSError), os.scandir(root) as entries:
                folders = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
            other = nearest(self.dataset_dir, folders)
            seen = f' (the nearest name there is "{other}")' if other else ""
            raise DataError(f'{name}: no folder "{self.dataset_dir}" in {root}{seen}; {self.remedy()}')
        if not os.path.isdir(self.image_folder):
            raise DataError(f"{name}: no image folder at {self.image_folder}; {self.remedy()}")

    def check_images(self, split: Split) -> None:
        """Raise DataError unless every image is there; whether it can be read shows when it is."""
        paths = dict.fromkeys(item.path for item in split.items())
        missing = missing_images(self.image_folder, paths)
        if missing:
            raise DataError(
                f"{type(self).__name__}: {len(missing)} of {len(paths)} images are missing in {self.image_folder}, "
                f'the first is "{missing[0][:200]}"; {self.remedy()}'
            )

    def check_parts(self, split: Split) -> None:
        """Tell which images are trained and tested on: published splits are as they are."""
        if not (self.test_only or self.val_is_test):
            tested = {item.path for item in split.test}
            both = sorted(tested.intersection(item.path for item in split.train))
            if both:
                logger.info(f"{len(both)} images are both trained and tested on (such as {both[0]})")

    def check_photos(self) -> None:
        """Called before anything is stored, with the images that are used in `train_x`, `val` and `test`."""

    def _few_shot(self, split: Split, num_shots: int, seed: int, original_picks: bool) -> Split:
        logger.info(f"Creating a {num_shots}-shot dataset")
        sizes = Counter(item.label for item in split.train).values()
        if min(sizes) < num_shots:
            few = sum(size < num_shots for size in sizes)
            logger.info(f"{few} of {len(sizes)} classes have fewer than {num_shots} training images: all are taken")
        if original_picks:
            return original_few_shot_split(self.folder, split, num_shots, seed)
        picks, self._store_picks = cached_few_shot_split(self.folder, split, num_shots, seed)
        return picks

    def _set_of_step(self, sets: Sequence[Split], step: int) -> Split:
        """The classes of one step; sets `seen_sets`."""
        if not 1 <= step <= len(sets):
            raise ConfigError(f"INCREMENTAL.STEP is {step}: it must be from 1 to INCREMENTAL.STEPS, {len(sets)}")
        logger.info(f"Step {step} of {len(sets)}: {len(class_names(sets[step - 1]))} classes")
        for seen in sets[:step]:
            test = self._as_data(seen.test)
            val = test if self.val_is_test else self._as_data(seen.val)
            self.seen_sets.append(SeenSet(class_names(seen), val, test))
        return sets[step - 1]

    def _as_data(self, items: Sequence[SplitItem]) -> Sequence[Datum]:
        return list(map(self._as_datum, items)) if isinstance(items, list) else ListedData(items, self._as_datum)

    def _as_datum(self, item: SplitItem) -> Datum:
        return Datum(impath=self.path_of(item.path), label=item.label, domain=0, classname=item.classname)

    def path_of(self, path: str) -> str:
        """The file of a split's path."""
        return os.path.join(self.image_folder, *path.split("/"))
