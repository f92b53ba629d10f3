"""The page in a real Chromium: no error, nothing loaded, clicked through, on a phone and on paper.

Needs Chromium (Debian's package) on the PATH or in `$CHROMIUM`; the tests are skipped without it."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lamm.report.page import write_report
from tests.report.report_runs import LABELS, LEARNED, RunTree, write_demo

playwright_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or name it in $CHROMIUM"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the demo runs; LAMM has odd names and 16-shot panels with predictions on both data sets."""
    folder = tmp_path_factory.mktemp("browser")
    tree = RunTree(folder)
    write_demo(tree)
    names = ['<b>"&amp;', "a rather long name of a class " * 4, "x" * 150]
    tree.full_run(LABELS, LEARNED[1], names, trainer="MaPLe", cfg="tiny_ep50+" + "LAMBDA_WC=0.123456+" * 5)
    write_report(tree.material(), folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium."""
    with playwright_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def opened(browser: Any, report: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page, opened from the disk without a network; its console must stay empty, and it must load nothing."""
    width, height = getattr(request, "param", (1280, 900))
    context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
    page = context.new_page()
    said: list[str] = []
    loaded: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: loaded.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert said == []
    assert [url for url in loaded if not url.startswith("data:")] == [report.as_uri()]


PHONE = (390, 844)


def overflow(page: Any) -> int:
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_a_heading_sorts_its_column_and_a_second_click_turns_it(opened: Any) -> None:
    table = "#headline table >> nth=1"
    rows = lambda: opened.locator(table).evaluate(  # noqa: E731
        "table => [...table.tBodies[0].rows].map(row => Number(row.cells[1].dataset.value ?? -1))"
    )
    before = rows()
    numbers = sorted(number for number in before if number >= 0)
    assert len(numbers) < len(before)  # MaPLe has no run at 1 shot
    heading = opened.locator(table).locator("thead th").nth(1)
    heading.locator("button").click()
    assert rows() == [*reversed(numbers), -1] != before
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").focus()
    opened.keyboard.press("Enter")
    assert rows() == [*numbers, -1]
    assert heading.get_attribute("aria-sort") == "ascending"


def test_names_are_sorted_by_the_alphabet(opened: Any) -> None:
    table = opened.locator("#cost table").first
    table.locator("thead button").first.click()
    names = table.evaluate("table => [...table.tBodies[0].rows].map(row => row.cells[0].textContent)")
    assert names == sorted(names, key=str.lower)
    assert len(set(names)) > 2


def test_data_sets_are_tabs_for_mouse_and_keyboard(opened: Any) -> None:
    digits, shapes = (opened.get_by_role("tab", name=name) for name in ("digits", "shapes"))
    panels = [opened.locator(f"#{tab.get_attribute('aria-controls')}") for tab in (digits, shapes)]
    assert [panel.is_visible() for panel in panels] == [True, False]
    shapes.click()
    assert [panel.is_visible() for panel in panels] == [False, True]
    assert shapes.get_attribute("aria-selected") == "true"
    opened.keyboard.press("ArrowRight")
    assert [panel.is_visible() for panel in panels] == [True, False]
    assert digits.evaluate("tab => tab === document.activeElement")
    opened.keyboard.press("End")
    assert [panel.is_visible() for panel in panels] == [False, True]


def test_method_and_shots_choose_a_panel_lamm_at_the_most_shots_first(opened: Any) -> None:
    section = opened.locator("section.dataset").first
    visible = section.locator(".panel:visible")
    shown = lambda: visible.evaluate_all("all => all.map(one => [one.dataset.method, one.dataset.shots])")  # noqa: E731
    assert shown() == [["LAMM", "16"]]
    section.locator("select.shots").select_option("1")
    assert shown() == [["LAMM", "1"]]
    section.locator("select.method").select_option("CoOp")
    assert shown() == [["CoOp", "1"]]
    assert section.locator(".none").is_hidden()
    section.locator("select.method").select_option(index=2)
    assert shown() == []
    assert section.locator(".none").is_visible()


def test_a_number_leads_to_its_runs(opened: Any) -> None:
    link = opened.locator("#headline a.trace:visible").last
    anchors = (link.get_attribute("data-sources") or link.get_attribute("href")[1:]).split()
    link.click()
    marked = opened.eval_on_selector_all("tbody.traced", "all => all.map(one => one.id)")
    assert marked == anchors
    opened.wait_for_function("window.scrollY > 0")
    assert opened.locator(f"#{anchors[0]}").is_visible()


def test_pictures_and_drawings_are_there(opened: Any) -> None:
    assert opened.locator("section.dataset").first.locator(".panel:visible img").count() == 4
    broken = "all => all.filter(one => one.complete && one.naturalWidth === 0).length"
    assert opened.eval_on_selector_all(".panel img", broken) == 0
    assert all(one["width"] > 200 for one in (svg.bounding_box() for svg in opened.locator("#curves svg").all()))


@pytest.mark.parametrize("opened", [PHONE, (320, 640), (768, 1024), (1280, 900)], indirect=True)
def test_the_page_is_never_wider_than_its_window(opened: Any) -> None:
    section = opened.locator("section.dataset").first
    for number in range(section.locator("select.method option").count()):
        section.locator("select.method").select_option(index=number)
        section.locator("select.shots").select_option("16")
        assert overflow(opened) == 0


@pytest.mark.parametrize("opened", [PHONE], indirect=True)
def test_text_on_a_phone_is_large_enough(opened: Any) -> None:
    """In drawings too: no text of theirs is below 8 pixels."""
    heights = opened.eval_on_selector_all(
        "#curves svg text, .panel:not([hidden]) svg text",
        "all => all.map(one => [one.getScreenCTM(), parseFloat(getComputedStyle(one).fontSize)])"
        ".filter(([at]) => at).map(([at, size]) => size * Math.hypot(at.a, at.b))",
    )
    assert len(heights) > 20
    assert min(heights) >= 8


def test_paper_shows_every_section_and_each_data_set(opened: Any) -> None:
    opened.emulate_media(media="print")
    for section in ("headline", "curves", "paper", "cost", "classes", "runs"):
        assert opened.locator(f"#{section} h2").is_visible(), section
    assert [one.is_visible() for one in opened.locator("section.dataset").all()] == [True, True]
    assert opened.locator(".panel:visible").count() == 2
    assert opened.locator(".tabs").is_hidden()
    assert "only the panel that is chosen" in opened.locator("#classes .chosen").inner_text()
    opened.set_viewport_size({"width": 760, "height": 1000})
    assert overflow(opened) == 0
    assert opened.locator("#runs .scroll").evaluate("box => box.scrollHeight - box.clientHeight") == 0
    assert opened.locator("#cost details table").evaluate("table => table.checkVisibility()")
    assert opened.pdf(format="A4").startswith(b"%PDF")


def test_without_javascript_all_panels_are_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("section.dataset .panel:visible").count() == page.locator("section.dataset .panel").count() > 4
    assert page.locator("#classes .chosen").is_hidden()
    context.close()


def test_dark_rooms_have_a_dark_page(browser: Any, report: Path) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme, offline=True)
        page = context.new_page()
        page.goto(report.as_uri())
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        card = page.locator(".card").first.evaluate("one => getComputedStyle(one).backgroundColor")
        assert card == "rgb(255, 255, 255)"
        context.close()
    assert grounds == ["rgb(255, 255, 255)", "rgb(22, 24, 27)"]
