"""Routes to the files of videos, and to pictures and clips of moments."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.context import clip_of, context_of, library_of
from server.leaving import unless_gone
from server.media.responses import file_response, rendering_response
from server.parameters import number
from server.problems import Problem
from server.rows import video_file

# Widths of pictures that can be asked for, in pixels.
_WIDTHS = range(16, 1281)


async def media(request: Request) -> Response:
    """A video's file, by ranges."""
    library = library_of(request)
    row = await context_of(request).in_thread(lambda: library.video_row(request.path_params["video_id"]))
    return await file_response(video_file(row), request)


async def picture(request: Request) -> Response:
    """A picture of a moment, JPEG."""
    return await _rendered(request, "picture")


async def strip(request: Request) -> Response:
    """An animation of a moment, WebP."""
    return await _rendered(request, "strip")


async def moment(request: Request) -> Response:
    """A moment by itself, MP4 as browsers play it, by ranges."""
    return await _rendered(request, "moment")


ROUTES = [
    Route("/media/{video_id}", media, methods=["GET"]),
    Route("/api/moments/{clip_id}.jpg", picture, methods=["GET"]),
    Route("/api/moments/{clip_id}.webp", strip, methods=["GET"]),
    Route("/api/moments/{clip_id}.mp4", moment, methods=["GET"]),
]


async def _rendered(request: Request, kind: str) -> Response:
    library, given, context = library_of(request), request.query_params, context_of(request)
    start_s, end_s = number(given, "start", float, None), number(given, "end", float, None)
    width = number(given, "width", int, 320)
    if width not in _WIDTHS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"width: got {width}, expected {_WIDTHS[0]} to {_WIDTHS[-1]} pixels")
    clip_id = clip_of(request)
    video, span = await context.in_thread(lambda: library.moment(clip_id, start_s, end_s))
    if kind == "moment":
        work = context.renderings.moment(video, span)
    elif kind == "strip":
        work = context.renderings.strip(video, span, width)
    else:
        work = context.renderings.picture(video, span, width)
    return await rendering_response(await unless_gone(request, work), request)
