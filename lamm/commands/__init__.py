"""The commands: `lamm NAME …`, and `python tools/NAME.py …` in a checkout, run the same module of this package.

A command's module has `parser()`, its arguments, and `main(arguments)`, which returns the exit code. Where computing
takes torch, `NAME_….py` has that part.
"""

# Nothing of ours is imported here: from the first moment that counts, Ctrl-C ends a command with one line.
import atexit
import gc
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

# Name → what it does, as `lamm --help` lists it; the module of a name has an underscore for each hyphen.
COMMANDS = {
    "app": "a page in the browser: make, judge and grow a classifier of your photos",
    "train": "one run: train a prompt learner on one data set with one seed, then test it",
    "run": "a method's experiment: several seeds or steps, then the table over them",
    "sweep": "a whole grid of runs, several at once, on one machine, Ray or Slurm",
    "parse-results": "the table of results: mean and spread over seeds",
    "plot-few-shot": "few-shot curves as a picture",
    "report": "one HTML page about many runs",
    "fit": "make a classifier from a folder of photos, in one file",
    "add": "add classes or photos to a classifier file",
    "update": "learn what is new in a folder of photos",
    "merge": "make one classifier file of several",
    "predict": "classify photos with what a run or a classifier file has learned",
    "export": "write what a run has learned for other programs",
    "review": "probably wrong labels, duplicates, blurred photos, and what to photograph next",
    "backbones": "list the CLIP models: size, licence, and whether their weights are here",
    "get": "fetch the weights of CLIP models, or say what to carry over",
    "check-data": "check data on disk, and say what is missing",
    "prepare-data": "lay out a benchmark data set from its archives",
    "benchmark": "time and memory of a training step, beside the original code's; ways of reading photos",
    "make-demo": "train the embedded model anew, or choose the demo configs' learning rate",
}
MODULES = {"run": "series"}
INTERRUPTED = 130
OBJECTS = 10_000
"""Number of new objects after which Python looks for garbage; with 700, a prediction takes 0.3 s longer."""


@contextmanager
def importing() -> Iterator[None]:
    """While modules are imported: Ctrl-C ends the process at once, and Python does not look for garbage.

    An import may turn the exception of Ctrl-C into another one. Modules stay, and looking at their objects again and
    again takes an eighth of the time of importing torch and its libraries; they are not looked at later either.
    """

    def stop(*_: object) -> NoReturn:
        try:
            os.write(2, b"interrupted\n")
        finally:
            os._exit(INTERRUPTED)

    usual, collects, modules = signal.getsignal(signal.SIGINT), gc.isenabled(), len(sys.modules)
    if usual is signal.default_int_handler:  # a shell has the commands behind `&` ignore it
        signal.signal(signal.SIGINT, stop)
    gc.disable()
    try:
        yield
    finally:
        if collects:
            if len(sys.modules) > modules:
                gc.freeze()
            gc.enable()
        if usual is signal.default_int_handler:
            signal.signal(signal.SIGINT, usual)


def call(name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code.

    Args:
        name: one of `COMMANDS`.
        arguments: the words behind its name; None: those of this process.
    """
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)  # or it looks at every object of torch on the way out, for more than a second
    with importing():
        from lamm.commands.parser import leave, open_streams
    open_streams()

    def body() -> NoReturn:
        with importing():
            module = importlib.import_module(f"lamm.commands.{MODULES.get(name, name.replace('-', '_'))}")
            if name == "train":  # torchrun can start it several times
                from lamm.parallel.command import run
            else:
                from lamm.commands.parser import run
        run(module.parser(), module.main, arguments)

    leave(body)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """The console script `lamm`."""
    words = list(sys.argv[1:] if words is None else words)
    name = words[0].replace("_", "-") if words else ""
    if name in COMMANDS:
        sys.argv = [f"lamm {name}", *words[1:]]
        call(name, words[1:])
    with importing():
        from lamm.commands.parser import leave, open_streams
    open_streams()
    leave(lambda: overview(name, *words))


def overview(name: str, *words: str) -> int:
    """What `lamm` says without a command."""
    if name in ("", "-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print("usage: lamm COMMAND ...\n\ncommands (each has --help):")
        print("\n".join(f"  {known:<{width}}  {what}" for known, what in COMMANDS.items()))
        return 0 if name else 2
    if name == "--version":
        import lamm

        print(f"lamm {lamm.__version__}")
        return 0
    from lamm.commands.parser import tell
    from lamm.errors import unknown_name

    return tell(f"{unknown_name('command', words[0], COMMANDS)}; see lamm --help")
