"""The matrix products of a step, and how long they take by themselves on this machine.

Their time over the step's is `gemm_share`: how near the step comes to doing nothing but products that it needs.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lamm.benchmark.measuring import seconds_of
from lamm.benchmark.training_step import TrainingStep

# Operator → places of the two factors among its arguments.
FACTORS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
TRIES = 3


class Product(NamedTuple):
    """A product's shape: `batch` times (m, k) · (k, n); batch 0 is one product of matrices."""

    batch: int
    m: int
    k: int
    n: int
    dtype: torch.dtype

    @property
    def operations(self) -> float:
        """Floating-point operations."""
        return 2.0 * max(1, self.batch) * self.m * self.k * self.n


Products = Counter[Product]


class MatrixProducts(TorchDispatchMode):
    """Counts the products of matrices that run within the context; fused attention and convolutions are not seen.

    Args:
        backward: the context holds a backward pass, whose products are those that record no gradients; others are of
            what it encodes again to save memory, which is no work that is needed.

    Attributes:
        products: how often each shape came.
    """

    def __init__(self, backward: bool = False) -> None:
        super().__init__()
        self._backward = backward
        self.products: Products = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        places = FACTORS.get(op.overloadpacket._qualified_op_name.partition("::")[2])
        if places is not None and not (self._backward and torch.is_grad_enabled()):
            one, other = (given[place] for place in places)
            *batch, m, k = one.shape
            self.products[Product(batch[0] if batch else 0, m, k, other.shape[-1], one.dtype)] += 1
        return op(*given, **(named or {}))


def needed_products(step: TrainingStep) -> Products:
    """The products of one step, without those that its backward pass encodes again."""
    with MatrixProducts() as forward:
        loss = step.forward(step.image_features())
    with MatrixProducts(backward=True) as backward:
        loss.backward()
    return forward.products + backward.products


def operations(products: Products) -> float:
    """Floating-point operations of all products, in 1e9."""
    return sum(product.operations * times for product, times in products.items()) / 1e9


def seconds_by_themselves(products: Products, device: torch.device) -> float:
    """Seconds of plain products of the same shapes and dtypes, the best of some tries each."""
    return sum(times * min(_tries(product, device)) for product, times in products.items())


def _tries(product: Product, device: torch.device) -> Iterable[float]:
    batch = (product.batch,) if product.batch else ()
    one = torch.randn(*batch, product.m, product.k, device=device).to(product.dtype)
    other = torch.randn(*batch, product.k, product.n, device=device).to(product.dtype)
    out = torch.matmul(one, other)
    for _ in range(TRIES):
        yield seconds_of(lambda: torch.matmul(one, other, out=out), device)
