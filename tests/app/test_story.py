"""The whole story by clicking, in Chromium: example, train, wrong photos, a class more, try, hand over, kill, reload.

`LAMM_SCREENSHOTS=DIR python -m pytest tests/app/test_story.py` writes a picture of each step; two are in the README.
"""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lamm
from lamm.drawing.compositions import HELD_OUT, draw_composition
from tests.app.served import Server, Watched

PHONE = (390, 844)


def shown(watched: Watched, name: str, whole: bool = False) -> None:
    """A picture of the page, if pictures are wanted; on a screen and on a phone."""
    if folder := os.environ.get("LAMM_SCREENSHOTS"):
        watched.page.wait_for_timeout(400)
        watched.page.screenshot(path=Path(folder, f"{name}.png"), full_page=whole)
        watched.page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        watched.page.wait_for_timeout(400)
        watched.page.screenshot(path=Path(folder, f"{name}_phone.png"), full_page=whole)
        assert watched.overflow() <= 0
        watched.page.set_viewport_size({"width": 1280, "height": 900})


@pytest.fixture
def drawings(tmp_path: Path) -> Path:
    """A folder of photos of a class that the example does not have, with a file that is none."""
    shape, texture = HELD_OUT[21]
    folder = tmp_path / "leopard_diamond"
    folder.mkdir()
    for number in range(8):
        picture = draw_composition(shape, texture, np.random.RandomState(9000 + number), "plain")
        Image.fromarray(picture).save(folder / f"{number}.png")
    (folder / "9.png").write_text("<script>alert(1)</script>", encoding="utf-8")
    return folder


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    """Servers that the test starts; killed at its end."""
    started: list[Server] = []
    yield started
    for server in started:
        server.kill()


def test_the_whole_story(browser: Any, servers: list[Server], drawings: Path, tmp_path: Path) -> None:
    servers.append(Server(tmp_path / "data"))
    watched = Watched(browser)
    page = watched.page
    page.goto(servers[0].url)
    page.get_by_text("Teach CLIP your classes").wait_for()
    shown(watched, "1_projects")

    watched.button("Try the example").click()
    page.wait_for_url("**/project/**")
    page.get_by_text("By its name alone").first.wait_for()
    shown(watched, "2_photos")

    card = page.locator(".class-card").first
    card.get_by_role("button", name="Try another name").click()
    page.get_by_label("Name to try").fill("striped circle")
    page.keyboard.press("Enter")
    page.get_by_text("“striped circle”:").wait_for()
    shown(watched, "3_another_name")
    watched.button("Use this name").click()
    # Of the class itself: while CLIP is asked, Cancel stands where Train is, and would get the click.
    card.locator(".knowledge.good, .knowledge.fair").wait_for()

    watched.button("Train").click()
    watched.button("Cancel").wait_for()
    page.get_by_text("right by 3-fold").or_(page.locator(".problem:visible")).first.wait_for()
    assert page.locator(".problem:visible").all_inner_texts() == []
    watched.part("Results")
    heading = page.get_by_text("Wrong photos (")
    heading.wait_for()
    wrong = int(heading.inner_text().split("(")[1].rstrip(")"))
    assert wrong >= 3  # as many lie in the wrong class on purpose
    shown(watched, "4_results", whole=True)
    page.locator(".confusion td button:not(.right)").first.click()
    page.locator(".pair .photo img").first.wait_for()
    page.locator(".wrong .act").first.click()
    page.locator(".q-notification").get_by_text("Move 1 photo").wait_for()
    page.get_by_text(f"Wrong photos ({wrong - 1})").wait_for()

    watched.part("Photos")
    page.locator(".photo-input.big input[webkitdirectory]").first.set_input_files(drawings)
    page.locator(".problem").get_by_text("9.png").wait_for()
    watched.button("Close").click()
    page.locator(".class-name input").last.wait_for()
    assert page.locator(".class-name input").last.input_value() == "leopard diamond"
    page.locator(".class-card").last.get_by_text("8 photos").wait_for()

    watched.part("Try")
    page.get_by_text("None of these").first.wait_for()
    shape, texture = HELD_OUT[21]
    new = tmp_path / "new.png"
    Image.fromarray(draw_composition(shape, texture, np.random.RandomState(1), "plain")).save(new)
    page.locator(".photo-input.big input:not([webkitdirectory])").last.set_input_files(new)
    answer = page.locator(".answer").first
    answer.locator(".badge").get_by_text("leopard diamond").wait_for()  # learned without training anew
    shown(watched, "5_try")
    answer.get_by_role("button", name="Right").click()
    answer.get_by_text("Now in class “leopard diamond”").wait_for()

    watched.part("Hand over")
    page.get_by_text("169 photos in 11 classes").wait_for()
    page.get_by_text("later and are learned too").wait_for()
    shown(watched, "6_hand_over", whole=True)
    with page.expect_download() as download:
        watched.button("Classifier (.lamm)").click()
    download.value.save_as(tmp_path / "mine.lamm")
    with page.expect_download() as download:
        watched.button("Predictions (CSV)").click()
    download.value.save_as(tmp_path / "mine.csv")
    assert watched.said == [], watched.said

    servers[0].kill()
    servers.append(Server(tmp_path / "data", port=servers[0].port or 0))
    watched.page.close()
    again = Watched(browser)
    again.page.goto(servers[1].url)
    again.page.get_by_text("Example: drawn shapes").click()
    again.page.get_by_text("169 photos in 11 classes").wait_for()
    again.page.get_by_text("right by 3-fold").wait_for()
    again.part("Results")
    again.page.get_by_text(f"Wrong photos ({wrong - 1})").wait_for()
    again.button("Undo").click()
    again.page.get_by_text("168 photos in 11 classes").wait_for()
    assert again.said == []
    assert watched.foreign == again.foreign == []
    assert "has been deleted" not in servers[0].log.read_text(encoding="utf-8")  # NiceGUI's, of a lost message

    classifier = lamm.load(tmp_path / "mine.lamm")
    assert {"striped circle", "leopard diamond"} <= set(classifier.classes_)
    assert classifier.predict([new]).tolist() == ["leopard diamond"]
    rows = list(csv.DictReader((tmp_path / "mine.csv").open(encoding="utf-8")))
    assert (rows[0]["path"], rows[0]["class_1"]) == ("new.png", "leopard diamond")
    assert len(rows) == 5
