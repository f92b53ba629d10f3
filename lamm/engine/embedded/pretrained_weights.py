"""Weights from another model, as far as they fit."""

import os
import warnings
from collections.abc import Mapping

from torch import Tensor, nn

from lamm.engine.embedded.checkpoint import load_checkpoint
from lamm.errors import CheckpointError


def load_pretrained_weights(model: nn.Module, weight_path: str | os.PathLike[str]) -> None:
    """Load the tensors whose names and sizes fit the model; says which ones did not.

    Args:
        model: Changed in place.
        weight_path: A file that holds a state dict, or one under the key `state_dict`; a leading `module.` of
            its keys is stripped.

    Raises:
        CheckpointError: A file that is missing, damaged or holds no weights.
    """
    checkpoint = load_checkpoint(weight_path)
    weights = checkpoint.get("state_dict", checkpoint) if isinstance(checkpoint, Mapping) else None
    if not isinstance(weights, Mapping):
        raise CheckpointError(f'"{weight_path}" holds no weights: a dictionary of tensors is needed')
    own = model.state_dict()
    matched: dict[str, Tensor] = {}
    discarded = []
    for key, value in weights.items():
        name = key.removeprefix("module.")
        if name in own and isinstance(value, Tensor) and own[name].shape == value.shape:
            matched[name] = value
        else:
            discarded.append(name)
    if not matched:
        warnings.warn(f"Cannot load {weight_path} (check the key names manually)", stacklevel=2)
        return
    own.update(matched)
    model.load_state_dict(own)
    print(f"Successfully loaded pretrained weights from {weight_path}")
    if discarded:
        print(f"Layers discarded due to unmatched keys or size: {discarded}")
