"""What an assistant sees: the tools over real standard input and output, by the protocol's own client."""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from PIL import Image

from index.search.searcher import search
from schemas.search import SearchOptions, moment_json
from schemas.sql import TABLES
from tests.helpers.printed import as_printed
from tests.server.conftest import FilmLibrary

pytestmark = [pytest.mark.slow, pytest.mark.anyio]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_assistant_searches_asks_and_looks(film_library: FilmLibrary) -> None:
    command = StdioServerParameters(command=sys.executable, args=["-m", "cli", "mcp", "--library", str(film_library.folder)])
    async with stdio_client(command) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = (await session.list_tools()).tools
        assert {tool.name for tool in tools} == {"search", "sql", "schema", "show_moment"}
        assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)

        found = json.loads(await text_of(session, "search", text="someone juggling", k=2))
        answer = search(film_library.folder, SearchOptions(texts=("someone juggling",), k=2, show_all=True))
        expected = [json.loads(json.dumps(moment_json(moment))) for moment in answer.moments]
        assert as_printed(found["moments"]) == as_printed(expected)
        assert (found["stands_out"], found["confidence"]) == (answer.stands_out, pytest.approx(answer.confidence, abs=1e-4))

        pictures = json.loads(await text_of(session, "search", text="someone juggling", k=2, channels=["pictures"]))
        assert pictures == found

        counted = json.loads(await text_of(session, "sql", query="select count(*) as n from videos"))
        assert counted == {"columns": ["n"], "rows": [[4]], "num_rows": 1}
        told = json.loads(await text_of(session, "schema"))
        assert (told["libraries"], list(told["tables"])) == (["films"], [table.name for table in TABLES])

        best = found["moments"][0]
        shown = await session.call_tool("show_moment", {"clip_id": str(best["clip_id"])})
        content: list[Any] = list(shown.content)
        text, *pictures = content
        assert text.text.startswith(f"{best['path']} from ")
        sizes = [Image.open(io.BytesIO(base64.b64decode(picture.data))).size for picture in pictures]
        assert len(sizes) == 4
        assert len(set(sizes)) == 1

        for name, arguments, error in (
            ("sql", {"query": "delete from videos"}, "expected reading"),
            ("search", {"text": " "}, "text: got nothing but blanks"),
            ("search", {"text": "a", "library": "x"}, "expected one of films"),
            ("search", {"text": "a", "channels": ["speech"]}, "in: the library has no speech"),
            ("search", {"text": "a", "channels": ["smell"]}, "channels"),
            ("search", {"text": "a", "then": "b", "then_channels": ["speech"]}, "then_in: the library has no speech"),
            ("search", {"text": "a", "distinct": True}, "nobody has looked for duplicates in this library"),
            ("show_moment", {"clip_id": "5"}, "has no clip 5"),
            ("show_moment", {"clip_id": "../x"}, "expected the id of a clip"),
        ):
            refused: Any = await session.call_tool(name, arguments)
            assert refused.is_error, name
            assert error in refused.content[0].text, refused.content


async def text_of(session: ClientSession, tool: str, **arguments: Any) -> str:
    """The text that a tool gives."""
    result: Any = await session.call_tool(tool, arguments)
    assert not result.is_error, result.content
    (content,) = result.content
    text: str = content.text
    return text
