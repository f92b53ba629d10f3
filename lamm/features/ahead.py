"""Encoding the images of coming batches while a training step runs, for models whose products are too small to share.

A narrow model works in one thread (`ClipModel.suited_threads`). The other cores encode: each batch in one thread, as
the step itself would, so that its features are the same to the bit.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from lamm.engine.embedded.loader import Pass

PER_THREAD = 3
"""Batches that are on their way for each thread: with fewer, a thread waits while the step loads the next one."""


class AheadEncoder:
    """Turns batches of training images into batches of their features, `img` being (B, E): `EpochLoader.through`.

    Batches are loaded in the calling thread, in their order: loading draws random numbers, encoding does not.

    Args:
        loader: of batches with `img`, (B, 3, H, W).
        encode: from images to features, on a CPU; of a frozen tower.
        threads: batches that are encoded at a time.
    """

    def __init__(self, loader: Iterable[Any], encode: Callable[[Tensor], Tensor], threads: int) -> None:
        self._loader, self._encode, self._threads = loader, encode, threads

    def __iter__(self) -> Iterator[dict[str, Any]]:
        coming: deque[Future[dict[str, Any]]] = deque()
        pool = ThreadPoolExecutor(self._threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for batch in self._submitted(pool):
                coming.append(batch)
                if len(coming) > PER_THREAD * self._threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _submitted(self, pool: ThreadPoolExecutor) -> Iterator[Future[dict[str, Any]]]:
        """Batches as they are loaded; an error is one of them, since it may be of an epoch that never comes."""
        try:
            for batch in Pass(iter(self._loader)):
                yield pool.submit(self._encoded, batch)
        except Exception as error:
            failed: Future[dict[str, Any]] = Future()
            failed.set_exception(error)
            yield failed

    @torch.no_grad()
    def _encoded(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {**batch, "img": self._encode(batch["img"])}
