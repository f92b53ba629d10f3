"""Make, judge, grow and hand over a classifier of photos in a browser, on this machine alone.

    lamm app
    lamm app --data my_projects --port 9000

The page is served until Ctrl-C. Everything is stored as it is done: the same command finds it again.
"""

import argparse
import os
from pathlib import Path

from lamm.app.project import data_folder
from lamm.commands.parser import Parser
from lamm.errors import ConfigError
from lamm.numbers import Range
from lamm.run.lock import locked

PORT = 8080


def main(arguments: argparse.Namespace) -> int:
    folder = Path(arguments.data).expanduser().absolute() if arguments.data else data_folder()
    # Read when NiceGUI is imported; it would take a folder in the place where one stands.
    os.environ["NICEGUI_STORAGE_PATH"] = str(folder / "page")
    try:
        import nicegui  # noqa: F401
    except ImportError as error:
        raise ConfigError(f'the page needs NiceGUI: pip install -e ".[app]" ({error})') from None
    from lamm.app.server import serve

    try:
        with locked(folder):
            serve(folder, arguments.host, arguments.port, not arguments.no_browser)
    except ConfigError as error:
        raise ConfigError(str(error).replace("--output-dir", "--data")) from None
    return 0


def parser() -> Parser:
    parser = Parser(description="Make, judge, grow and hand over a classifier of photos, in a browser.")
    parser.add_argument("--data", default="", metavar="DIR", help="where projects are stored (default: in your home)")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="listen here, for other machines too; the page then needs the token that is printed (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--port",
        type=Range(0, 65535),
        default=PORT,
        help=f"if it is taken, or 0, a free one (default: {PORT})",
    )
    parser.add_argument("--no-browser", action="store_true", help="don't open a browser, only print the address")
    return parser
