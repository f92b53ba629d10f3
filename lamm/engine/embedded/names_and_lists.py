"""Two small conversions that trainers written for Dassl import."""

from collections.abc import Sequence
from typing import Any

from lamm.suggest import nearest


def get_most_similar_str_to_a_from_b(a: str, b: Sequence[str]) -> str | None:
    """The text of `b` most like `a`, of equals the later one."""
    return nearest(a, b)


def tolist_if_not(x: Any) -> list[Any]:
    """`x` itself if it is a list, else a list that holds it alone."""
    return x if isinstance(x, list) else [x]
