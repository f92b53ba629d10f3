"""The data set, the transforms and the loaders of a run."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tabulate import tabulate
from torch.utils.data import DataLoader
from yacs.config import CfgNode as CN

from lamm.engine.embedded.dataset_wrapper import DatasetWrapper
from lamm.engine.embedded.datasets_registry import build_dataset
from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.epoch_loader import EpochLoader
from lamm.engine.embedded.errors import InvalidDataError
from lamm.engine.embedded.samplers import build_sampler
from lamm.engine.embedded.transforms import build_transform
from lamm.engine.embedded.worker_count import worker_count

__all__ = ["DataManager", "DatasetWrapper", "build_data_loader"]


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
        batch_size: Images a batch.
        n_domain: Domains a batch, for samplers over domains.
        n_ins: Images a class in a batch of RandomClassSampler.
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
    loader = EpochLoader(
        (dataset_wrapper or DatasetWrapper)(cfg, data_source, transform=tfm, is_train=is_train),
        keeps_workers=is_train if keeps_workers is None else keeps_workers,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=worker_count(cfg, data_source, batch_size),
        drop_last=is_train and len(data_source) >= batch_size,
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
        self._cfg = cfg
        self._wrapper = dataset_wrapper
        self._tfm_train = self._choose(custom_tfm_train, True)
        self._tfm_test = self._choose(custom_tfm_test, False)

        train_x, train_u = cfg.DATALOADER.TRAIN_X, cfg.DATALOADER.TRAIN_U
        self.train_loader_x = self._train_loader(train_x, self.dataset.train_x)
        self.train_loader_u = None
        if self.dataset.train_u:
            self.train_loader_u = self._train_loader(train_x if train_u.SAME_AS_X else train_u, self.dataset.train_u)
        each_epoch = cfg.TEST.FINAL_MODEL == "best_val"
        self.val_loader = self._test_loader(self.dataset.val, each_epoch) if self.dataset.val else None
        self.test_loader = self._test_loader(self.dataset.test)

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
        rows.append(["# train_x", f"{len(data.train_x):,}"])
        if data.train_u:
            rows.append(["# train_u", f"{len(data.train_u):,}"])
        if data.val:
            rows.append(["# val", f"{len(data.val):,}"])
        rows.append(["# test", f"{len(data.test):,}"])
        print(tabulate(rows))

    def _choose(self, custom: Any, is_train: bool) -> Any:
        if custom is None:
            return build_transform(self._cfg, is_train=is_train)
        print(f"* Using custom transform for {'training' if is_train else 'testing'}")
        return custom

    def _train_loader(self, options: CN, data_source: Sequence[Datum]) -> DataLoader[Any]:
        return build_data_loader(
            self._cfg,
            sampler_type=options.SAMPLER,
            data_source=data_source,
            batch_size=options.BATCH_SIZE,
            n_domain=options.N_DOMAIN,
            n_ins=options.N_INS,
            tfm=self._tfm_train,
            is_train=True,
            dataset_wrapper=self._wrapper,
        )

    def _test_loader(self, data_source: Sequence[Datum], each_epoch: bool = False) -> DataLoader[Any]:
        options = self._cfg.DATALOADER.TEST
        return build_data_loader(
            self._cfg,
            sampler_type=options.SAMPLER,
            data_source=data_source,
            batch_size=options.BATCH_SIZE,
            tfm=self._tfm_test,
            is_train=False,
            dataset_wrapper=self._wrapper,
            keeps_workers=each_epoch,
        )
