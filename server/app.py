"""The server: one ASGI application over some libraries. Read `make_app` first; it puts together what answers."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.errors import VidsiftError
from server import api, media_routes, pages
from server.access import Access
from server.body_limit import BodyLimit
from server.context import Context
from server.libraries import ServedLibraries, ServedLibrary
from server.media.renderings import Renderings
from server.media.video_file import MediaError
from server.metrics import Metrics
from server.problems import Problem, problem_of, problem_response
from server.uploads import MOST_BYTES

# Of `index.storage.running_ingest.RunningIngest`, what the metrics show; 0 where no ingest is running.
_INGEST_GAUGES = {
    "done_videos": "Videos of the running ingest that are done.",
    "total_videos": "Videos of the running ingest.",
    "clips": "Clips that the running ingest has annotated.",
    "left_s": "Seconds that the running ingest will take at its speed.",
}

# Of `server.media.renderings.RenderingCounts`, what the metrics show.
_RENDERING_GAUGES = {
    "running": "Pictures and moments that are being made.",
    "waiting": "Pictures and moments that wait for a process.",
    "hits": "Pictures and moments that were there.",
    "misses": "Pictures and moments that had to be made.",
    "restarts": "Processes that were ended or died.",
    "cached_bytes": "Size of the pictures and moments that are kept.",
}

# Names all calls.
_DESCRIPTION = "/api/openapi.json"

WEB = Path(__file__).parent / "web"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a server is started.

    Attributes:
        host: the address or name that it listens on.
        names: other names under which it may be asked.
        token: what a call has to bring; None asks for nothing.
        may_write: whether a user may add tags to the libraries.
        cache_folder: where pictures and moments are kept.
        cache_mb: how much of them.
        processes: how many pictures and moments are made at a time.
    """

    host: str = "127.0.0.1"
    names: tuple[str, ...] = ()
    token: str | None = None
    may_write: bool = True
    cache_folder: Path
    cache_mb: int = 2048
    processes: int = 2


def make_app(libraries: ServedLibraries, settings: Settings, say: Callable[[str], None]) -> ASGIApp:
    """The application: who may ask (`Access`), how much (`BodyLimit`), and then the routes.

    Args:
        libraries: what is served; closed when the server ends.
        settings: how.
        say: told what the person at the terminal should know, one sentence each.
    """
    renderings = Renderings(settings.cache_folder, cache_mb=settings.cache_mb, processes=settings.processes)
    metrics = Metrics()
    context = Context(libraries, renderings, metrics, settings.may_write)
    _watch(context)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        for library in libraries:
            threading.Thread(target=_load, args=(library, say), daemon=True).start()
        yield
        await renderings.close()
        libraries.close()

    app = Starlette(
        routes=[
            *pages.ROUTES,
            *api.ROUTES,
            *media_routes.ROUTES,
            Mount("/static", StaticFiles(directory=WEB / "static"), name="static"),
        ],
        exception_handlers=dict.fromkeys((Problem, MediaError, VidsiftError, HTTPException, Exception), _explain),
        lifespan=lifespan,
    )
    app.state.context = context
    timed = _Timed(app, metrics)
    return Access(BodyLimit(timed, MOST_BYTES), host=settings.host, token=settings.token, names=settings.names)


def _load(library: ServedLibrary, say: Callable[[str], None]) -> None:
    try:
        library.load()
    except VidsiftError as exc:
        say(f"{library.name}: no search by text until this is mended: {exc}")


def _watch(context: Context) -> None:
    """Let the metrics show what the libraries and the renderings are at."""
    for library in context.libraries:
        context.metrics.watch(
            "vidsift_snapshot",
            "The snapshot that is answered from.",
            partial(getattr, library, "snapshot"),
            library=library.name,
        )
        library.tell_stages(context.metrics.took)
        for name, meaning in _INGEST_GAUGES.items():
            context.metrics.watch(f"vidsift_ingest_{name}", meaning, partial(_ingest, library, name), library=library.name)
    context.renderings.on_stage = context.metrics.took
    for name, meaning in _RENDERING_GAUGES.items():
        context.metrics.watch(f"vidsift_renderings_{name}", meaning, partial(_count, context.renderings, name))


def _ingest(library: ServedLibrary, name: str) -> float:
    """A figure of the ingest that is running; 0 where none is."""
    running = library.running_ingest()
    return 0.0 if running is None else float(getattr(running, name) or 0.0)


def _count(renderings: Renderings, name: str) -> float:
    return float(getattr(renderings.counts(), name))


async def _explain(request: Request, exc: Exception) -> Response:
    """The answer to a call that failed: a page for a browser that goes to one, else JSON."""
    if isinstance(exc, HTTPException):
        detail = exc.detail
        if request.url.path.startswith("/api/") and exc.status_code in (404, 405):
            detail = f"got {request.method} {request.url.path[:60]}, expected a call of {_DESCRIPTION}"
        problem = Problem(exc.status_code, detail, dict(exc.headers) if exc.headers else None)
    else:
        problem = problem_of(exc)
    if request.url.path.startswith(("/api/", "/media/", "/static/", "/metrics")):
        return problem_response(problem)
    return pages.problem_page(request, problem)


class _Timed:
    """Counts answers by route and status, and the seconds until each begins."""

    def __init__(self, app: Starlette, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = time.perf_counter()

        async def send_and_count(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.answered(self._route(scope), message["status"], time.perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, send_and_count)

    def _route(self, scope: Scope) -> str:
        """The path of the route with its parameters' names; the same for all that nothing answers."""
        for route in self._app.routes:
            if isinstance(route, Route | Mount) and route.matches(scope)[0] is Match.FULL:
                return route.path
        return "none"
