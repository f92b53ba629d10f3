"""A browser for the tests of this folder; skipped with a reason where there is none."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.app.served import CAMERA, CHROMIUM


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium with a camera that shows a test picture."""
    pytest.importorskip("nicegui", reason='the page needs NiceGUI: pip install -e ".[app]"')
    playwright_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium, or name it in $CHROMIUM")
    with playwright_api.sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--lang=en", *CAMERA]
        )
        yield browser
        browser.close()
