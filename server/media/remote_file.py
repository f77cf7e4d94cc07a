"""Answers requests for a video that lies in an object store or on another server, by ranges of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import BinaryIO

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pipeline.sources import source_of
from server.media.video_file import MediaError, VideoFile

# Bytes that are read before they are sent.
_CHUNK_BYTES = 1 << 20

_RANGE = re.compile(r"bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))")


async def remote_file_response(video: VideoFile, request: Request, headers: dict[str, str], media_type: str) -> Response:
    """The answer to a GET or HEAD request for a video that has been checked.

    It is 200 with all of the file, 206 with a range, or 416 where the file has no such bytes. Of a request for several
    ranges, the whole file is the answer.

    Raises:
        MediaError: the file cannot be read.
    """
    file = await to_thread.run_sync(_opened, video)
    size = video.size_bytes
    wanted = _range(request.headers.get("range", ""), size) if _is_current(request, headers["etag"]) else None
    start, end = wanted or (0, size)
    if start >= end:
        file.close()
        return Response(status_code=416, headers={"content-range": f"bytes */{size}"})
    headers = headers | {"accept-ranges": "bytes", "content-length": str(end - start)}
    status = 200 if wanted is None else 206
    if wanted is not None:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(_chunks(file, start, end), status_code=status, headers=headers, media_type=media_type)


def _opened(video: VideoFile) -> BinaryIO:
    try:
        return source_of(video.path).open(video.path)
    except OSError as exc:
        raise MediaError("unreadable", f"the file cannot be opened: {exc.strerror or exc}") from exc


def _is_current(request: Request, etag: str) -> bool:
    """Whether a range may be given: a browser that has a part of another version wants the whole file."""
    return request.headers.get("if-range", etag) == etag


def _range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte and the one after the last of the one range that is asked for; None where it is not one."""
    match = _RANGE.fullmatch(header.strip())
    if match is None:
        return None
    if match[2] and int(match[2]) < int(match[1]):  # counts as no range
        return None
    if match[3]:
        return max(0, size - int(match[3])), size
    return int(match[1]), min(int(match[2]) + 1, size) if match[2] else size


async def _chunks(file: BinaryIO, start: int, end: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(start)
        while start < end:
            chunk = await to_thread.run_sync(file.read, min(_CHUNK_BYTES, end - start))
            if not chunk:
                return
            start += len(chunk)
            yield chunk
