"""Answers requests for a video's file and for renderings, by RFC 9110: whole, in ranges, or as known already."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from server.media.playable import media_type
from server.media.remote_file import remote_file_response
from server.media.video_file import MediaError, VideoFile, check_remote, is_remote, open_checked

# A player asks for one range at a time. Of a request for more than this many, the whole file is the answer.
_MAX_RANGES = 8

# A header that asks for ranges; another one, or a range that ends before it begins, counts as none.
_RANGES = re.compile(r"bytes=(?:[ \t]*(?:\d{1,18}-\d{0,18}|-\d{1,18})?[ \t]*(?:,|$))+", re.IGNORECASE | re.ASCII)
_BOTH_ENDS = re.compile(r"(\d+)-(\d+)")

_RENDERINGS = {".jpg": "image/jpeg", ".webp": "image/webp", ".mp4": "video/mp4"}


class OpenFileResponse(FileResponse):
    """The content of a file that is open already, whatever has come in its place by now; closes it."""

    max_ranges = _MAX_RANGES

    def __init__(self, file: BinaryIO, *, headers: Mapping[str, str], media_type: str) -> None:
        """Take over ``file``, a regular one.

        Args:
            file: what is sent.
            headers: its validators, and what else is to be said.
            media_type: its type.
        """
        self._file = file
        number = file.fileno()
        super().__init__(f"/proc/self/fd/{number}", headers=headers, media_type=media_type, stat_result=os.fstat(number))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, and close the file, also where the client has left."""
        headers = [
            (name, value) for name, value in scope["headers"] if name != b"range" or _is_range(value.decode("latin-1"))
        ]
        # No server is to open the path by itself, when the file may be closed.
        extensions = {name: value for name, value in scope.get("extensions", {}).items() if name != "http.response.pathsend"}
        with self._file:
            await super().__call__({**scope, "headers": headers, "extensions": extensions}, receive, send)


async def file_response(video: VideoFile, request: Request) -> Response:
    """The answer to a GET or HEAD request for a video's file.

    It is 200 with all of the file, 206 with the ranges asked for, 416 where the file has no such bytes, or 304 where
    the browser has the file already.

    Raises:
        MediaError: the file is not the one that was indexed.
    """
    etag = f'"{video.size_bytes:x}-{video.modified_us & (1 << 64) - 1:x}"'
    # It is kept, and asked for again: the file may change or go.
    cache_control = "private, no-cache"
    if is_remote(video):
        await to_thread.run_sync(check_remote, video)
        headers = _headers(etag, cache_control)
        if _has(request.headers.get("if-none-match"), etag):
            return _not_modified(headers)
        return await remote_file_response(video, request, headers, media_type(video.container))
    file = os.fdopen(await to_thread.run_sync(open_checked, video), "rb")
    return _answer(file, request, etag, cache_control, media_type(video.container))


async def rendering_response(rendering: Path, request: Request) -> Response:
    """The answer to a GET or HEAD request for a file of `server.media.renderings.Renderings`, as in `file_response`.

    Its name stands for its content, so that requests for parts of a piece are known to be for the same one.

    Raises:
        MediaError: it has been deleted meanwhile; ask for it again.
    """
    try:
        file = await to_thread.run_sync(rendering.open, "rb")
    except FileNotFoundError as exc:
        raise MediaError("gone", "the rendering was deleted meanwhile; ask for it again") from exc
    return _answer(file, request, f'"{rendering.stem}"', "private, max-age=600", _RENDERINGS[rendering.suffix])


def _answer(file: BinaryIO, request: Request, etag: str, cache_control: str, content_type: str) -> Response:
    headers = _headers(etag, cache_control)
    if _has(request.headers.get("if-none-match"), etag):
        file.close()
        return _not_modified(headers)
    return OpenFileResponse(file, headers=headers, media_type=content_type)


def _headers(etag: str, cache_control: str) -> dict[str, str]:
    return {
        "etag": etag,
        "cache-control": cache_control,
        "x-content-type-options": "nosniff",
        "content-disposition": "inline",
    }


def _not_modified(headers: Mapping[str, str]) -> Response:
    return Response(status_code=304, headers={name: headers[name] for name in ("etag", "cache-control")})


def _is_range(header: str) -> bool:
    """Whether a header asks for ranges of bytes as RFC 9110 says; Starlette refuses others, which are to be ignored."""
    if _RANGES.fullmatch(header) is None or not any(sign.isdecimal() for sign in header):
        return False
    return all(int(first) <= int(last) for first, last in _BOTH_ENDS.findall(header))


def _has(if_none_match: str | None, etag: str) -> bool:
    """Whether a browser has what ``etag`` stands for; tags are compared weakly, as RFC 9110 says."""
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return "*" in tags or etag in tags
