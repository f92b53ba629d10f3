"""Measuring: time, memory, matrix products and memory traffic of a call on any device, and several ways in turns."""

import math
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from lamm.clip.frozen_linear import onednn_linear

MEGABYTE = 2**20
CPU = torch.device("cpu")
# Operator → places of the two factors among its arguments.
FACTORS = {"mm": (0, 1), "addmm": (1, 2), "bmm": (0, 1), "baddbmm": (1, 2)}
FUSED_ATTENTION = "_native_multi_head_attention"  # what torch runs in a tower that records no gradients
ONEDNN_LINEAR = "_linear_pointwise"  # input and weight of a linear layer
TRIES = 3
COPIED = 2**28  # bytes
AT_ONCE = 10  # repetitions of a product that are timed together, as a step queues them


class PeakMemory(TorchDispatchMode):
    """Counts the tensors that are made within the context; what an operator needs inside itself is not seen.

    Attributes:
        held: bytes of those that are alive.
        peak: most bytes that were alive at one time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = self.peak = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # What goes in and was not made here is older, and a view of it that comes out takes nothing.
        for tensor in _tensors((args, kwargs)):
            self._hold(tensor.untyped_storage(), 0)
        out = op(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self._hold(tensor.untyped_storage(), tensor.untyped_storage().nbytes())
        return out

    def _hold(self, storage: torch.UntypedStorage, size: int) -> None:
        key = storage._cdata
        if key not in self._known:
            self._known[key] = size
            self.held += size
            self.peak = max(self.peak, self.held)
            weakref.finalize(storage, self._release, key)

    def _release(self, key: int) -> None:
        self.held -= self._known.pop(key)


def wait_for(device: torch.device) -> None:
    """Wait until a CUDA device has done what is queued; others queue nothing."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: torch.device) -> float:
    """Wall-clock seconds of one call, a CUDA device's queued work included."""
    wait_for(device)
    start = time.perf_counter()
    call()
    wait_for(device)
    return time.perf_counter() - start


def peak_megabytes(call: Callable[[], object], device: torch.device = CPU) -> float:
    """Most memory that a call took at one time beyond what was there before, in MiB.

    On a CUDA device torch's allocator counts, operators' own buffers included; elsewhere it is what the tensors held.
    """
    if device.type == "cuda":
        wait_for(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        wait_for(device)
        return (torch.cuda.max_memory_allocated(device) - before) / MEGABYTE
    with PeakMemory() as memory:
        call()
    return memory.peak / MEGABYTE


def operations_of(call: Callable[[], object]) -> float:
    """Floating-point operations of a call's matrix products, in 1e9.

    It is a call of its own: torch's counter keeps what a checkpointed part computes again.
    """
    onednn = {onednn_linear: _linear_operations} if onednn_linear is not None else {}
    with FlopCounterMode(display=False, custom_mapping=onednn) as counter:
        call()
    return counter.get_total_flops() / 1e9


def _linear_operations(x: Any, weight: Any, *_: Any, **__: Any) -> int:
    """Operations of a linear layer, from the shapes of its input and weight."""
    return 2 * math.prod(x) * weight[0]


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
        backward: the context holds a backward pass; the products of forward passes within it, which encode again to
            save memory, are no work that is needed.

    Attributes:
        products: how often each shape came.
    """

    def __init__(self, backward: bool = False) -> None:
        super().__init__()
        self._backward = backward
        self.products: Products = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # In the forward pass of a torch.autograd.Function gradients are off, too; only there forward-mode ones are off.
        again = torch.is_grad_enabled() or not torch._C._is_fwd_grad_enabled()
        if not (self._backward and again):
            self.products.update(_products_of(op.overloadpacket._qualified_op_name.partition("::")[2], args))
        return op(*args, **(kwargs or {}))


def _products_of(name: str, args: Any) -> Iterator[Product]:
    if name in FACTORS:
        one, other = (args[place] for place in FACTORS[name])
        *batch, m, k = one.shape
        yield Product(batch[0] if batch else 0, m, k, other.shape[-1], one.dtype)
    if name == ONEDNN_LINEAR:
        one, weight = args[0], args[1]
        yield Product(0, one.numel() // weight.shape[1], weight.shape[1], weight.shape[0], one.dtype)
    if name == FUSED_ATTENTION:
        query, width = args[0], args[3]
        for factor in (3 * width, width):
            yield Product(0, query.numel() // width, width, factor, query.dtype)


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


class Traffic(TorchDispatchMode):
    """Counts what operators other than products of matrices read and write within the context.

    Each operator is taken to read every tensor once and to write every result once, wherever they are.

    Attributes:
        bytes: of all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))
        name = op.overloadpacket._qualified_op_name.partition("::")[2]
        if not (op.is_view or name in (*FACTORS, ONEDNN_LINEAR) or name.startswith(("empty", "new_empty"))):
            self.bytes += sum(map(_extent, _tensors((args, kwargs, out))))
        return out


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in arguments or results; of weights in oneDNN's own layout nothing can be asked."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor) and leaf.layout == torch.strided]


def _extent(tensor: Tensor) -> int:
    """Bytes of a tensor's elements, those that an expanded dimension repeats counted once."""
    sizes = (size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
    return math.prod(sizes) * tensor.element_size()


def copied_bytes_per_second(device: torch.device) -> float:
    """What a copy of a tensor much larger than the caches reads and writes per second, the best of some tries."""
    one, other = (torch.zeros(COPIED // 4, device=device) for _ in range(2))
    return 2 * COPIED / min(seconds_of(lambda: other.copy_(one), device) for _ in range(1 + TRIES))


def side_by_side(
    ways: Mapping[str, Callable[[Any], Tensor]], inputs: Sequence[Any], rounds: int, scale: Tensor
) -> pd.DataFrame:
    """Time and results of each way over all inputs; the first is the reference.

    Time is the CPU's, of one thread, which is what a loader's worker has.

    Args:
        ways: By name, from an input to a tensor; torch's generator is in the same state for each.
        inputs: What they are given.
        rounds: Times that each input is given to each way; the best counts.
        scale: What differences are multiplied by; it broadcasts with the results.

    Returns:
        A row per way, named by it:

        - milliseconds: CPU time per input.
        - ratio: The reference's time over its own; above 1 is faster.
        - mean_difference, largest_difference: From the reference's results, over all values, in the unit of `scale`.
        - equal: All results are the reference's to the bit.
    """
    records = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for number, one in enumerate(tqdm(inputs, unit="img", leave=False, disable=None)):
            best = dict.fromkeys(ways, float("inf"))
            results: dict[str, Tensor] = {}
            for _ in range(rounds):
                for name, way in ways.items():
                    torch.manual_seed(number)
                    start = time.process_time()
                    results[name] = way(one)
                    best[name] = min(best[name], time.process_time() - start)
            reference = next(iter(results.values()))
            for name, result in results.items():
                off = ((result - reference) * scale).abs()
                records.append((name, best[name], off.mean().item(), off.max().item(), torch.equal(result, reference)))
    finally:
        torch.set_num_threads(threads)
    frame = pd.DataFrame(records, columns=["way", "seconds", "mean", "largest", "equal"])
    by_way = frame.groupby("way", sort=False)
    seconds = by_way.seconds.mean()
    return pd.DataFrame(
        {
            "milliseconds": 1000 * seconds,
            "ratio": seconds.iloc[0] / seconds,
            "mean_difference": by_way["mean"].mean(),
            "largest_difference": by_way.largest.max(),
            "equal": by_way.equal.all(),
        }
    )
