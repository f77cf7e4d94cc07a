"""What all routes of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.requests import Request

from server.libraries import ServedLibraries, ServedLibrary
from server.media.playable import Play
from server.media.renderings import Renderings
from server.media.video_file import MediaError
from server.metrics import Metrics
from server.problems import Problem
from server.rows import video_file

Result = TypeVar("Result")

# Calls that wait for a library at a time: searches are answered one after the other anyway, by one text model.
_THREADS = 16


@dataclass(frozen=True)
class Context:
    """What all routes of one server share.

    Attributes:
        libraries: what is served.
        renderings: makes pictures and moments.
        metrics: counts.
        may_write: whether a user may add tags.
        threads: bounds the calls that wait in threads.
        commands: bounds the commands beside the server that write to libraries; others wait.
        exports: bounds the exports; likewise.
    """

    libraries: ServedLibraries
    renderings: Renderings
    metrics: Metrics
    may_write: bool
    threads: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_THREADS))
    commands: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    exports: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """The result of a call that blocks."""
        return await anyio.to_thread.run_sync(work, limiter=self.threads)


def context_of(request: Request) -> Context:
    """The context of the server that a request has reached."""
    context: Context = request.app.state.context
    return context


async def plays(request: Request, video: dict[str, Any]) -> Play:
    """Whether a browser plays the file of a row of ``videos``; ``moment`` also where the file is not there any more."""
    try:
        return await context_of(request).renderings.how_to_play(video_file(video))
    except MediaError:
        return "moment"


def clip_of(request: Request) -> int:
    """The clip id in a request's path.

    Raises:
        Problem: no clip has such an id (404).
    """
    given = request.path_params["clip_id"]
    if not (given.isascii() and given.isdecimal() and len(given) < 20 and int(given) < 2**63):
        shown = given if len(given) <= 40 else f"{given[:40]}…"
        raise Problem(HTTPStatus.NOT_FOUND, f"got the clip {shown!r}, expected the id of a clip, as a search gives it")
    return int(given)


def library_of(request: Request) -> ServedLibrary:
    """The library that a request names by ``library``; the first one where it names none.

    Raises:
        Problem: there is no such library (404).
    """
    return context_of(request).libraries.named(request.query_params.get("library"))
