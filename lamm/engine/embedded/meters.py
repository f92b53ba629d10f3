"""Running means of what a training prints, fetched from the device together."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor


class AverageMeter:
    """The last value of a quantity and its mean; with `ema` an exponential mean (0.9 old, 0.1 new) from 0."""

    def __init__(self, ema: bool = False) -> None:
        self.ema = ema
        self.reset()

    def reset(self) -> None:
        """Forget all values."""
        self._val = self._avg = self._sum = 0.0
        self._taken = 0
        self.waiting: list[tuple[float | Tensor, int]] = []

    def update(self, val: float | Tensor, n: int = 1) -> None:
        """Take in a value that stands for `n` observations."""
        self.waiting.append((val.detach() if isinstance(val, Tensor) else val, n))

    def take(self, values: Iterator[float]) -> list[float]:
        """Put the waiting values, fetched and next in `values`, into the mean; the mean after each of them."""
        means = []
        for (_, n), value in zip(self.waiting, values, strict=False):
            self._sum += value * n
            self._taken += n
            self._avg = self._avg * 0.9 + value * 0.1 if self.ema else self._sum / self._taken
            self._val = value
            means.append(self._avg)
        self.waiting = []
        return means

    def _settle(self) -> None:
        self.take(iter(fetched([value for value, _ in self.waiting])))

    @property
    def val(self) -> float:
        """The last value."""
        self._settle()
        return self._val

    @property
    def avg(self) -> float:
        """The mean."""
        self._settle()
        return self._avg

    @property
    def sum(self) -> float:
        """The sum over all observations."""
        self._settle()
        return self._sum

    @property
    def count(self) -> int:
        """Number of observations."""
        return self._taken + sum(n for _, n in self.waiting)


class MetricMeter:
    """One meter for each name of a dictionary of values; as text `name value (mean)`."""

    def __init__(self, delimiter: str = " ") -> None:
        self.meters: defaultdict[str, AverageMeter] = defaultdict(AverageMeter)
        self.delimiter = delimiter

    def update(self, input_dict: Mapping[str, float | Tensor] | None) -> None:
        """Take in one value for each name; None changes nothing.

        Raises:
            TypeError: Anything but a dictionary or None.
        """
        if input_dict is None:
            return
        if not isinstance(input_dict, Mapping):
            raise TypeError(f"a metric meter takes a dictionary, not a {type(input_dict).__name__}")
        for name, value in input_dict.items():
            self.meters[name].update(value)

    def settle(self) -> dict[str, list[float]]:
        """Fetch what was taken in since the last call; by name, the mean after each value."""
        values = iter(fetched([value for meter in self.meters.values() for value, _ in meter.waiting]))
        return {name: meter.take(values) for name, meter in self.meters.items()}

    def __str__(self) -> str:
        self.settle()
        return self.delimiter.join(f"{name} {meter.val:.4f} ({meter.avg:.4f})" for name, meter in self.meters.items())


def fetched(values: Sequence[float | Tensor]) -> list[float]:
    """Numbers and tensors of one element as numbers, with one transfer from the device."""
    tensors = [value.double().reshape(()) for value in values if isinstance(value, Tensor)]
    numbers = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(numbers) if isinstance(value, Tensor) else value for value in values]
