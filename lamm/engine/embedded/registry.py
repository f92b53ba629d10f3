"""Named classes that a config chooses from: trainers, data sets, evaluators."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from yacs.config import CfgNode

from lamm.errors import ConfigError, DataError, nearest
from lamm.log import logger


class ChoiceError(ConfigError, AssertionError, ValueError):
    """A name in the config that is not among those on offer (upstream: ValueError or AssertionError)."""


class InvalidDataError(DataError, AssertionError, ValueError):
    """A data set that can't be used as it is given (upstream: ValueError or AssertionError)."""


class Later:
    """Stands for a class that is imported when it is needed: when an attribute that is not among its traits is read.

    Args:
        module: dotted name of the module that defines it.
        name: of the class.
        traits: attributes of the class that can be read before.
    """

    def __init__(self, module: str, name: str, traits: Mapping[str, Any]) -> None:
        vars(self).update(traits)
        self.__module__, self.__name__ = module, name

    def load(self) -> Any:
        """The class."""
        return getattr(importlib.import_module(self.__module__), self.__name__)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.load(), name)


class Registry:
    """A table from a class's (or function's) own name to the class.

    Used as a decorator, `@TRAINER_REGISTRY.register()`, or called with the object, `TRAINER_REGISTRY.register(CoOp)`.

    Args:
        name: What the registry holds, in upper case; error messages quote it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._objects: dict[str, Any] = {}

    def register(self, obj: Any = None, force: bool = False) -> Callable[[Any], Any] | None:
        """Register `obj`, a class or function, under its `__name__`; without `obj`, return a decorator that does.

        Raises:
            KeyError: The name is taken and `force` is off.
        """

        def add(registered: Any) -> Any:
            name = registered.__name__
            if name in self._objects and not force:
                raise KeyError(f'An object named "{name}" was already registered in "{self._name}" registry')
            self._objects[name] = registered
            return registered

        if obj is None:
            return add
        add(obj)
        return None

    def get(self, name: str) -> Any:
        """The object registered as `name`, or else offered.

        Raises:
            KeyError: Nothing is registered or offered under that name.
        """
        offer = self.standing_offer(name, self._objects.get(name))
        if offer is None and name not in self._objects:
            raise KeyError(f'Object name "{name}" does not exist in "{self._name}" registry')
        return self._objects[name] if offer is None else offer

    def outline(self, name: str) -> Any:
        """The same for who asks for its traits alone: of an offer that is not imported yet, what stands for it.

        Raises:
            KeyError: Nothing is registered or offered under that name.
        """
        offer = None if name in self._objects else vars(self).get("_offers", {}).get(name)
        return offer if isinstance(offer, Later) and offer.__module__ not in sys.modules else self.get(name)

    def choose(self, name: str, kind: str, verbose: bool) -> Any:
        """The object that a config names; prints `Loading <kind>: <name>` if verbose.

        Raises:
            ChoiceError: (a ValueError) nothing is registered under that name.
        """
        check_availability(name, self.registered_names())
        if verbose:
            print(f"Loading {kind}: {name}")
        return self.get(name)

    def registered_names(self) -> list[str]:
        """All names, in the order of registration, those that are only offered last."""
        return self.with_offers(list(self._objects))

    # Dassl's own registries are given these three methods too (`upstream`), so they rely on nothing of this class.

    def offer(self, obj: Any) -> None:
        """Have `obj` answer to its `__name__` for as long as nothing is registered under that.

        An offer takes no name: others register theirs before it or after it, and theirs answer. A `Later` has the class
        that it stands for answer.
        """
        vars(self).setdefault("_offers", {})[obj.__name__] = obj

    def standing_offer(self, name: str, registered: Any) -> Any:
        """What is offered as `name`; None where something is registered so, which the log tells once."""
        offers = vars(self).get("_offers", {})
        if registered is None or name not in offers:
            offer = offers.get(name)
            return offer.load() if isinstance(offer, Later) else offer
        offer = offers.pop(name)
        if registered.__module__ != offer.__module__:
            logger.info('"%s" is that of %s, not that of %s', name, registered.__module__, offer.__module__)
        return None

    def with_offers(self, names: list[str]) -> list[str]:
        """Registered names, and behind them the names that are only offered."""
        return [*names, *(name for name in vars(self).get("_offers", {}) if name not in names)]


def check_availability(requested: str, available: Iterable[str]) -> None:
    """Accept a name that is on offer.

    Raises:
        ChoiceError: (a ValueError) the name is not on offer; the message lists what is and the nearest name.
    """
    names = list(available)
    if requested not in names:
        guess = nearest(requested, names)
        hint = f" (do you mean [{guess}]?)" if guess else ""
        raise ChoiceError(f"The requested one is expected to belong to {names}, but got [{requested}]{hint}")


TRAINER_REGISTRY = Registry("TRAINER")
"""Trainers: classes called with the config."""

DATASET_REGISTRY = Registry("DATASET")
"""Data sets: classes called with the config that build a `DatasetBase`."""


def build_trainer(cfg: CfgNode) -> Any:
    """Build the trainer that `cfg.TRAINER.NAME` names.

    Raises:
        ChoiceError: (a ValueError) no such trainer is registered.
    """
    return TRAINER_REGISTRY.choose(cfg.TRAINER.NAME, "trainer", cfg.VERBOSE)(cfg)


def build_dataset(cfg: CfgNode) -> Any:
    """Build the data set that `cfg.DATASET.NAME` names.

    Raises:
        ChoiceError: (a ValueError) no such data set is registered.
    """
    return DATASET_REGISTRY.choose(cfg.DATASET.NAME, "dataset", cfg.VERBOSE)(cfg)
