"""Messages for a name that does not exist: what there is, and the nearest one."""

from collections.abc import Iterable
from difflib import SequenceMatcher


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name` (case ignored; of equals the later one), None when nothing is known."""
    best, best_ratio = None, -1.0
    for candidate in known:
        ratio = SequenceMatcher(None, name.lower(), candidate.lower()).ratio()
        if ratio >= best_ratio:
            best, best_ratio = candidate, ratio
    return best


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """One line such as `unknown trainer "LAM"; did you mean "LAMM"? Known: CoOp, LAMM`."""
    names = list(known)
    guess = nearest(name, names)
    hint = f'; did you mean "{guess}"?' if guess is not None else ""
    return f'unknown {kind} "{name}"{hint} Known: {", ".join(sorted(names)) or "none"}'
