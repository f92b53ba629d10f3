"""The commands: `lamm NAME …`, and `python tools/NAME.py …` in a checkout, run the same module of this package.

A command's module has `parser()`, its arguments, and `main(arguments)`, which returns the exit code.
"""

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

# Name → what it does, as `lamm --help` lists it; the module of a name has an underscore for each hyphen.
COMMANDS = {
    "train": "one run: train a prompt learner on one data set with one seed, then test it",
    "run": "a method's experiment: several seeds or steps, then the table over them",
    "sweep": "a whole grid of runs, several at once, on one machine, Ray or Slurm",
    "parse-results": "the table of results: mean and spread over seeds",
    "plot-few-shot": "few-shot curves as a picture",
    "report": "one HTML page about many runs",
    "predict": "classify photos with what a run has learned",
    "export": "write what a run has learned for other programs",
    "check-data": "check data on disk, and say what is missing",
    "prepare-data": "lay out a benchmark data set from its archives",
    "benchmark": "time and memory of a training step, beside the original code's",
    "benchmark-decoding": "time of decoding photos",
    "benchmark-loading": "time of loading an epoch's images",
    "choose-demo-rate": "choose the demo configs' learning rate on validation images",
    "train-tiny-clip": "train the embedded model anew",
}
MODULES = {"run": "series"}


def call(name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and leave with its exit code.

    Args:
        name: one of `COMMANDS`.
        arguments: the words behind its name; None: those of this process.
    """
    module = importlib.import_module(f"lamm.commands.{MODULES.get(name, name.replace('-', '_'))}")
    if name == "train":  # torchrun can start it several times
        from lamm.parallel.command import run
    else:
        from lamm.commands.parser import run
    run(module.parser(), module.main, arguments)


def main(words: Sequence[str] | None = None) -> NoReturn:
    """The console script `lamm`."""
    words = list(sys.argv[1:] if words is None else words)
    name = words[0].replace("_", "-") if words else ""
    if name in COMMANDS:
        sys.argv = [f"lamm {name}", *words[1:]]
        call(name, words[1:])
    if name in ("", "-h", "--help", "help"):
        width = max(map(len, COMMANDS))
        print("usage: lamm COMMAND ...\n\ncommands (each has --help):")
        print("\n".join(f"  {known:<{width}}  {what}" for known, what in COMMANDS.items()))
        sys.exit(0 if name else 2)
    if name == "--version":
        import lamm

        print(f"lamm {lamm.__version__}")
        sys.exit(0)
    from lamm.errors import unknown_name

    print(f"error: {unknown_name('command', words[0], COMMANDS)}; see lamm --help", file=sys.stderr)
    sys.exit(2)
