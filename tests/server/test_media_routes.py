"""What happens to pictures that nobody waits for any more."""

from __future__ import annotations

import anyio
import pytest
from starlette.requests import Request
from starlette.types import Message

from server.leaving import unless_gone
from server.problems import Problem

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_picture_is_given_up_when_the_client_leaves() -> None:
    ended = []

    async def picture() -> str:
        try:
            await anyio.sleep(60)
        finally:
            ended.append("cancelled")
        return "picture"

    async def receive() -> Message:
        await anyio.sleep(0.05)
        return {"type": "http.disconnect"}

    with pytest.raises(Problem) as left:
        await unless_gone(Request({"type": "http"}, receive), picture())
    await anyio.sleep(0.01)
    assert (left.value.status, ended) == (499, ["cancelled"])


async def test_a_client_that_waits_gets_it() -> None:
    async def picture() -> str:
        await anyio.sleep(0.01)
        return "picture"

    async def receive() -> Message:
        await anyio.sleep(60)
        return {"type": "http.disconnect"}

    assert await unless_gone(Request({"type": "http"}, receive), picture()) == "picture"
