"""Small functions of `dassl.utils` that trainers and data sets of the CoOp family import."""

import json
import os
import platform
import random
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lamm.engine.embedded.checkpoint import load_checkpoint
from lamm.errors import CheckpointError
from lamm.files import write_text


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy, torch and all CUDA devices.

    Raises:
        ValueError: A seed below 0 or above 2³² − 1.
    """
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    torch.cuda.manual_seed_all(seed)


def mkdir_if_missing(dirname: str | os.PathLike[str]) -> None:
    """Create a folder and its parents; an existing one is left alone."""
    os.makedirs(dirname, exist_ok=True)


def check_isfile(fpath: str | os.PathLike[str]) -> bool:
    """Whether a file exists; warns if not."""
    exists = os.path.isfile(fpath)
    if not exists:
        warnings.warn(f'No file found at "{fpath}"', stacklevel=2)
    return exists


def read_json(fpath: str | os.PathLike[str]) -> Any:
    """The content of a JSON file."""
    with open(fpath, encoding="utf-8") as file:
        return json.load(file)


def write_json(obj: Any, fpath: str | os.PathLike[str]) -> None:
    """Write an object as JSON, indented by four, through a temporary file; creates the folder."""
    write_text(fpath, json.dumps(obj, indent=4, separators=(",", ": ")))


def listdir_nohidden(path: str | os.PathLike[str], sort: bool = False) -> list[str]:
    """The names in a folder that do not begin with a dot."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names


def collect_env_info() -> str:
    """Python, the system, torch and its devices, and the versions of the packages that have been imported.

    torch's own report starts programs, `pip` among them, and takes more than half a second.
    """
    cuda = torch.cuda.is_available()
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())] if cuda else []
    names = [name for name in list(sys.modules) if "." not in name and name not in sys.stdlib_module_names]
    versions = {name: getattr(sys.modules[name], "__dict__", {}).get("__version__") for name in names}
    packages = sorted(f"{name} {version}" for name, version in versions.items() if isinstance(version, str))
    return "\n".join(
        [
            f"Python {sys.version}",
            f"{platform.platform()}, {os.cpu_count()} cores ({torch.backends.cpu.get_cpu_capability()})",
            f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, built for CUDA {torch.version.cuda}",
            f"cuDNN {torch.backends.cudnn.version() if cuda else '-'}, GPUs: {', '.join(gpus) or 'none'}",
            f"Packages: {', '.join(packages)}",
        ]
    )


def count_num_param(model: nn.Module | None = None, params: Iterable[nn.Parameter] | None = None) -> int:
    """How many parameters a model, or a collection of parameters, has; frozen ones included."""
    if model is not None:
        params = model.parameters()
    if params is None:
        raise ValueError("count_num_param needs a model or parameters")
    return sum(parameter.numel() for parameter in params)


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
