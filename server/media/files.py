"""Answers that are files of videos, by ranges (RFC 9110), straight from where they are."""

from __future__ import annotations

import os

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from server.media.playable import MEDIA_TYPES
from server.media.video_file import FileProblem, VideoFile, open_checked
from server.problems import Problem


class _OpenFile(FileResponse):
    """A file that is open already: what is read is what was checked."""

    def __init__(self, file: int, media_type: str) -> None:
        super().__init__(f"/proc/self/fd/{file}", media_type=media_type, stat_result=os.fstat(file))
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._file)


def file_response(video: VideoFile, request: Request) -> Response:
    """The answer to a request for a video's file: all of it, or the ranges that were asked for.

    Raises:
        Problem: the file is gone (404), or is not the one that was indexed (409).
    """
    try:
        file = open_checked(video.path_on_disk, video.size_bytes, video.modified_us)
    except FileProblem as exc:
        raise Problem(exc.status, str(exc)) from exc
    response = _OpenFile(file, MEDIA_TYPES.get(video.container or "", "application/octet-stream"))
    if request.headers.get("if-none-match") == response.headers["etag"]:
        etag = response.headers["etag"]
        return Response(status_code=304, headers={"etag": etag}, background=BackgroundTask(os.close, file))
    return response
