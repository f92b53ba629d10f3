"""Labelled images, and the data set that lists them."""

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from lamm.engine.embedded.registry import ChoiceError, InvalidDataError


class Datum:
    """One labelled image, whose file has to exist.

    Raises:
        InvalidDataError: (an AssertionError) `impath` is not a text or no file is there.
    """

    def __init__(self, impath: str = "", label: int = 0, domain: int = 0, classname: str = "") -> None:
        if not isinstance(impath, str):
            raise InvalidDataError(f"an image path has to be a str, got {type(impath).__name__} {impath!r}")
        if not os.path.isfile(impath):
            raise InvalidDataError(f'image file "{impath}" does not exist; check the data root and the data set')
        self._impath = impath
        self._label = label
        self._domain = domain
        self._classname = classname

    @property
    def impath(self) -> str:
        """Path of the image file."""
        return self._impath

    @property
    def label(self) -> int:
        """Class, from 0."""
        return self._label

    @property
    def domain(self) -> int:
        """Domain, from 0."""
        return self._domain

    @property
    def classname(self) -> str:
        """Name of the class."""
        return self._classname


class DatasetBase:
    """What a registered data set is: lists of `Datum` for training, validation and test.

    A subclass reads its files and calls this constructor last, with the lists that it has. Labels and class names
    come from `train_x` alone.

    Raises:
        InvalidDataError: (a ValueError) `train_x` is empty.
        TypeError: `train_x` is None.
    """

    # Folder below the data root.
    dataset_dir = ""
    # Names of all domains, for data sets that have several.
    domains: Sequence[str] = []

    def __init__(
        self,
        train_x: Sequence[Datum] | None = None,
        train_u: Sequence[Datum] | None = None,
        val: Sequence[Datum] | None = None,
        test: Sequence[Datum] | None = None,
    ) -> None:
        if train_x is None:
            raise TypeError("train_x has to be a list of Datum, got None")
        self._train_x = train_x
        self._train_u = train_u
        self._val = val
        self._test = test
        self._num_classes = self.get_num_classes(train_x)
        self._lab2cname, self._classnames = self.get_lab2cname(train_x)

    @property
    def train_x(self) -> Sequence[Datum]:
        """Labelled training images."""
        return self._train_x

    @property
    def train_u(self) -> Sequence[Datum] | None:
        """Unlabelled training images, if any."""
        return self._train_u

    @property
    def val(self) -> Sequence[Datum] | None:
        """Validation images, if any."""
        return self._val

    @property
    def test(self) -> Sequence[Datum] | None:
        """Test images."""
        return self._test

    @property
    def lab2cname(self) -> dict[int, str]:
        """Class name of each label."""
        return self._lab2cname

    @property
    def classnames(self) -> list[str]:
        """Class names in the order of their labels."""
        return self._classnames

    @property
    def num_classes(self) -> int:
        """Largest label + 1."""
        return self._num_classes

    @staticmethod
    def get_num_classes(data_source: Sequence[Datum]) -> int:
        """Largest label + 1."""
        if not data_source:
            raise InvalidDataError("the data set has no training image; check its folder and split file")
        return max(item.label for item in data_source) + 1

    @staticmethod
    def get_lab2cname(data_source: Sequence[Datum]) -> tuple[dict[int, str], list[str]]:
        """Class name by label (of several names the first counts), and the names in label order."""
        names = {item.label: item.classname for item in reversed(data_source)}
        mapping = dict(sorted(names.items()))
        return mapping, list(mapping.values())

    def check_input_domains(self, source_domains: Sequence[str], target_domains: Sequence[str]) -> None:
        """Check that training and test domains are named and known.

        Raises:
            ChoiceError: (an AssertionError and ValueError) a list is empty or a name is unknown.
        """
        for key, chosen in (("SOURCE_DOMAINS", source_domains), ("TARGET_DOMAINS", target_domains)):
            if not chosen:
                raise ChoiceError(f"DATASET.{key} is empty; choose among {', '.join(self.domains)}")
            self.is_input_domain_valid(chosen)

    def is_input_domain_valid(self, input_domains: Sequence[str]) -> None:
        """Check that all of these domains are known.

        Raises:
            ChoiceError: (a ValueError) one is not.
        """
        for domain in input_domains:
            if domain not in self.domains:
                raise ChoiceError(f"Input domain must belong to {list(self.domains)}, but got [{domain}]")

    def generate_fewshot_dataset(
        self, *data_sources: list[Datum], num_shots: int = -1, repeat: bool = False
    ) -> list[Any] | tuple[list[Datum], ...]:
        """Draw `num_shots` images of each class from each list, with Python's global `random`.

        Classes come in the order of their first image; a class with fewer images gives all of them.

        Args:
            data_sources: Lists of images.
            num_shots: Images per class; below 1 the lists are returned as they are.
            repeat: Fill a class that has too few images by drawing with replacement.

        Returns:
            One list for one source. Several: a list of lists (a tuple of the lists when nothing is drawn).
        """
        if num_shots < 1:
            return data_sources[0] if len(data_sources) == 1 else data_sources
        print(f"Creating a {num_shots}-shot dataset")
        datasets: list[list[Datum]] = [[] for _ in data_sources]
        for source, dataset in zip(data_sources, datasets, strict=True):
            for items in self.split_dataset_by_label(source).values():
                if len(items) >= num_shots:
                    dataset.extend(random.sample(items, num_shots))
                else:
                    dataset.extend(random.choices(items, k=num_shots) if repeat else items)
        return datasets[0] if len(datasets) == 1 else datasets

    def split_dataset_by_label(self, data_source: Sequence[Datum]) -> defaultdict[int, list[Datum]]:
        """The images of each label, in first-seen order."""
        groups: defaultdict[int, list[Datum]] = defaultdict(list)
        for item in data_source:
            groups[item.label].append(item)
        return groups

    def split_dataset_by_domain(self, data_source: Sequence[Datum]) -> defaultdict[int, list[Datum]]:
        """The images of each domain, in first-seen order."""
        groups: defaultdict[int, list[Datum]] = defaultdict(list)
        for item in data_source:
            groups[item.domain].append(item)
        return groups
