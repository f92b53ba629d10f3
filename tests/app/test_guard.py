"""Who may talk to the page's server."""

import pytest

pytest.importorskip("nicegui", reason='the page needs NiceGUI: pip install -e ".[app]"')

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from lamm.app.guard import COOKIE, LOOPBACK, Guard

LOCAL, AWAY = "http://127.0.0.1:8080", "http://192.168.1.7:8080"


async def said(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def client(base: str, hosts: tuple[str, ...] = LOOPBACK, token: str = "") -> TestClient:
    inner = Starlette(routes=[Route("/", lambda request: PlainTextResponse("page")), WebSocketRoute("/ws", said)])
    return TestClient(Guard(inner, hosts, token), base_url=base, follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "[::1]:8080", "localhost"])
def test_this_machine_is_answered_under_its_own_names(host: str) -> None:
    assert client(LOCAL).get("/", headers={"host": host, "origin": f"http://{host}"}).text == "page"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8080"},
        {"host": "127.0.0.1.evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
    ],
)
def test_another_host_or_origin_is_refused(headers: dict[str, str]) -> None:
    assert client(LOCAL).get("/", headers=headers).status_code == 403
    with pytest.raises(WebSocketDisconnect), client(LOCAL).websocket_connect("/ws", headers=headers) as socket:
        socket.receive_text()


def test_other_machines_need_the_token_once_and_then_the_cookie() -> None:
    page = client(AWAY, (), "secret")
    for path in ("/", "/?token=", "/?token=wrong"):
        assert page.get(path).status_code == 403
    with pytest.raises(WebSocketDisconnect), page.websocket_connect("/ws") as socket:
        socket.receive_text()
    answer = page.get("/?token=secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "httponly" in answer.headers["set-cookie"].lower()
    assert page.cookies[COOKIE] == "secret"
    assert page.get("/").text == "page"
    with page.websocket_connect("/ws", headers={"cookie": f"{COOKIE}=secret"}) as socket:
        assert socket.receive_text() == "hello"


def test_no_answer_lets_the_browser_load_from_elsewhere() -> None:
    policy = client(LOCAL).get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
