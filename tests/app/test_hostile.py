"""Hostile names, files and requests, against the running server and in a browser; and two tabs at once."""

import http.client
import io
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from lamm.app.project import Project
from tests.app.served import Server, Watched

SCRIPT = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def photo(colour: str = "teal") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose name, class and photo are called by HTML."""
    return Project.create(tmp_path_factory.mktemp("hostile") / "data" / "projects", SCRIPT, {"backbone": "tiny"})


@pytest.fixture(scope="module")
def server(project: Project, browser: Any) -> Iterator[Server]:
    started = Server(project.folder.parent.parent)
    yield started
    started.kill()


def asked(
    server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(method, path, body, headers if headers is not None else {"x-lamm": "1"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


def test_requests_that_the_page_would_not_send_are_refused(server: Server, project: Project) -> None:
    place = f"/project/{project.folder.name}"
    assert asked(server, "POST", f"{place}/photo?to=cat", photo(), {})[0] == 403
    assert asked(server, "GET", place, headers={"Host": "evil.example"})[0] == 403
    assert asked(server, "POST", f"{place}/photo?to=cat", photo(), {"x-lamm": "1", "Origin": "http://evil"})[0] == 403
    for path in ("../project.json", "..%2fproject.json", "%2e%2e%2fproject.json", "..%5cproject.json", "x.jpg"):
        assert asked(server, "GET", f"{place}/photo/{path}")[0] == 404
        assert asked(server, "GET", f"{place}/thumbnail/{path}")[0] == 404
    for name in ("..", "%2e%2e", "..%2f..", "nothing"):
        status, text = asked(server, "POST", f"/project/{name}/photo?to=cat", photo())
        assert status in (404, 405) or "no such project" in text
    assert project.state == Project(project.folder).state


def test_what_is_too_large_is_refused_before_it_is_sent(server: Server, project: Project) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", f"/project/{project.folder.name}/photo?to=cat&name=huge.jpg")
    connection.putheader("x-lamm", "1")
    connection.putheader("content-length", str(500 << 20))
    connection.endheaders()
    assert "50 MiB" in connection.getresponse().read().decode()
    connection.close()


def test_names_are_text_and_two_tabs_show_the_same(browser: Any, server: Server, project: Project) -> None:
    before = {path for path in project.folder.parent.parent.parent.rglob("*") if path.is_dir()}
    place = f"/project/{project.folder.name}"
    first, second = Watched(browser), Watched(browser, (390, 844))
    for watched in (first, second):
        watched.page.goto(server.url.rstrip("/") + place)
        watched.page.get_by_text("No class yet").wait_for()
    query = f"to={quote(SCRIPT[:70])}&name={quote('../../' + SCRIPT + '.png')}"
    assert '"new":true' in asked(server, "POST", f"{place}/photo?{query}", photo())[1]
    assert "archive" in asked(server, "POST", f"{place}/photo?{query}", b"PK\x03\x04" + b"\0" * 99)[1]
    for watched in (first, second):
        watched.page.get_by_text("1 photo", exact=True).wait_for()
        assert watched.page.locator(".class-name input").input_value().startswith("<img src=x")

    first.page.get_by_label("New class").fill("../../evil")
    first.page.keyboard.press("Enter")
    second.page.locator(".class-card").nth(1).wait_for()
    assert second.page.locator(".class-name input").nth(1).input_value() == "../../evil"
    name = second.page.locator(".class-name input").nth(1)
    name.fill("黒猫 עברית")
    name.press("Enter")
    first.page.wait_for_function("document.querySelectorAll('.class-name input')[1]?.value === '黒猫 עברית'")
    first.page.get_by_role("button", name="Remove class").nth(1).click()
    second.page.wait_for_function("document.querySelectorAll('.class-card').length === 1")
    second.button("Undo").last.click()
    first.page.locator(".class-card").nth(1).wait_for()

    first.page.locator(".class-card").first.locator(".photo button").click()
    first.page.locator(".photo-dialog").get_by_text("In class “<img src=x").wait_for()
    first.page.keyboard.press("Escape")
    first.page.locator(".class-card").nth(1).get_by_role("button", name="Camera").click()
    first.page.locator("dialog[open] button:not([disabled])", has_text="Take photo").click()
    first.page.locator("dialog[open]").get_by_text("(1)").wait_for()
    first.page.locator("dialog[open] button", has_text="Done").click()
    second.page.locator(".class-card").nth(1).get_by_text("1 photo", exact=True).wait_for()

    for watched in (first, second):
        assert watched.page.evaluate("window.hacked") is None
        assert watched.overflow() <= 0
        assert (watched.said, watched.foreign) == ([], [])
        watched.context.close()
    after = {path for path in project.folder.parent.parent.parent.rglob("*") if path.is_dir()}
    assert {path.name for path in after - before} <= {"photos", "thumbnails", "page"}
    assert not [path for path in after if "evil" in path.name or re.search("[<>]", path.name)]
