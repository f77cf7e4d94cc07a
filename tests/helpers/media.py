"""Videos as the server knows them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from server.media.video_file import VideoFile


def video_file(path: Path, *, track: int | None = None, codec: str | None = None, container: str | None = None) -> VideoFile:
    """The record of a file as it is now."""
    status = os.stat(path)
    return VideoFile(path.name, str(path), status.st_size, status.st_mtime_ns // 1000, codec, container, track)


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


async def exchange(
    respond: Callable[[Request], Awaitable[Response]],
    method: str,
    headers: dict[str, str],
    *,
    extensions: dict[str, Any] | None = None,
    before_sending: Callable[[], None] = lambda: None,
) -> Answer:
    """What a client gets that asks for a video's file and waits."""
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": "/media/a", "headers": raw, "query_string": b""}
    scope["extensions"] = extensions or {}
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    response = await respond(Request(scope))
    before_sending()
    await response(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, body)
