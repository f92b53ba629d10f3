"""The matrix products of a step, and how long they take by themselves on this machine.

Their time over the step's is `gemm_share`: how near the step comes to doing nothing but products that it needs.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lamm.benchmark.measuring import seconds_of
from lamm.benchmark.training_step import TrainingStep

# Operator → places of the two factors among its arguments.
FACTORS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
FUSED_ATTENTION = "_native_multi_head_attention"  # what torch runs in a tower that records no gradients
TRIES = 3
AT_ONCE = 10  # repetitions of a product that are timed together, as a step queues them


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
    """Counts the products of matrices that run within the context.

    Of fused attention the projections are seen, not the products of queries, keys and values; convolutions are not.

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
        if not (self._backward and torch.is_grad_enabled()):
            self.products.update(_products_of(op.overloadpacket._qualified_op_name.partition("::")[2], given))
        return op(*given, **(named or {}))


def _products_of(name: str, given: Any) -> Iterator[Product]:
    if name in FACTORS:
        one, other = (given[place] for place in FACTORS[name])
        *batch, m, k = one.shape
        yield Product(batch[0] if batch else 0, m, k, other.shape[-1], one.dtype)
    if name == FUSED_ATTENTION:
        query, width = given[0], given[3]
        for factor in (3 * width, width):
            yield Product(0, query.numel() // width, width, factor, query.dtype)


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
    return sum(times * _seconds(product, min(times, AT_ONCE), device) for product, times in products.items())


def _seconds(product: Product, repetitions: int, device: torch.device) -> float:
    """Of one product, run some times in a row."""
    batch = (product.batch,) if product.batch else ()
    one = torch.randn(*batch, product.m, product.k, device=device).to(product.dtype)
    other = torch.randn(*batch, product.k, product.n, device=device).to(product.dtype)
    out = torch.matmul(one, other)

    def run() -> None:
        for _ in range(repetitions):
            torch.matmul(one, other, out=out)

    return min(seconds_of(run, device) for _ in range(TRIES)) / repetitions
