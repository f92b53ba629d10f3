"""A list of `Datum` as a torch data set."""

from collections.abc import Callable, Sequence
from typing import Any

from torch.utils.data import Dataset
from torchvision import transforms as T
from yacs.config import CfgNode as CN

from lamm.engine.embedded.datum import Datum
from lamm.engine.embedded.errors import ChoiceError
from lamm.engine.embedded.pipeline import ImageFile
from lamm.engine.embedded.transforms import check_size, fused, interpolation_mode, normalization


class DatasetWrapper(Dataset[dict[str, Any]]):
    """Reads and transforms the images of a split.

    An item is a dict: `img` (float tensor [3, height, width]; a list of K of them when training with
    `DATALOADER.K_TRANSFORMS` K > 1), `label`, `domain`, `impath`, `index` (position in `data_source`), and
    `img0` under `DATALOADER.RETURN_IMG0`.

    Args:
        cfg: The config; its INPUT and DATALOADER nodes are read.
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
        if self.k_tfm > 1 and transform is None:
            raise ChoiceError(f"DATALOADER.K_TRANSFORMS is {self.k_tfm}, but there is no transform to repeat")
        self.to_tensor = self._plain(cfg.INPUT) if self.return_img0 else None

    @staticmethod
    def _plain(options: CN) -> Callable[[Any], Any]:
        """Resize to SIZE, tensor, and the normalisation if chosen."""
        check_size(options.SIZE)
        resize = T.Resize(tuple(options.SIZE), interpolation=interpolation_mode(options.INTERPOLATION))
        steps: list[Any] = [resize, T.ToTensor()]
        if "normalize" in options.TRANSFORMS:
            steps.append(normalization(options)[1])
        return T.Compose(fused(steps))

    def __len__(self) -> int:
        return len(self.data_source)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        datum = self.data_source[idx]
        item = {"label": datum.label, "domain": datum.domain, "impath": datum.impath, "index": idx}
        file = ImageFile(datum.impath)
        if self.transform is None:
            item["img"] = file.image
        elif isinstance(self.transform, list | tuple):
            for number, transform in enumerate(self.transform, start=1):
                item["img" if number == 1 else f"img{number}"] = self._apply(transform, file)
        else:
            item["img"] = self._apply(self.transform, file)
        if self.to_tensor is not None:
            item["img0"] = self.to_tensor(file.image)
        return item

    def _apply(self, transform: Any, file: ImageFile) -> Any:
        views = [transform(file.opened_for(transform)) for _ in range(self.k_tfm)]
        return views[0] if len(views) == 1 else views
