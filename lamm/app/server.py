"""The page's server: the folder of projects, the open ones, and the routes by which photos come and go."""

import asyncio
import importlib
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nicegui import app, background_tasks, run, ui
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from lamm.app.guard import LOOPBACK, Guard
from lamm.app.photos import LARGEST_FILE, shown_name, store_photo
from lamm.app.project import IDENTIFIER, Project
from lamm.app.session import Session
from lamm.errors import DataError, LammError
from lamm.files import atomic_path
from lamm.log import logger

LARGEST_CLASSIFIER = 200 << 20
AT_ONCE = 2
"""Photos that are decoded at the same time."""
RECONNECT = 30.0
"""Seconds for which a page that the browser has put to sleep, or a busy server, may be silent."""
UPLOAD_MARK = "x-lamm"
"""A header that pages of other origins can't send."""
TRY = "try"


class Studio:
    """The projects of one data folder, and those of them that are open.

    Args:
        folder: the data folder; projects are in `projects/` in it.

    Attributes:
        backbones: names of those that can be used here; empty: not known yet.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.projects = folder / "projects"
        self._sessions: dict[str, Session] = {}
        self._tasks: dict[str, Any] = {}
        self._turn = asyncio.Lock()
        self.decoding = asyncio.Semaphore(AT_ONCE)
        self.backbones: list[str] = []

    def session(self, name: str) -> Session:
        """The open project in a folder of that name; it is opened if it was not.

        Raises:
            DataError: there is no such project, or it can't be read.
        """
        if name not in self._sessions:
            if not IDENTIFIER.fullmatch(name) or not (self.projects / name).is_dir():
                raise DataError("there is no such project")
            project = Project(self.projects / name)
            project.remove_unused()
            self._sessions[name] = session = Session(project, self._turn)
            self._tasks[name] = background_tasks.create(session.work(), name=f"project {name}")
        return self._sessions[name]

    def stop(self) -> None:
        """Have the jobs end: the server is closing."""
        for session in self._sessions.values():
            if session.job is not None:
                session.job.cancel()

    def create(self, name: str, settings: dict[str, Any]) -> Project:
        """A new, empty project."""
        return Project.create(self.projects, name, settings)


def add_routes(studio: Studio) -> None:
    """Offer photos, thumbnails and uploads."""

    @app.get("/project/{name}/thumbnail/{file}")
    async def thumbnail(name: str, file: str) -> Response:
        return _picture(studio, name, lambda project: project.thumbnail(file))

    @app.get("/project/{name}/photo/{file}")
    async def photo(name: str, file: str) -> Response:
        return _picture(studio, name, lambda project: project.photo(file))

    @app.post("/project/{name}/photo")
    async def upload(request: Request, name: str) -> Response:
        return await _answered(request, name, studio, _take_photo)

    @app.post("/project/{name}/classifier")
    async def upload_classifier(request: Request, name: str) -> Response:
        return await _answered(request, name, studio, _take_classifier)


def _picture(studio: Studio, name: str, path_of: Callable[[Project], Path]) -> Response:
    try:
        path = path_of(studio.session(name).project)
    except LammError:
        raise HTTPException(404) from None
    if not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, headers={"cache-control": "private, max-age=31536000, immutable"})


async def _answered(request: Request, name: str, studio: Studio, take: Any) -> Response:
    """Run an upload; its answer, or the line that says why not."""
    if UPLOAD_MARK not in request.headers:
        raise HTTPException(403)
    try:
        return JSONResponse(await take(request, studio.session(name), studio))
    except LammError as error:
        return JSONResponse({"error": str(error)})
    except OSError as error:
        return JSONResponse({"error": f"it can't be stored: {error.strerror or error}"})


async def _take_photo(request: Request, session: Session, studio: Studio) -> dict[str, Any]:
    """One photo, into the class that the query names: `class` (an id), `to` (a name), or to try."""
    query, project = request.query_params, session.project
    name = shown_name(query.get("name", ""))
    content = await _body(request, LARGEST_FILE, name)  # however long it takes, others are not kept waiting
    async with studio.decoding:
        file = str(await run.io_bound(store_photo, content, name, project.folder))
    batch, class_id = query.get("batch", ""), query.get("class", "")
    try:
        if class_id == TRY:
            project.add_tried({file: name}, batch)
            return {"file": file, "new": True}
        if not class_id:
            class_id = project.add_class(query.get("to", ""), batch=batch)
        new = project.add_photos(class_id, {file: name}, batch)
        there = project.state.class_of(file)
        return {"file": file, "new": bool(new), "class": there.name if there else ""}
    finally:
        session.touch()


async def _take_classifier(request: Request, session: Session, studio: Studio) -> dict[str, Any]:
    """A `.lamm` file to merge: stored, not read yet."""
    name = shown_name(request.query_params.get("name", ""))
    content = await _body(request, LARGEST_CLASSIFIER, name)
    file = f"{secrets.token_hex(8)}.lamm"
    with atomic_path(session.project.folder / "files" / file) as temporary:
        temporary.write_bytes(content)
    return {"file": file, "name": name}


async def _body(request: Request, limit: int, name: str) -> bytes:
    """The bytes that are sent; what is too large is not read on."""
    too_large = DataError(f'"{name}" has more than {limit >> 20} MiB: make it smaller')
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise too_large
    content = bytearray()
    async for block in request.stream():
        content += block
        if len(content) > limit:
            raise too_large
    return bytes(content)


def free_port(host: str, port: int) -> int:
    """The port, or a free one if it is 0 or taken."""
    for wanted in (port, 0):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind((host, wanted))
            except OSError:
                if wanted == 0:
                    raise
                continue
            return int(trial.getsockname()[1])
    raise AssertionError


async def _warm_up(studio: Studio) -> None:
    """Import PyTorch while the first page is looked at, and see which backbones' weights are on this machine."""
    await run.io_bound(importlib.import_module, "open_clip")
    studio.backbones = await run.io_bound(present_backbones) or []


def present_backbones() -> list[str]:
    """Names of the backbones whose weights are on this machine; the embedded model last."""
    from lamm.clip.sources import OPENAI_NAMES, TINY, source_of

    sources = {name: source_of(name) for name in OPENAI_NAMES}
    return [*(name for name, source in sources.items() if source is not None and source.find() is not None), TINY]


def serve(folder: Path, host: str, port: int, browser: bool) -> None:
    """Serve the page until Ctrl-C.

    Args:
        folder: of `Studio`.
        host: the address to listen on; one that other machines reach gets a token.
        port: 0: any that is free.
        browser: whether to open the page in a browser.
    """
    from lamm.app.page import add_pages

    is_local = f"[{host}]" in LOOPBACK or host in LOOPBACK
    token = "" if is_local else secrets.token_urlsafe(24)
    studio = Studio(folder)
    app.add_middleware(Guard, hosts=LOOPBACK if is_local else (), token=token)
    add_routes(studio)
    add_pages(studio)
    app.on_shutdown(studio.stop)
    app.on_startup(lambda: background_tasks.create(_warm_up(studio), name="backbones"))
    port = free_port(host, port)
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    query = f"?token={token}" if token else ""
    logger.info("The page is at http://%s:%s/%s until Ctrl-C; projects are in %s", shown, port, query, studio.projects)
    ui.run(
        host=host, port=port, title="LAMM", dark=None, reload=False, show=f"/{query}" if browser else False,
        tailwind=False, show_welcome_message=False, reconnect_timeout=RECONNECT, timeout_graceful_shutdown=2,
        favicon=Path(__file__).parent / "static" / "favicon.svg",
    )  # fmt: skip
