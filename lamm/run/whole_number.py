"""Whole numbers on a command line."""

import argparse
import re
from collections.abc import Callable


def at_least(lowest: int) -> Callable[[str], int]:
    """A parser's type: a whole number from `lowest` up."""

    def number(text: str) -> int:
        if not re.fullmatch("[0-9]+", text) or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"must be a whole number from {lowest} up, got {text}")
        return int(text)

    return number
