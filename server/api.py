"""The API: JSON for searches, SQL, status, videos, tags and exports. `docs/reference/api.md` has all of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import pyarrow as pa
from starlette.datastructures import FormData, QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from index.sql.formats import json_rows, jsonable
from schemas.errors import UsageError
from schemas.search import Answer, moment_json
from schemas.sql import TABLES
from schemas.text import json_text
from server.commands import Archive, exported, taught
from server.context import clip_of, context_of, library_of, plays
from server.leaving import unless_gone
from server.libraries import SQL_TIMEOUT_S, ServedLibrary
from server.media.video_file import MediaError, VideoFile, check_remote, is_remote, open_checked
from server.openapi import openapi
from server.parameters import marks_of, number, search_options, text, texts
from server.problems import Problem, problem_of
from server.uploads import received

_MOST_BODY = 4 << 20  # bytes of JSON that a call may send
_MOST_RESULT = 64 << 20  # bytes of a query's result; as JSON and as objects it is many times as large


async def search(request: Request) -> Response:
    """Answers of a search by the parameters of ``vidsift search``, and by marks on earlier answers."""
    return await _answered(request, library_of(request), request.query_params)


async def search_by_file(request: Request) -> Response:
    """The same with a picture or a video as the example, sent as the form's ``file``."""
    async with received(request) as (form, file):
        named = text(form, "library")
        library = context_of(request).libraries.named(named) if named else library_of(request)
        try:
            return await _answered(request, library, form, () if file is None else (str(file.path),))
        except UsageError as exc:
            problem = problem_of(exc)
            raise problem if file is None else Problem(problem.status, file.named(problem.detail)) from exc


async def feedback(request: Request) -> Response:
    """Answers in a new order, by marks: a JSON object with a search's parameters, ``right`` and ``wrong``."""
    fields = await _json_object(request)
    given = QueryParams([(name, str(value)) for name, values in fields.items() for value in _as_list(values)])
    return await _answered(request, context_of(request).libraries.named(text(given, "library")), given)


async def sql(request: Request) -> Response:
    """The result of a query: its columns, and its rows as lists."""
    library, given = library_of(request), request.query_params
    query = text(given, "query")
    timeout_s = min(number(given, "timeout", float, SQL_TIMEOUT_S), SQL_TIMEOUT_S)
    most = min(number(given, "limit", int, 10_000), 2**31)
    if timeout_s <= 0 or most < 1:
        raise Problem(HTTPStatus.BAD_REQUEST, "timeout, limit: expected more than 0")

    def answer() -> Response:
        table = library.sql(query, timeout_s)
        num_bytes = table.slice(0, most).nbytes
        if num_bytes > _MOST_RESULT:
            expected = f"expected {_MOST_RESULT >> 20} at most; ask for fewer rows or columns"
            raise Problem(HTTPStatus.BAD_REQUEST, f"the result is {num_bytes >> 20} MB, {expected}")
        return json_response(table_json(table, most))

    # Writing many rows as JSON takes seconds, in which nobody else would be answered.
    return await context_of(request).in_thread(answer)


async def status(request: Request) -> Response:
    """What a library holds, as ``vidsift status --json``."""
    library = library_of(request)
    facts = await context_of(request).in_thread(library.status)
    running = library.running_ingest()
    return json_response({"library": library.name, **asdict(facts), "ingest": None if running is None else asdict(running)})


async def schema(request: Request) -> Response:
    """The tables that SQL sees."""
    tables = [
        {"table": table.name, "meaning": table.meaning, "columns": [column._asdict() for column in table.columns]}
        for table in TABLES
    ]
    return JSONResponse({"tables": tables})


async def video(request: Request) -> Response:
    """A video: its row, how a browser can play it, its clips with their scores for a question, if one is asked, and what
    annotators of whole videos have found in it.
    """  # noqa: D205
    library, given = library_of(request), request.query_params
    options = search_options(given) if texts(given, "text") or texts(given, "like") else None

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        row = library.video_row(request.path_params["video_id"])
        clips = library.clips_of_video(row["video_id"], options).to_pylist()
        return row, {"video": jsonable(row), "clips": clips, **library.channels_of_video(row["video_id"])}

    row, found = await context_of(request).in_thread(read)
    return json_response(found | {"plays": await plays(request, row)})


