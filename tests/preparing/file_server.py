"""A local server of files that knows ranges, and can be told to break off, to ignore ranges, or to refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class FileServer:
    """What it serves, how it behaves, and what it was asked.

    Attributes:
        files: path without the slash → content.
        base: `http://127.0.0.1:<port>`.
        breaks_at: for the next requests in turn: bytes of the body after which the connection is closed.
        with_ranges: whether it answers a Range with a piece.
        etag: of all files; "" sends none.
        status: answered instead of a file, where not 200.
        ranges: the Range headers that came, "" where there was none.
    """

    files: dict[str, bytes]
    base: str = ""
    breaks_at: list[int] = field(default_factory=list)
    with_ranges: bool = True
    etag: str = '"1"'
    status: int = 200
    ranges: list[str] = field(default_factory=list)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[FileServer]:
    """A server for the time of the block."""
    told = FileServer(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = told.files.get(self.path.removeprefix("/"))
            asked = self.headers.get("Range", "")
            told.ranges.append(asked)
            if content is None or told.status != 200:
                self.send_error(404 if content is None else told.status)
                return
            unchanged = self.headers.get("If-Range") in (None, told.etag)
            start = (
                int(asked.removeprefix("bytes=").removesuffix("-")) if asked and told.with_ranges and unchanged else 0
            )
            if start >= len(content) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if told.etag:
                self.send_header("ETag", told.etag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            self.wfile.write(body[: told.breaks_at.pop(0)] if told.breaks_at else body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.base = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
