"""The data set, the transforms, the samplers and the loaders of a run."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch.utils.data import Dataset, RandomSampler, Sampler, SequentialSampler, get_worker_info
from torchvision import transforms as T
from yacs.config import CfgNode as CN

from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.decoding import ImageFile
from lamm.engine.embedded.loader import EpochLoader, worker_count
from lamm.engine.embedded.log import say
from lamm.engine.embedded.pipeline import Pipeline
from lamm.engine.embedded.registry import ChoiceError, InvalidDataError, build_dataset
from lamm.engine.embedded.transforms import (
    build_transform,
    check_size,
    fused,
    interpolation_mode,
    normalization,
    upright_of,
)
from lamm.images import begin_notices

CACHE_BYTES = 64e6
"""Memory for decoded training images, where this process loads them."""


class DatasetWrapper(Dataset[dict[str, Any]]):
    """Reads and transforms the images of a split. Decoded training images are kept for the next epoch if they fit.

    An item is a dict: `img` (float tensor [3, height, width]; a list of K of them when training with
    `DATALOADER.K_TRANSFORMS` K > 1), `label`, `domain`, `impath`, `index` (position in `data_source`), and under
    `DATALOADER.RETURN_IMG0` also `img0` (resized to SIZE, not augmented).

    Args:
        cfg: The config; its INPUT and DATALOADER nodes are read, and for `INPUT.EXIF auto` the data set's name.
        data_source: The images of the split.
        transform: The pipeline; a list or tuple of them gives `img`, `img2`, `img3`, …; None leaves the PIL image.
        is_train: Training images, for which K_TRANSFORMS holds.

    Raises:
        ChoiceError: (a ValueError) K_TRANSFORMS above 1 without a pipeline.
    """

    def __init__(
        self,
        cfg: CN,
        data_source: Sequence[Datum],
        transform: Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
        is_train: bool = False,
    ) -> None:
        self.cfg = cfg
        self.data_source = data_source
        self.transform = transform
        self.is_train = is_train
        self.k_tfm = cfg.DATALOADER.K_TRANSFORMS if is_train else 1
        self.return_img0 = cfg.DATALOADER.RETURN_IMG0
        self.upright = upright_of(cfg)
        self._decoded: dict[int, ImageFile] = {}
        # A foreign transform may draw into its image; a photo that is decoded in part is another one each time.
        ours = isinstance(transform, Pipeline) and not transform.decodes
        self._room = CACHE_BYTES if is_train and ours else 0
        if self.k_tfm > 1 and transform is None:
            raise ChoiceError(f"DATALOADER.K_TRANSFORMS is {self.k_tfm}, but there is no transform to repeat")
        self.to_tensor = None
        if self.return_img0:
            check_size(cfg.INPUT.SIZE)
            mode = interpolation_mode(cfg.INPUT.INTERPOLATION)
            steps: list[Any] = [T.Resize(tuple(cfg.INPUT.SIZE), interpolation=mode), T.ToTensor()]
            if "normalize" in cfg.INPUT.TRANSFORMS:
                steps.append(normalization(cfg.INPUT)[1])
            self.to_tensor = T.Compose(fused(steps))

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        datum = self.data_source[idx]
        item = {"label": datum.label, "domain": datum.domain, "impath": datum.impath, "index": idx}
        file = self._decoded.get(idx) or ImageFile(datum.impath, self.upright)
        if self.transform is None:
            item["img"] = file.image
        elif isinstance(self.transform, list | tuple):
            for number, transform in enumerate(self.transform, start=1):
                item["img" if number == 1 else f"img{number}"] = self._apply(transform, file)
        else:
            item["img"] = self._apply(self.transform, file)
        if self.to_tensor is not None:
            item["img0"] = self.to_tensor(file.image)
        # A worker process gets other images in each epoch, and would in time hold all of them.
        if idx not in self._decoded and self._room > 0 and get_worker_info() is None and file.bytes <= self._room:
            self._decoded[idx] = file
            self._room -= file.bytes
        return item

    def _apply(self, transform: Any, file: ImageFile) -> Any:
        """One view of the image, or a list of `k_tfm` views."""
        views = [transform(file.opened_for(transform)) for _ in range(self.k_tfm)]
        return views[0] if len(views) == 1 else views


def build_sampler(
    sampler_type: str,
    cfg: CN | None = None,
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 32,
    n_domain: int = 0,
    n_ins: int = 16,
) -> Sampler[Any]:
    """The sampler of a split that `sampler_type` names; `cfg` and `n_ins` are for samplers that this engine lacks.

    Raises:
        ChoiceError: (a ValueError) the name is unknown.
    """
    items = data_source or ()
    if sampler_type == "RandomSampler":
        return RandomSampler(items)
    if sampler_type == "SequentialSampler":
        return SequentialSampler(items)
    if sampler_type == "RandomDomainSampler":
        return RandomDomainSampler(items, batch_size, n_domain)
    if sampler_type == "SeqDomainSampler":
        return SeqDomainSampler(items, batch_size)
    known = "RandomSampler, SequentialSampler, RandomDomainSampler, SeqDomainSampler"
    raise ChoiceError(f"Unknown sampler type: {sampler_type}; known: {known}")


class RandomDomainSampler(Sampler[int]):
    """Batches of `n_domain` domains with `batch_size // n_domain` images each, no image twice in a pass.

    A batch takes the domains with the most images left, at random among equals; so every pass has the same length.
    `n_domain` below 1 means all of them.

    Raises:
        ChoiceError: (a ValueError) the split has fewer domains, or they can't share a batch evenly.
    """

    def __init__(self, data_source: Sequence[Datum], batch_size: int, n_domain: int = 0) -> None:
        self.positions: defaultdict[int, list[int]] = defaultdict(list)
        for position, item in enumerate(data_source):
            self.positions[item.domain].append(position)
        self.n_domain = n_domain if n_domain > 0 else len(self.positions)
        if self.n_domain > len(self.positions) or batch_size % self.n_domain:
            raise ChoiceError(
                f"N_DOMAIN {self.n_domain} has to divide BATCH_SIZE {batch_size}, for {len(self.positions)} domains"
            )
        self.n_img = batch_size // self.n_domain
        groups = [len(positions) // self.n_img for positions in self.positions.values()]
        self.batches = 0
        while sum(min(n, self.batches + 1) for n in groups) >= (self.batches + 1) * self.n_domain:
            self.batches += 1

    def chosen(self, left: dict[int, list[int]]) -> list[int]:
        """The domains of the next batch, in its order, from the positions left in each."""
        domains = random.sample(list(left), len(left))
        domains.sort(key=lambda domain: len(left[domain]) // self.n_img, reverse=True)
        return domains[: self.n_domain]

    def __iter__(self) -> Iterator[int]:
        left = {domain: random.sample(positions, len(positions)) for domain, positions in self.positions.items()}
        for _ in range(self.batches):
            for domain in self.chosen(left):
                yield from left[domain][: self.n_img]
                del left[domain][: self.n_img]

    def __len__(self) -> int:
        return self.batches * self.n_domain * self.n_img


class SeqDomainSampler(RandomDomainSampler):
    """Batches with the same number of random images from every domain, domain after domain."""

    def __init__(self, data_source: Sequence[Datum], batch_size: int) -> None:
        super().__init__(data_source, batch_size)

    def chosen(self, left: dict[int, list[int]]) -> list[int]:
        return list(left)


def build_data_loader(
    cfg: CN,
    sampler_type: str = "SequentialSampler",
    data_source: Sequence[Datum] | None = None,
    batch_size: int = 64,
    n_domain: int = 0,
    n_ins: int = 2,
    tfm: Any = None,
    is_train: bool = True,
    dataset_wrapper: Callable[..., Any] | None = None,
    keeps_workers: bool | None = None,
) -> EpochLoader:
    """Build the loader of a split; its batches are the same for any number of worker processes.

    The last, smaller batch is dropped in training only, and not when it is the only one.

    Args:
        cfg: The config; DATALOADER and USE_CUDA are read.
        sampler_type: Name of the sampler, which alone decides on the order.
        data_source: The images of the split.
        batch_size: Images per batch.
        n_domain: Domains per batch, for RandomDomainSampler.
        n_ins: Not needed by the samplers of this engine.
        tfm: The transform, or several.
        is_train: Training images.
        dataset_wrapper: Takes the place of `DatasetWrapper`.
        keeps_workers: Worker processes stay from pass to pass; None: those of training images do.

    Raises:
        InvalidDataError: (an AssertionError) there is nothing to load.
    """
    if not data_source:
        raise InvalidDataError("a split of the data set has no image to load; check its folder and split file")
    sampler = build_sampler(
        sampler_type, cfg=cfg, data_source=data_source, batch_size=batch_size, n_domain=n_domain, n_ins=n_ins
    )
    batch_size = min(batch_size, len(data_source))
    loader = EpochLoader(
        (dataset_wrapper or DatasetWrapper)(cfg, data_source, transform=tfm, is_train=is_train),
        keeps_workers=is_train if keeps_workers is None else keeps_workers,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=worker_count(cfg, data_source, batch_size),
        drop_last=is_train,
        pin_memory=torch.cuda.is_available() and cfg.USE_CUDA,
    )
    if len(loader) == 0:
        raise InvalidDataError(f"{sampler_type} makes no batch of {batch_size} from {len(data_source)} images")
    return loader


class DataManager:
    """Builds what `cfg` names: the data set, its transforms and its loaders.

    Attributes:
        dataset: The data set.
        train_loader_x: Loader of the labelled training images.
        train_loader_u: Loader of the unlabelled ones, or None.
        val_loader: Loader of the validation images, or None.
        test_loader: Loader of the test images.

    Args:
        cfg: The config.
        custom_tfm_train: Takes the place of the training transform.
        custom_tfm_test: Takes the place of the test transform.
        dataset_wrapper: Takes the place of `DatasetWrapper`.
    """

    def __init__(
        self,
        cfg: CN,
        custom_tfm_train: Any = None,
        custom_tfm_test: Any = None,
        dataset_wrapper: Callable[..., Any] | None = None,
    ) -> None:
        self.dataset = build_dataset(cfg)
        begin_notices()
        self._cfg = cfg
        self._wrapper = dataset_wrapper
        tfm_train = self._transform(custom_tfm_train, True)
        tfm_test = self._transform(custom_tfm_test, False)

        train_x, train_u, test = cfg.DATALOADER.TRAIN_X, cfg.DATALOADER.TRAIN_U, cfg.DATALOADER.TEST
        data = self.dataset
        self.train_loader_x = self._loader(train_x, data.train_x, tfm_train)
        count, batch = len(data.train_x), min(train_x.BATCH_SIZE, len(data.train_x))
        if (left_out := count - len(self.train_loader_x) * batch) > 0:
            say(f"{left_out} of {count} training images are left out of each epoch: {batch} make a batch")
        self.train_loader_u = self.val_loader = None
        if data.train_u:
            self.train_loader_u = self._loader(train_x if train_u.SAME_AS_X else train_u, data.train_u, tfm_train)
        if data.val:
            each_epoch = cfg.TEST.FINAL_MODEL == "best_val"
            self.val_loader = self._loader(test, data.val, tfm_test, is_train=False, keeps_workers=each_epoch)
        self.test_loader = self._loader(test, data.test, tfm_test, is_train=False)

        self._num_classes = self.dataset.num_classes
        self._lab2cname = self.dataset.lab2cname
        if cfg.VERBOSE:
            self.show_dataset_summary(cfg)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return self._num_classes

    @property
    def num_source_domains(self) -> int:
        """Number of domains that are trained on."""
        return len(self._cfg.DATASET.SOURCE_DOMAINS)

    @property
    def lab2cname(self) -> dict[int, str]:
        """Class name of each label."""
        return self._lab2cname

    def show_dataset_summary(self, cfg: CN) -> None:
        """Print the table of names and sizes."""
        data = self.dataset
        rows: list[list[Any]] = [["Dataset", cfg.DATASET.NAME]]
        if cfg.DATASET.SOURCE_DOMAINS:
            rows.append(["Source", cfg.DATASET.SOURCE_DOMAINS])
        if cfg.DATASET.TARGET_DOMAINS:
            rows.append(["Target", cfg.DATASET.TARGET_DOMAINS])
        rows.append(["# classes", f"{self.num_classes:,}"])
        splits = {"train_x": data.train_x, "train_u": data.train_u, "val": data.val, "test": data.test}
        rows += [[f"# {name}", f"{len(images):,}"] for name, images in splits.items() if images]
        print(tabulate(rows))

    def _transform(self, custom: Any, is_train: bool) -> Any:
        if custom is None:
            return build_transform(self._cfg, is_train=is_train)
        print(f"* Using custom transform for {'training' if is_train else 'testing'}")
        return custom

    def _loader(self, options: CN, data_source: Sequence[Datum], tfm: Any, **more: Any) -> EpochLoader:
        return build_data_loader(
            self._cfg,
            sampler_type=options.SAMPLER,
            data_source=data_source,
            batch_size=options.BATCH_SIZE,
            n_domain=options.get("N_DOMAIN", 0),
            tfm=tfm,
            dataset_wrapper=self._wrapper,
            **more,
        )