async def similar(request: Request) -> Response:
    """Moments like a clip."""
    return await _answered(request, library_of(request), request.query_params, (str(clip_of(request)),))


async def tags(request: Request) -> Response:
    """Teach a tag by marked clips: a JSON object with ``name``, ``right`` and ``wrong``."""
    context = context_of(request)
    if not context.may_write:
        raise Problem(
            HTTPStatus.FORBIDDEN, "this server was started with --read-only; start vidsift serve without it to keep tags"
        )
    fields = await _json_object(request)
    library = context.libraries.named(_text_of(fields, "library"))
    name, right, wrong = _text_of(fields, "name"), _clips_of(fields, "right"), _clips_of(fields, "wrong")
    if not name:
        raise Problem(HTTPStatus.BAD_REQUEST, "name: got none, expected the tag's name")
    clips = await context.in_thread(lambda: [library.clip_row(clip_id) for clip_id in (*right, *wrong)])
    if unprintable := next((sign for sign in name if not sign.isprintable()), ""):
        raise Problem(HTTPStatus.BAD_REQUEST, f"name: got the character {unprintable!a} in it, expected text")
    async with context.commands:
        said = await taught(library.folder, name, clips[: len(right)], clips[len(right) :])
    return json_response({"tag": name, "said": said}, HTTPStatus.CREATED)


async def export(request: Request) -> Response:
    """Moments as files: a JSON object with ``moments`` (clip_id, start_s, end_s) and ``form``.

    ``form`` is mp4 (a ZIP file of them), edl, webvtt or csv.
    """
    fields = await _json_object(request)
    context = context_of(request)
    library = context.libraries.named(_text_of(fields, "library"))
    moments, videos = await context.in_thread(lambda: _moments_of(library, fields.get("moments")))

    async def written() -> Archive:
        async with context.exports:
            await context.in_thread(lambda: _check_files(videos))
            archive = await exported(moments, _text_of(fields, "form") or "mp4")
        try:
            await context.in_thread(lambda: _check_files(videos))  # and was while it was read
        except MediaError:
            await archive.removal()
            raise
        return archive

    archive = await unless_gone(request, written())
    return FileResponse(
        archive.file,
        media_type="application/zip",
        filename="moments.zip",
        background=archive.removal,
    )


async def description(request: Request) -> Response:
    """The API by OpenAPI."""
    return JSONResponse(openapi())


async def health(request: Request) -> Response:
    """``ok`` while the server answers."""
    return PlainTextResponse("ok\n")


