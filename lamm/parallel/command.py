"""A command that torchrun can start several times: in place of `lamm.commands.run`."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from lamm import commands
from lamm.errors import ConfigError
from lamm.parallel.launch import Launch, launch_of
from lamm.parallel.silence import fall_silent, tell_errors_alone

Main = Callable[[argparse.Namespace], int | None]


def run(parser: commands.Parser, main: Main, arguments: Sequence[str] | None = None) -> NoReturn:
    """Parse, run `main` with the other processes, if there are any, and leave with its exit code.

    Only the first process prints; the one that fails first says why.
    """

    def launched(parsed: argparse.Namespace) -> int | None:
        launch = launch_of()
        return main(parsed) if launch is None else _run_with_others(main, parsed, launch)

    place = _place()
    if place is None:
        commands.run(parser, launched, arguments)
    # Of torch, before it is imported: what it warns of, each process would.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    if place.rank > 0:
        fall_silent()
    try:
        commands.run(parser, launched, arguments)
    except SystemExit as stop:
        if stop.code in (None, 0):
            _leave()
        raise


def _run_with_others(main: Main, arguments: argparse.Namespace, launch: Launch) -> int | None:
    # Imported here since torch comes with them, which --help does not wait for.
    from lamm.parallel.failure import one_voice
    from lamm.parallel.group import joined_group
    from lamm.parallel.ranks import current_ranks

    if launch.rank > 0:
        tell_errors_alone()
    with joined_group(launch) as store, one_voice(store):
        code = main(arguments)
        current_ranks().barrier()
    return code


def _leave() -> NoReturn:
    """End a run that is done at once: what torch's threads do while the interpreter is taken down can't fail it."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


def _place() -> Launch | None:
    """This process's place; None where it is on its own, or half told, which `launched` refuses aloud."""
    try:
        return launch_of()
    except ConfigError:
        return None
