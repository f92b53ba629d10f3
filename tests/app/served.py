"""The page's server as a program of its own, and a browser that tells what the page says and asks for."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TOOL = Path(__file__).resolve().parents[2] / "tools" / "app.py"
CHROMIUM = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PATIENCE = 300
"""Seconds for what takes a few on a machine with nothing else to do."""


class Server:
    """`lamm app` on a free port.

    Args:
        data: the data folder.
        arguments: further ones.
        port: 0: any that is free.
    """

    def __init__(self, data: Path, arguments: Sequence[str] = (), port: int = 0) -> None:
        words = [sys.executable, str(TOOL), "--no-browser", "--port", str(port), "--data", str(data), *arguments]
        self.log = data.parent / "server.log"
        # NiceGUI is another one in the programs that pytest starts.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http\S+", line)
        assert found, line + self.log.read_text(encoding="utf-8", errors="replace")
        self.url = found[0]
        self.port = urlsplit(self.url).port
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(self.url, timeout=5).close()
                return
            except OSError as error:
                if getattr(error, "code", 0) == 403:
                    return
                time.sleep(0.1)
        raise TimeoutError(self.url)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Watched:
    """A page of a browser; what it says on the console and what it asks other hosts for is kept.

    Args:
        browser: of playwright.
        size: of the window.
    """

    def __init__(self, browser: Any, size: tuple[int, int] = (1280, 900)) -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.said: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.on("websocket", lambda socket: self._asked(socket.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(("data:", "blob:")) and urlsplit(url).hostname != "127.0.0.1":
            self.foreign.append(url)

    def button(self, name: str) -> Any:
        """The button of that name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def part(self, name: str) -> None:
        """Go to a part of the project's page."""
        self.page.get_by_role("tab", name=name).click()

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(width))
