"""Ranges of numbers: what a config key, a command's argument or a field of a file may hold."""

import argparse
import re
import sys
from dataclasses import dataclass
from typing import Any

LARGE = 1_000_000
"""The end of a range that has no other: more of anything asks for more than a machine has."""


@dataclass(frozen=True)
class Range:
    """The finite numbers from `low` to `high`, both included.

    >>> 3 in Range(1, 8), 9 in Range(1, 8), True in Range(0, 8), 2.5 in Range(0, 8)
    (True, False, False, False)
    >>> 2.5 in Range(0, 8, whole=False)
    True
    >>> f"{Range(1, 8)}; {Range(-1)}; {Range(0, 1, whole=False)}"
    'a whole number from 1 to 8; a whole number from -1 up; a number from 0 to 1'

    Attributes:
        low: the smallest.
        high: the largest.
        whole: whether they are whole numbers, as Python's `int`.
    """

    low: float
    high: float = LARGE
    whole: bool = True

    def __contains__(self, value: object) -> bool:
        """Whether the value is one of the numbers; a boolean is not a number."""
        kinds = int if self.whole else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        end = "up" if self.high >= LARGE else f"to {self.high}"
        return f"a {'whole ' * self.whole}number from {self.low} {end}"

    def refuse(self, value: object) -> str:
        """The end of a message about a value that is none of them."""
        if isinstance(value, int | float) and value > self.high:
            return f"must be at most {self.high}, got {shown(value)}"
        return f"must be {self}, got {shown(value)}"

    def __call__(self, text: str) -> Any:
        """The number that a command's argument is; makes a range the `type` of an argument.

        Raises:
            argparse.ArgumentTypeError: it is not a number of this range.
        """
        # Not `int` alone, which takes " 1_0" and other scripts' digits, and fails on thousands of digits.
        value: str | int | float = int(text) if re.fullmatch("-?[0-9]{1,1000}", text) else text
        if not self.whole and re.fullmatch(r"-?[0-9]{0,100}\.[0-9]{1,100}", text):
            value = float(text)
        if isinstance(value, str) or value not in self:
            raise argparse.ArgumentTypeError(self.refuse(value))
        return value


SEEDS = Range(0, 2**32 - 1)
"""Seeds that all random generators take."""
PROCESSES = Range(1, 512)
"""Processes or threads that are started at once."""
FINITE = Range(-sys.float_info.max, sys.float_info.max, whole=False)
"""All finite numbers."""


def shown(value: object, longest: int = 60) -> str:
    """A value for a message, on one line that is never long.

    >>> shown("many"), shown((1, 2)), shown("9" * 100)
    ('many', '(1, 2)', '9999999999999999999999999999999999999999999999999999999999 …')
    """
    try:
        text = " ".join((value if isinstance(value, str) else repr(value)).split())
    except (ValueError, RecursionError):  # a number of thousands of digits
        text = f"a {type(value).__name__} that is too large to show"
    return text if len(text) <= longest else f"{text[: longest - 2]} …"
