"""How far a fit is: told to a function of the caller's, or shown as a bar."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

Progress = Callable[[float, str], None]
"""Is told the share that is done, from 0 to 1, and what is being done; it may raise an exception to stop the work."""

FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"


@contextmanager
def told(progress: Progress | None) -> Iterator[Progress]:
    """What a work tells its progress to: the caller's function, or a bar on a terminal or in a notebook.

    Elsewhere nothing is shown; nor is it with the environment variable `TQDM_DISABLE=1`.

    Args:
        progress: the caller's; None: the bar.
    """
    if progress is not None:
        yield progress
        return
    is_terminal = sys.stderr is not None and sys.stderr.isatty()  # None: of a program without a console
    is_seen = is_terminal or "ipykernel" in sys.modules  # a notebook's stderr isn't a terminal
    with tqdm(total=1.0, leave=False, bar_format=FORMAT, **({} if is_seen else {"disable": True})) as bar:

        def show(share: float, what: str) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update(max(0.0, share - bar.n))

        yield show


class Shares:
    """Several works, one after the other, told as one.

    Args:
        progress: see `Progress`.
        works: how many there are.
    """

    def __init__(self, progress: Progress, works: int) -> None:
        self._progress, self._works, self._done = progress, works, -1

    def next(self) -> Progress:
        """What the next work tells its progress to."""
        self._done += 1
        done = self._done
        return lambda share, what: self._progress(min(1.0, (done + share) / self._works), what)
