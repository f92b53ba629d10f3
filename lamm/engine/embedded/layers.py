"""Opening, counting and initialising the layers of a network."""

from collections.abc import Iterable, Sequence

from torch import nn


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
