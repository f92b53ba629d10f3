"""The random generators of this process, which must stay in the same state as those of the others."""

import hashlib
import random

import numpy as np
import torch


def generators_digest() -> str:
    """A fingerprint of the states of Python's, NumPy's and torch's CPU generator."""
    digest = hashlib.sha256(repr(random.getstate()).encode())
    for part in np.random.get_state(legacy=True):
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    digest.update(torch.get_rng_state().numpy().tobytes())
    return digest.hexdigest()
