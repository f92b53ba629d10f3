"""Pickles read as plain data: no class is looked up, no code runs, and the work is bounded by the pickle's size.

Python's own unpickler can't be held to that, even if it finds no class: one memo index of 2³¹ costs it 16 GB, and a
dictionary's key of n tuples, each of which holds the one before twice, takes it 2ⁿ steps. So the few instructions that
data needs are followed here; `pickletools` takes them apart.
"""

import pickletools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

MOST_STEPS = 4_000_000
"""Instructions of a pickle, some ten seconds."""
MOST_VALUES = 500_000
"""An object that is held twice counts twice."""
MOST_LEVELS = 100
MOST_ODD_KEYS = 10_000
"""Keys of a dictionary that are not strings: their hashes can be chosen so that each meets all others."""
SCALARS = (type(None), bool, int, float, complex, str, bytes)


class PickleError(ValueError):
    """A pickle that is damaged, or wants more than data; the message is one phrase."""


@dataclass(frozen=True)
class Name:
    """The dotted name of a class or function, which is not looked up."""

    text: str


class Inert:
    """Stands for an object: the name of its class, and its state. None of its own code runs."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.state: dict[Any, Any] = {}


Calls = Mapping[str, Callable[..., Any]]


def read_pickle(
    file: IO[bytes],
    calls: Calls,
    stored: Callable[[Any], Any] | None = None,
    is_inert: Callable[[str], bool] = lambda name: True,
) -> Any:
    """The object of the next pickle in a file, of any protocol.

    Args:
        file: read up to the pickle's end.
        calls: what stands in for classes and functions when the pickle calls them, by dotted name.
        stored: gives the object of a persistent id.
        is_inert: whether an object of a class that is not among `calls`, or what such a function would return, becomes
            `Inert`; others are refused.

    Raises:
        PickleError: it is damaged, too large, or asks for something else.
    """
    machine = _Machine({**PLAIN_CALLS, **calls}, stored, is_inert)
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step > MOST_STEPS:
                raise PickleError(f"its pickle has more than {MOST_STEPS:,} instructions")
            if opcode.name == "STOP":
                return machine.stack.pop()
            machine.follow(opcode.name, argument)
    except PickleError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        reason = " ".join(str(error).split())[:100]
        raise PickleError(f"its pickle is damaged ({reason or type(error).__name__})") from None
    raise PickleError("its pickle has no end")


def plain(value: Any, keep: tuple[type, ...] = (), names: Mapping[str, Any] | None = None) -> Any:
    """A copy with a dictionary of its state in place of each `Inert`; entries that are functions or classes left out.

    Args:
        value: of `read_pickle`.
        keep: types beside numbers, strings and containers that stay as they are.
        names: what some of the names mean; the others are of functions or classes.

    Raises:
        PickleError: it is nested too deeply, holds itself, or grows too large by what it holds many times.
    """
    left, names = MOST_VALUES, names or {}

    def is_code(value: Any) -> bool:
        return isinstance(value, Name) and value.text not in names

    def copy(value: Any, level: int) -> Any:
        nonlocal left
        left -= 1
        if level > MOST_LEVELS:
            raise PickleError(f"it is nested more than {MOST_LEVELS} levels deep, or holds itself")
        if left < 0:
            raise PickleError(f"it holds more than {MOST_VALUES:,} values")
        if isinstance(value, Name):
            return names.get(value.text, value.text)
        if isinstance(value, Inert):
            return copy(value.state, level)
        if isinstance(value, dict):
            items = [(key, item) for key, item in value.items() if not is_code(item)]
            return type(value)((copy(key, level + 1), copy(item, level + 1)) for key, item in items)
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)([copy(item, level + 1) for item in value])
        if isinstance(value, (*SCALARS, *keep)):
            return value
        raise PickleError(f"it holds a {type(value).__name__}")

    return copy(value, 0)


def _require_key(key: Any) -> None:
    """The hash of tuples within tuples may take exponential time; those of huge numbers can be made all the same."""
    parts = key if isinstance(key, tuple) else (key,)
    if len(parts) > 100 or (parts is key and any(isinstance(part, tuple) for part in parts)):
        raise PickleError("a dictionary or set in it has nested tuples as keys")
    if any(isinstance(part, complex) or (isinstance(part, int) and abs(part) > 2**53) for part in parts):
        raise PickleError("a dictionary or set in it has huge or complex numbers as keys")


def _set_items(target: Any, items: list[Any]) -> None:
    entries = target.state if isinstance(target, Inert) else target
    if not isinstance(entries, dict):
        raise PickleError(f"it sets an item of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        _require_key(key)
        if not isinstance(key, str) and len(entries) >= MOST_ODD_KEYS:
            raise PickleError(f"a dictionary in it has more than {MOST_ODD_KEYS:,} keys that are not strings")
        entries[key] = value


def _set_of(items: Any) -> Any:
    entries: dict[Any, Any] = {}
    _set_items(entries, [part for item in items for part in (item, None)])
    return set(entries)


def _ordered(items: Any = ()) -> Any:
    entries: OrderedDict[Any, Any] = OrderedDict()
    _set_items(entries, [part for item in items for part in (item[0], item[1])])
    return entries


PLAIN_CALLS: Calls = {
    "collections.OrderedDict": _ordered,
    "collections.Counter": lambda items=(): dict(_ordered(dict(items).items())),
    "collections.defaultdict": lambda factory=None: {},
    "builtins.set": _set_of,
    "__builtin__.set": _set_of,
    "builtins.complex": complex,
    "__builtin__.complex": complex,
    "_codecs.encode": lambda text, encoding: text.encode("latin-1" if encoding == "latin1" else "ascii"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}
ARGUMENTS = frozenset({
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
})  # fmt: skip
SHORT_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Machine:
    """A pickle's stack and memo."""

    def __init__(self, calls: Calls, stored: Callable[[Any], Any] | None, is_inert: Callable[[str], bool]) -> None:
        self.calls, self.stored, self.is_inert = calls, stored, is_inert
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # a stack for each mark
        self.memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        """One instruction."""
        stack = self.stack
        if name in ARGUMENTS:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name == "MARK":
            self.below.append(stack)
            self.stack = []
        elif name in SHORT_TUPLES:
            stack[-SHORT_TUPLES[name] :] = [tuple(stack[-SHORT_TUPLES[name] :])]
        elif name in ("TUPLE", "LIST", "DICT", "FROZENSET", "APPENDS", "SETITEMS", "ADDITEMS", "POP_MARK"):
            self.stack = self.below.pop()
            self._take(name, stack)
        elif name == "APPEND":
            self._take("APPENDS", [stack.pop()])
        elif name == "SETITEM":
            items = [stack.pop(), stack.pop()]
            self._take("SETITEMS", items[::-1])
        elif name == "GLOBAL":
            stack.append(Name(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(Name(f"{module}.{attribute}"[:300]))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(self._result(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            self._build(stack[-1], state)
        elif name in ("PERSID", "BINPERSID") and self.stored is not None:
            stack.append(self.stored(argument if name == "PERSID" else stack.pop()))
        elif name == "POP":
            stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise PickleError(f"its pickle has the instruction {name}, which plain data does not need")

    def _take(self, name: str, items: list[Any]) -> None:
        """Add what stood above a mark to what lies below it."""
        if name == "TUPLE":
            self.stack.append(tuple(items))
        elif name == "LIST":
            self.stack.append(items)
        elif name == "DICT":
            self.stack.append({})
            _set_items(self.stack[-1], items)
        elif name == "FROZENSET":
            self.stack.append(frozenset(_set_of(items)))
        elif name == "SETITEMS":
            _set_items(self.stack[-1], items)
        elif name == "APPENDS":
            if not isinstance(self.stack[-1], list):
                raise PickleError(f"it appends to a {type(self.stack[-1]).__name__}")
            self.stack[-1].extend(items)
        elif name == "ADDITEMS":
            if not isinstance(self.stack[-1], set):
                raise PickleError(f"it adds to a {type(self.stack[-1]).__name__}")
            self.stack[-1].update(_set_of(items))

    def _result(self, function: Any, arguments: Any) -> Any:
        if not isinstance(function, Name) or not isinstance(arguments, tuple):
            raise PickleError("it calls something that is not the name of a class or function")
        if function.text in self.calls:
            return self.calls[function.text](*arguments)
        if self.is_inert(function.text):
            return Inert(function.text)
        raise PickleError(f"it asks for {function.text[:80]}, which is not data")

    def _build(self, target: Any, state: Any) -> None:
        if isinstance(target, Inert):
            for part in state if isinstance(state, tuple) else (state,):  # a class with slots has two
                if isinstance(part, dict):
                    target.state.update(part)
        elif not isinstance(target, OrderedDict):  # whose state is the version numbers of a `state_dict`
            raise PickleError(f"it sets the state of a {type(target).__name__}")
