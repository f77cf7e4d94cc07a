"""Offers a library to assistants over MCP on standard input: search, SQL, the tables' meaning, and moments as pictures."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.utilities.types import Image
from mcp_types import ToolAnnotations

from index.search.marks import Marks
from index.sql.formats import json_rows
from schemas.errors import VidsiftError
from schemas.search import Answer, Channel, SearchOptions, moment_json
from schemas.sql import TABLES
from schemas.text import json_text
from server.libraries import ServedLibraries, ServedLibrary
from server.media.renderings import Renderings
from server.media.video_file import MediaError
from server.problems import Problem, problem_of

Result = TypeVar("Result")

_MOST_ROWS = 200
_MOST_MOMENTS = 50

# Pictures of a moment, evenly spread over it.
_FRAMES = 4
_WIDTH = 480

_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)

_ABOUT = (
    "A library of indexed videos. `search` finds moments by what they show and, where the library knows it, by what is said "
    "and can be read in them; `reasons` say which. `show_moment` gives pictures of one; `sql` asks the tables, which "
    "`schema` explains. Scores compare within one search only; `confidence` says how far a moment stands out, and below "
    "0.35 nothing in the library looks like that."
)


def assistants_server(libraries: ServedLibraries, renderings: Renderings) -> MCPServer:
    """The MCP server over some libraries. All its tools only read."""
    server = MCPServer("vidsift", instructions=_ABOUT, version=version("vidsift"))

    def named(library: str) -> ServedLibrary:
        return libraries.named(library)

    @server.tool(annotations=_READS)
    async def search(
        text: str,
        k: int = 10,
        where: str = "",
        without: str = "",
        then: str = "",
        channels: list[Channel] | None = None,
        then_channels: list[Channel] | None = None,
        distinct: bool = False,
        library: str = "",
    ) -> str:
        """Find moments that show or say what a text does.

        Args:
            text: what to look for, such as "people baking a cake".
            k: how many moments, up to 50.
            where: a condition in SQL, such as "duration_s > 60 and label = 'waving'".
            without: what moments must not show.
            then: what follows in the same video within 30 s.
            channels: what to look in; none is all that the library has. In speech and text, "two words" in quotes are a
                phrase, and word* finds all that begins so.
            then_channels: what to look for `then` in; none is where `text` is looked for.
            distinct: of moments that show the same footage, give the best alone.
            library: name of the library; the first one where it is empty.
        """

        def ask() -> Answer:
            options = SearchOptions(
                texts=(text,),
                k=min(k, _MOST_MOMENTS),
                where=where or None,
                without=(without,) if without else (),
                then_text=then or None,
                show_all=True,
                channels=tuple(channels or ()),
                then_channels=tuple(then_channels or channels or ()) if then else (),
                distinct=distinct,
            )
            return named(library).search(options, Marks())

        answer = await _told(ask)
        moments = [moment_json(moment) for moment in answer.moments]
        return json_text({"stands_out": answer.stands_out, "confidence": answer.confidence, "moments": moments})

    @server.tool(annotations=_READS)
    async def sql(query: str, library: str = "") -> str:
        """Ask the tables that `schema` explains with one statement of DuckDB's SQL, which may only read.

        Args:
            query: the statement; at most 200 rows of its result are given.
            library: name of the library; the first one where it is empty.
        """
        table = await _told(lambda: named(library).sql(query))
        rows = json_rows(table.slice(0, _MOST_ROWS))
        return json_text({"columns": table.column_names, "rows": rows, "num_rows": table.num_rows})

    @server.tool(annotations=_READS)
    async def schema() -> str:
        """The tables that SQL sees, and what their columns mean; the names of the libraries."""
        tables = {
            table.name: {"meaning": table.meaning, "columns": {column.name: column.meaning for column in table.columns}}
            for table in TABLES
        }
        return json.dumps({"libraries": libraries.names, "tables": tables})

    @server.tool(annotations=_READS, structured_output=False)
    async def show_moment(
        clip_id: str, start_s: float | None = None, end_s: float | None = None, library: str = ""
    ) -> list[Any]:
        """Pictures of a moment: four frames, evenly spread over it.

        Args:
            clip_id: of a clip, as search and SQL give it; as a text, since it has more digits than JSON's numbers keep.
            start_s: where the moment begins, if not at the clip's start.
            end_s: where it ends, if not at the clip's end.
            library: name of the library; the first one where it is empty.
        """
        if not (clip_id.isascii() and clip_id.isdecimal() and len(clip_id) < 20):
            raise ToolError(f"clip_id: got {clip_id!r}, expected the id of a clip, as a search gives it")
        video, span = await _told(lambda: named(library).moment(int(clip_id), start_s, end_s))
        length_s = (span.end_s - span.start_s) / _FRAMES
        parts = [
            span._replace(start_s=span.start_s + n * length_s, end_s=span.start_s + (n + 1) * length_s)
            for n in range(_FRAMES)
        ]
        try:
            files = await asyncio.gather(*(renderings.picture(video, part, _WIDTH) for part in parts))
        except MediaError as exc:
            raise ToolError(str(exc)) from exc
        told = f"{video.path} from {span.start_s:.2f} to {span.end_s:.2f} s"
        return [told, *(Image(data=file.read_bytes(), format="jpeg") for file in files)]

    return server


async def _told(work: Callable[[], Result]) -> Result:
    """The result of a call that blocks; what is wrong with it as the tool's error."""
    try:
        return await asyncio.to_thread(work)
    except (VidsiftError, Problem) as exc:
        raise ToolError(problem_of(exc).detail) from exc


def run_assistants_server(libraries: ServedLibraries) -> None:
    """Serve on standard input and output until the other side ends."""
    asyncio.run(_run(libraries))


async def _run(libraries: ServedLibraries) -> None:
    with tempfile.TemporaryDirectory(prefix="vidsift-pictures-") as folder:
        renderings = Renderings(Path(folder), cache_mb=256)
        try:
            await assistants_server(libraries, renderings).run_stdio_async()
        finally:
            await renderings.close()
            libraries.close()
