"""Who may talk to the page's server: this machine's browser, or, with `--host`, who has the token.

A page of another origin that the same browser has open can send requests to 127.0.0.1 too, and a name in the internet
can point there. So every request must name this server as its host, and as its origin if it has one.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
COOKIE = "lamm_token"
# Whatever a class or file is called, the browser loads nothing from elsewhere.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware: refuses other hosts, origins and who has no token; adds headers that keep the page to itself.

    Args:
        app: the application behind it.
        hosts: names of this server without port, as browsers write them; empty: any, where a token protects.
        token: that a request must have in its query or cookie; "": none.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...] = LOOPBACK, token: str = "") -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(headers)
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        offered = query.get("token", [""])[0]
        if not refusal and self._token and not self._is_token(offered) and not self._is_token(_cookie(headers)):
            refusal = "This page needs its token: open the whole address that `lamm app` printed."
        if refusal:
            await self._refuse(refusal, scope, receive, send)
            return
        if self._token and self._is_token(offered) and scope["type"] == "http" and scope["method"] == "GET":
            answer = RedirectResponse(scope["path"], 303)
            answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
            await answer(scope, receive, send)
            return

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self._app(scope, receive, with_policy)

    def _refusal(self, headers: Headers) -> str:
        host = headers.get("host", "")
        if self._hosts and host.rpartition(":")[0] not in self._hosts and host not in self._hosts:
            return "This server answers under its own address only."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return "This server answers its own page only."
        return ""

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._token.encode())

    async def _refuse(self, reason: str, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse(reason, 403)(scope, receive, send)


def _cookie(headers: Headers) -> str:
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""
