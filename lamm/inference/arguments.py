"""Arguments of the commands that use a run's folder."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lamm.commands import Parser
from lamm.errors import ConfigError

if TYPE_CHECKING:
    import torch


def add_run_arguments(parser: Parser) -> None:
    """The run's folder, and what may have to be said about it."""
    parser.add_argument("run_dir", metavar="RUN_DIR", help="output folder of a run, such as output/…/seed1")
    parser.add_argument(
        "--backbone-path", default="", metavar="FILE", help="CLIP's weights, where they are not in the run's place"
    )
    parser.add_argument(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="FILE_OR_MODULE",
        help="code of the run's trainer, where it is not ours",
    )


def imported_extensions(specs: Sequence[str]) -> list[Callable[[Any], None]]:
    """Import the code of other trainers; the functions by which it adds config keys.

    Has to come before the import of our trainers, which take only names that are still free.

    Raises:
        ConfigError: nothing of that name, or its import fails.
    """
    # Imported here so that --help is quick, and so that an engine that can't run is one line like any mistake.
    from lamm.engine.foreign import import_file_or_module

    modules = [import_file_or_module(spec) for spec in specs]
    return [module.extend_cfg for module in modules if hasattr(module, "extend_cfg")]


def chosen_device(name: str) -> "torch.device":
    """The device of that name; without one a GPU if there is one.

    Raises:
        ConfigError: there is no such device, or it can't be used.
    """
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).split("\n")[0].split(". ")[0]
        raise ConfigError(f"--device {name} can't be used: {reason}") from error
    return device
