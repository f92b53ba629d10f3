"""Folders, listings and JSON files, as trainers and data sets written for Dassl use them."""

import json
import os
import shutil
import urllib.request
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import PIL
from torch import Tensor, nn
from torch.utils.collect_env import get_pretty_env_info

from lamm.engine.embedded.checkpoint import load_checkpoint
from lamm.errors import CheckpointError, DataError, nearest
from lamm.files import atomic_path, write_text


def mkdir_if_missing(dirname: str | os.PathLike[str]) -> None:
    """Make a folder and its parents; an existing one is left alone."""
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
    """Write an object as JSON, indented by four, through a temporary file; makes the folder."""
    write_text(fpath, json.dumps(obj, indent=4, separators=(",", ": ")))


def listdir_nohidden(path: str | os.PathLike[str], sort: bool = False) -> list[str]:
    """The names in a folder that don't begin with a dot."""
    names = [name for name in os.listdir(path) if not name.startswith(".")]
    return sorted(names) if sort else names


def get_most_similar_str_to_a_from_b(a: str, b: Sequence[str]) -> str | None:
    """The text of `b` most like `a`, of equals the later one."""
    return nearest(a, b)


def tolist_if_not(x: Any) -> list[Any]:
    """`x` itself if it is a list, else a list that holds it alone."""
    return x if isinstance(x, list) else [x]


def download_url(url: str, dst: str | os.PathLike[str]) -> None:
    """Download `url` to the file `dst`, which appears only when complete.

    Raises:
        DataError: A scheme other than http and https, or a download that fails.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f'can\'t download "{url}": only http and https addresses are fetched')
    print(f'* url="{url}"')
    print(f'* destination="{dst}"')
    try:
        with atomic_path(dst) as temporary, urllib.request.urlopen(url) as source, open(temporary, "wb") as target:
            shutil.copyfileobj(source, target)
    except OSError as error:
        raise DataError(f'can\'t download "{url}" to {dst}: {error}; fetch it by hand and put it there') from error


def collect_env_info() -> str:
    """torch's report on the system, and the version of Pillow; takes a few seconds."""
    return f"{get_pretty_env_info()}\n        Pillow ({PIL.__version__})"


def count_num_param(model: nn.Module | None = None, params: Iterable[nn.Parameter] | None = None) -> int:
    """How many parameters a model, or a collection of parameters, has; frozen ones included."""
    if model is not None:
        params = model.parameters()
    if params is None:
        raise ValueError("count_num_param needs a model or parameters")
    return sum(parameter.numel() for parameter in params)


def open_all_layers(model: nn.Module) -> None:
    """Put the whole model in training mode and let all of it train."""
    model.train()
    model.requires_grad_(True)


def open_specified_layers(model: nn.Module, open_layers: str | Sequence[str]) -> None:
    """Let only the named children train; the others are frozen and put in evaluation mode.

    Raises:
        ValueError: A name that is no attribute of the model.
    """
    if isinstance(model, nn.DataParallel):
        model = model.module
    names = [open_layers] if isinstance(open_layers, str) else list(open_layers)
    for name in names:
        if not hasattr(model, name):
            raise ValueError(f'"{name}" is not an attribute of the model; give the name of a child')
    for name, child in model.named_children():
        child.train(name in names)
        child.requires_grad_(name in names)


def init_network_weights(model: nn.Module, init_type: str = "normal", gain: float = 0.02) -> None:
    """Initialise convolutions and linear layers; biases and the shifts of normalisation layers become 0.

    Args:
        model: Changed in place.
        init_type: `normal`, `xavier`, `kaiming` or `orthogonal`.
        gain: Standard deviation (`normal`) or gain (`xavier`, `orthogonal`).

    Raises:
        ValueError: An unknown `init_type`.
    """
    initialisers = {
        "normal": lambda weight: nn.init.normal_(weight, 0.0, gain),
        "xavier": lambda weight: nn.init.xavier_normal_(weight, gain=gain),
        "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0, mode="fan_in"),
        "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain=gain),
    }
    if init_type not in initialisers:
        raise ValueError(f'unknown init_type "{init_type}"; choose one of {list(initialisers)}')
    for module in model.modules():
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            initialisers[init_type](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)):
            if module.weight is not None:
                nn.init.ones_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


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
