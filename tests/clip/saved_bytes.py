"""How many bytes a forward pass keeps for its backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


def bytes_saved(forward: Callable[[], Tensor]) -> int:
    """Bytes of the distinct storages that a forward pass keeps for its backward pass."""
    sizes: dict[int, int] = {}
    kept = []

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)  # so that no address is given to another storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        features = forward()
    assert features.requires_grad
    return sum(sizes.values())
