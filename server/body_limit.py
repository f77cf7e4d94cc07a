"""Refuses requests that are too large or too slow, before they are read."""

from __future__ import annotations

import time
from http import HTTPStatus

import anyio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.problems import Problem, problem_response

# Seconds in which a request's body has to arrive.
_TIMEOUT_S = 120.0


class BodyLimit:
    """An ASGI application around another, whose requests have bodies of a bounded size that arrive in bounded time."""

    def __init__(self, app: ASGIApp, most_bytes: int, timeout_s: float = _TIMEOUT_S) -> None:
        """Wrap ``app``: bodies of up to ``most_bytes``, within ``timeout_s`` seconds."""
        self._app, self._most_bytes, self._timeout_s = app, most_bytes, timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = Headers(scope=scope).get("content-length", "0")
        too_large = Problem(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"got more than {self._most_bytes >> 20} MB, expected less; send a shorter part",
        )
        if not size.isdecimal() or int(size) > self._most_bytes:
            await problem_response(too_large)(scope, receive, send)
            return
        ends_at, got, ended = time.monotonic() + self._timeout_s, 0, False

        async def receive_bounded() -> Message:
            nonlocal got, ended
            if ended:  # from here on, only the end of the connection is waited for
                return await receive()
            try:
                with anyio.fail_after(max(0.0, ends_at - time.monotonic())):
                    message = await receive()
            except TimeoutError as exc:
                raise Problem(
                    HTTPStatus.REQUEST_TIMEOUT, f"got no whole request in {self._timeout_s:g} s; send it again"
                ) from exc
            got += len(message.get("body", b""))
            ended = not message.get("more_body", False)
            if got > self._most_bytes:
                raise too_large
            return message

        await self._app(scope, receive_bounded, send)
