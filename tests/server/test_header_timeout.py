"""Connections whose requests never become whole end; those that are whole are answered, however long that takes."""

from __future__ import annotations

import asyncio
import time

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from server.header_timeout import HeaderTimeoutProtocol
from server.run import listen

pytestmark = pytest.mark.anyio


class Hasty(HeaderTimeoutProtocol):
    headers_timeout_s = 0.4


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.8)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def connected(requests: list[bytes], pause_s: float) -> tuple[bytes, float]:
    """What comes back until the server ends the connection, and after how many seconds it does."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(app, http=Hasty, log_level="critical", ws="none", lifespan="off", timeout_keep_alive=2)
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    answering = asyncio.create_task(reader.read())
    try:
        for request in requests:
            if answering.done():
                break
            writer.write(request)
            await asyncio.sleep(pause_s)
        return await asyncio.wait_for(answering, 5), time.monotonic() - begun
    finally:
        writer.close()
        server.should_exit = True
        await serving


WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_headers_that_never_end_are_not_waited_for() -> None:
    answer, after_s = await connected([b"GET / HTTP/1.1\r\nX: ", *[b"a"] * 60], 0.05)
    assert answer == b""
    assert 0.3 < after_s < 1.5


async def test_nor_is_a_connection_that_says_nothing() -> None:
    answer, after_s = await connected([], 0)
    assert answer == b""
    assert 0.3 < after_s < 1.5


async def test_whole_requests_are_answered_one_after_the_other() -> None:
    answer, _ = await connected([WHOLE, WHOLE], 1.2)
    assert answer.count(b"HTTP/1.1 200") == 2


async def test_a_further_request_has_to_end_too() -> None:
    answer, after_s = await connected([WHOLE, *[b"G"] * 60], 0.1)
    assert answer.count(b"HTTP/1.1 200") == 1
    assert after_s < 3