async def metrics(request: Request) -> Response:
    """What was asked and how long it took, for Prometheus."""
    return Response(context_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


ROUTES = [
    Route("/api/search", search, methods=["GET"]),
    Route("/api/search", search_by_file, methods=["POST"]),
    Route("/api/feedback", feedback, methods=["POST"]),
    Route("/api/sql", sql, methods=["GET"]),
    Route("/api/status", status, methods=["GET"]),
    Route("/api/schema", schema, methods=["GET"]),
    Route("/api/videos/{video_id}", video, methods=["GET"]),
    Route("/api/clips/{clip_id}/similar", similar, methods=["GET"]),
    Route("/api/tags", tags, methods=["POST"]),
    Route("/api/export", export, methods=["POST"]),
    Route("/api/openapi.json", description, methods=["GET"]),
    Route("/healthz", health, methods=["GET"]),
    Route("/metrics", metrics, methods=["GET"]),
]


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as JSON: ``moments`` as ``vidsift search --json`` prints them, and what tells how sure they are."""
    return {
        "moments": [moment_json(moment) for moment in answer.moments],
        "clips": answer.clips,
        "passed": answer.passed,
        "confidence": answer.confidence,
        "stands_out": answer.stands_out,
    }


def table_json(table: pa.Table, most: int) -> dict[str, Any]:
    """The first ``most`` rows of a table: ``columns``, ``rows`` as lists, and ``num_rows`` of the whole."""
    return {"columns": table.column_names, "rows": json_rows(table.slice(0, most)), "num_rows": table.num_rows}


def json_response(value: Any, status: int = HTTPStatus.OK) -> Response:
    """JSON as the commands print it."""
    return Response(json_text(value), status, media_type="application/json")


async def _answered(
    request: Request, library: ServedLibrary, given: QueryParams | FormData, also_like: tuple[str, ...] = ()
) -> Response:
    """The answer to the question that parameters ask, with further examples."""
    options, marks = search_options(given, also_like=also_like), marks_of(given)
    return json_response(answer_json(await context_of(request).in_thread(lambda: library.search(options, marks))))


async def _json_object(request: Request) -> dict[str, Any]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"got more than {_MOST_BODY} bytes; send less")
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Problem(HTTPStatus.BAD_REQUEST, f"got no JSON ({exc}), expected an object") from exc
    if not isinstance(fields, dict):
        raise Problem(HTTPStatus.BAD_REQUEST, "got JSON of another kind, expected an object")
    return fields


def _as_list(value: Any) -> list[Any]:
    """The values of a field; null is none."""
    return [one for one in (value if isinstance(value, list) else [value]) if one is not None]


def _text_of(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: got {json.dumps(value)[:60]}, expected a text")
    return value.strip()


def _clips_of(fields: dict[str, Any], name: str) -> list[int]:
    values = _as_list(fields.get(name, []))
    texts = [str(value) for value in values]  # JavaScript has no whole numbers of 64 bits, and sends texts
    if not all(isinstance(value, int | str) for value in values) or not all(
        value.isascii() and value.isdecimal() and len(value) < 20 for value in texts
    ):
        raise Problem(HTTPStatus.BAD_REQUEST, f"{name}: got {json.dumps(values)[:60]}, expected ids of clips")
    return [int(value) for value in texts]


def _check_files(videos: Iterable[VideoFile]) -> None:
    """Check that each video's file is the one that was indexed, and not what a link leads to by now.

    Raises:
        MediaError: one is not.
    """
    for video in videos:
        if is_remote(video):
            check_remote(video)
        else:
            os.close(open_checked(video))


def _moments_of(library: ServedLibrary, given: Any) -> tuple[list[dict[str, Any]], set[VideoFile]]:
    """The moments of an export as ``vidsift export`` reads them, and the videos that they are of.

    Raises:
        Problem: something is missing, or the library has no such moment.
    """
    if not isinstance(given, list) or not given or len(given) > 1_000:
        raise Problem(HTTPStatus.BAD_REQUEST, "moments: expected a list of 1 to 1000 objects with clip_id, start_s, end_s")
    moments, videos = [], set()
    for moment in given:
        if not isinstance(moment, dict):
            raise Problem(HTTPStatus.BAD_REQUEST, "moments: expected objects with clip_id, start_s and end_s")
        ids = _clips_of({"clip_id": moment.get("clip_id")}, "clip_id")
        if len(ids) != 1:
            raise Problem(HTTPStatus.BAD_REQUEST, f"clip_id: got {len(ids)}, expected one in each object of moments")
        (clip_id,) = ids
        bounds = [moment.get(name) for name in ("start_s", "end_s")]
        if not all(value is None or (isinstance(value, int | float) and abs(value) < 1e9) for value in bounds):
            raise Problem(HTTPStatus.BAD_REQUEST, "start_s, end_s: expected seconds")
        row = library.clip_row(clip_id)
        video, span = library.moment(clip_id, *bounds)
        about = {"label": row["label"], "track": video.track}
        moments.append({"path": row["path"], "start_s": span.start_s, "end_s": span.end_s, **about})
        videos.add(video)
    return moments, videos
