"""Random generators: seeding them, setting them back, and carrying their states from one process to the next."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy, torch and all CUDA devices.

    Raises:
        ValueError: A seed below 0 or above 2³² − 1.
    """
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


def cpu_states() -> tuple[Any, ...]:
    """The states of Python's, NumPy's and torch's CPU generator, for this process."""
    return random.getstate(), np.random.get_state(), torch.get_rng_state()


def restore_cpu_states(states: tuple[Any, ...]) -> None:
    """Continue the three generators from what `cpu_states` gave."""
    python, numpy, pytorch = states
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(pytorch)


@contextmanager
def cpu_states_restored() -> Iterator[None]:
    """Leave the three generators in the end as they were in the beginning."""
    states = cpu_states()
    try:
        yield
    finally:
        restore_cpu_states(states)


def rng_states() -> dict[str, Any]:
    """The states of all generators, those of CUDA devices too, as tensors and plain data for a checkpoint."""
    version, internal, gauss_next = random.getstate()
    numpy_state: Any = np.random.get_state(legacy=True)
    name, keys, position, has_gauss, cached = numpy_state
    return {
        "python": [version, list(internal), gauss_next],
        "numpy": [str(name), torch.from_numpy(keys.astype(np.int64)), int(position), int(has_gauss), float(cached)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore_rng_states(states: dict[str, Any]) -> None:
    """Continue all generators from what `rng_states` gave; CUDA devices as far as both sides have them."""
    version, internal, gauss_next = states["python"]
    random.setstate((version, tuple(internal), gauss_next))
    name, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"].cpu())
    if torch.cuda.is_available():
        for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(state.cpu(), device)
