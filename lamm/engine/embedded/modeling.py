"""Image classifiers made of a backbone, an optional head and a linear layer. Prompt learners don't use them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torchvision
from torch import Tensor, nn
from yacs.config import CfgNode

from lamm.engine.embedded.registry import Registry, check_availability

BACKBONE_REGISTRY = Registry("BACKBONE")
HEAD_REGISTRY = Registry("HEAD")
NETWORK_REGISTRY = Registry("NETWORK")


def _builder(registry: Registry, name: str, verbose: bool, kind: str, **kwargs: Any) -> Any:
    check_availability(name, registry.registered_names())
    if verbose:
        print(f"{kind}: {name}")
    return registry.get(name)(**kwargs)


def build_backbone(name: str, verbose: bool = True, **kwargs: Any) -> Any:
    """The registered backbone of that name; it answers features and has their width as `out_features`."""
    return _builder(BACKBONE_REGISTRY, name, verbose, "Backbone", **kwargs)


def build_head(name: str, verbose: bool = True, **kwargs: Any) -> Any:
    """The registered head of that name."""
    return _builder(HEAD_REGISTRY, name, verbose, "Head", **kwargs)


def build_network(name: str, verbose: bool = True, **kwargs: Any) -> Any:
    """The registered network of that name."""
    return _builder(NETWORK_REGISTRY, name, verbose, "Network", **kwargs)


def _resnet(name: str, pretrained: bool = True, **kwargs: Any) -> Any:
    """torchvision's ResNet without its classifier."""
    network = torchvision.models.get_model(name, weights="IMAGENET1K_V1" if pretrained else None)
    network.out_features = network.fc.in_features
    network.fc = nn.Identity()
    return network


def _register_resnet(name: str) -> None:
    builder: Callable[..., Any] = partial(_resnet, name)
    builder.__name__ = name  # type: ignore[attr-defined]
    BACKBONE_REGISTRY.register(builder)


for _name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
    _register_resnet(_name)


class SimpleNet(nn.Module):
    """Backbone, head if one is named, and a linear classifier.

    Args:
        cfg: The config; `VERBOSE` is read.
        model_cfg: The node with `BACKBONE` and `HEAD`.
        num_classes: Outputs of the classifier; 0 for none.
    """

    def __init__(self, cfg: CfgNode, model_cfg: CfgNode, num_classes: int, **kwargs: Any) -> None:
        super().__init__()
        backbone = model_cfg.BACKBONE
        self.backbone = build_backbone(backbone.NAME, verbose=cfg.VERBOSE, pretrained=backbone.PRETRAINED, **kwargs)
        width = self.backbone.out_features
        self.head = None
        if model_cfg.HEAD.NAME:
            head = model_cfg.HEAD
            self.head = build_head(
                head.NAME,
                verbose=cfg.VERBOSE,
                in_features=width,
                hidden_layers=head.HIDDEN_LAYERS,
                activation=head.ACTIVATION,
                bn=head.BN,
                dropout=head.DROPOUT,
            )
            width = self.head.out_features
        self.classifier = nn.Linear(width, num_classes) if num_classes > 0 else None
        self._width = width

    @property
    def fdim(self) -> int:
        """Width of the features."""
        return self._width

    def forward(self, x: Tensor, return_feature: bool = False) -> Any:
        """Logits, or features without a classifier; with `return_feature` both."""
        features = self.backbone(x)
        if self.head is not None:
            features = self.head(features)
        if self.classifier is None:
            return features
        logits = self.classifier(features)
        return (logits, features) if return_feature else logits
