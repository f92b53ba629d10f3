"""Named classes that a config chooses from: trainers, data sets, evaluators."""

from collections.abc import Callable, Iterable
from typing import Any

from lamm.engine.embedded.errors import ChoiceError
from lamm.suggest import nearest


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
        """Register `obj` under its `__name__`; without `obj`, return a decorator that does.

        Args:
            obj: The class or function.
            force: Replace an object of the same name silently.

        Raises:
            KeyError: The name is taken and `force` is off.
        """
        if obj is not None:
            self._add(obj, force)
            return None

        def decorate(decorated: Any) -> Any:
            self._add(decorated, force)
            return decorated

        return decorate

    def get(self, name: str) -> Any:
        """The object registered as `name`.

        Raises:
            KeyError: Nothing is registered under that name.
        """
        if name not in self._objects:
            raise KeyError(f'Object name "{name}" does not exist in "{self._name}" registry')
        return self._objects[name]

    def registered_names(self) -> list[str]:
        """All names, in the order of registration."""
        return list(self._objects)

    def _add(self, obj: Any, force: bool) -> None:
        name = obj.__name__
        if name in self._objects and not force:
            raise KeyError(f'An object named "{name}" was already registered in "{self._name}" registry')
        self._objects[name] = obj


def check_availability(requested: str, available: Iterable[str]) -> None:
    """Accept a name that is on offer.

    Raises:
        ChoiceError: (a ValueError) the name is not on offer; the message lists what is and the nearest name.
    """
    names = list(available)
    if requested not in names:
        raise ChoiceError(
            f"The requested one is expected to belong to {names}, "
            f"but got [{requested}] (do you mean [{nearest(requested, names)}]?)"
        )
