"""The page in a real Chromium, as that of the report."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamm.review.findings import Review
from lamm.review.page import write_page
from tests.report.test_in_browser import browser, overflow, pytestmark  # noqa: F401

pytest.importorskip("imagehash", reason="the extra review is not installed")


@pytest.fixture
def opened(browser: Any, found: Review, tmp_path: Path) -> Iterator[Any]:  # noqa: F811
    write_page(found, tmp_path / "review.html", "Review", most=60)
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True, color_scheme="dark")
    page = context.new_page()
    page.goto((tmp_path / "review.html").as_uri())
    yield page
    context.close()


def test_the_page_fits_a_phone_and_is_dark_in_the_dark(opened: Any) -> None:
    assert overflow(opened) == 0
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 27)"
    assert opened.eval_on_selector_all("img", "all => all.filter(one => one.complete && !one.naturalWidth).length") == 0
