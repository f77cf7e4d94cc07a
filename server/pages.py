"""The pages: HTML made on the server. That of a moment is `server.moment_page`."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from index.history import change_text
from index.search.marks import Marks, shows_half_of
from index.sql.formats import cell_rows
from schemas.errors import UsageError
from schemas.records import Span
from schemas.search import Moment
from schemas.sql import TABLES
from server.addresses import moment_address, page_address
from server.charts import charts
from server.chips import chip_groups, label_counts
from server.context import context_of, library_of
from server.libraries import ServedLibrary
from server.moment_page import moment
from server.parameters import MOST_ANSWERS, marks_of, text, texts
from server.problems import Problem, problem_of, title_of
from server.question import DEFAULT_K, question_of
from server.rendered_page import rendered_page
from server.transcript import reason_highlighter
from server.uploads import SentFile, received

_SHOWN_ROWS = 1_000
_SHOWN_SNAPSHOTS = 50

# Boxes of the search page with one text.
_BOXES = ("then", "within", "not", "by", "where", "k")

_EXAMPLES = (
    ("labels by clips", "select label, count(*) as clips from labels where rank = 1 group by label order by clips desc"),
    ("surest clips of each label", "select label, clip_id, path, start_s, score from labels where rank = 1 "
     "qualify row_number() over (partition by label order by score desc) = 1 order by label"),
    ("videos by codec", "select codec, container, count(*) as videos, sum(duration_s) / 3600 as hours "
     "from videos group by all"),
    ("what failed", "select path, error_stage, error from videos where status <> 'indexed'"),
)  # fmt: skip


async def search(request: Request) -> Response:
    """The search page: a form, and the moments that answer it."""
    library, context = library_of(request), context_of(request)
    return await context.in_thread(lambda: _search(request, library, context.may_write))


async def search_by_file(request: Request) -> Response:
    """The search page for a picture or a clip that was sent as the form's ``file``."""
    library, context = library_of(request), context_of(request)
    async with received(request) as (form, file):
        given = QueryParams([(name, value) for name, value in form.multi_items() if isinstance(value, str)])
        return await context.in_thread(lambda: _search(request, library, context.may_write, given, file))


def _search(
    request: Request,
    library: ServedLibrary,
    may_write: bool,
    given: QueryParams | None = None,
    file: SentFile | None = None,
) -> Response:
    """The page for the parameters ``given``, or those of the address.

    No address holds a ``file`` that was sent: what would lead to another answer for it is left out of its page.
    """
    given, begun = given or request.query_params, time.perf_counter()
    options, answer, error, status, marks = None, None, None, int(HTTPStatus.OK), Marks()
    try:
        marks = marks_of(given)
        options = question_of(given, () if file is None else (str(file.path),))
        if options is not None:
            answer = library.search(options, marks)
    except UsageError as exc:
        problem = problem_of(exc)
        error, status = problem.detail, problem.status
        if file is not None:
            error = file.named(error)
    took_ms = 1000 * (time.perf_counter() - begun)
    counts = library.rows("select (select count(*) from clips) as clips, (select count(*) from videos) as videos")[0]
    return rendered_page(
        request,
        "search.html",
        library,
        "/",
        status,
        given={name: text(given, name) for name in _BOXES},
        texts=texts(given, "text"),
        asked=", ".join(texts(given, "text")),
        like=[clip_id for clip_id in texts(given, "like") if clip_id.isdecimal()],
        channels=library.channels,
        chosen={name: texts(given, name) for name in ("in", "then_in")},
        distinct=text(given, "distinct"),
        marks=marks,
        k=DEFAULT_K if options is None else options.k,
        most=MOST_ANSWERS,
        answer=answer,
        marked=_marked(library, marks if error is None else Marks()),
        error=error,
        took_ms=took_ms,
        snapshot=library.snapshot,
        sent=None if file is None else file.name,
        chips=[]
        if file is not None
        else chip_groups(library, text(given, "where"), lambda where: page_address("/", given, where=where)),
        suggestions=[] if answer else [name for name, _ in label_counts(library, 12)],
        may_write=may_write,
        highlight=reason_highlighter(library, options),
        moment_address=lambda moment: moment_address(moment.clip_id, given, moment.start_s, moment.end_s),
        address_with=lambda name, value: page_address("/", given, **{name: str(value)}),
        address_without=lambda *left_out: page_address("/", given, **dict.fromkeys(left_out, "")),
        **counts,
    )


async def sql(request: Request) -> Response:
    """The page for queries."""
    library = library_of(request)
    return await context_of(request).in_thread(lambda: _sql(request, library))


def _sql(request: Request, library: ServedLibrary) -> Response:
    query, begun = text(request.query_params, "query"), time.perf_counter()
    found: dict[str, Any] = {"columns": None, "rows": [], "clip_ids": None, "num_rows": 0, "error": None}
    status = int(HTTPStatus.OK)
    if query:
        try:
            table = library.sql(query)
            shown = table.slice(0, _SHOWN_ROWS)
            ids = shown["clip_id"].to_pylist() if "clip_id" in shown.column_names else None
            found |= {"columns": table.column_names, "rows": cell_rows(shown), "clip_ids": ids, "num_rows": table.num_rows}
        except UsageError as exc:
            problem = problem_of(exc)
            found["error"], status = problem.detail, problem.status
    columns = {column.name for table in TABLES for column in table.columns}
    words = sorted({*library.keywords(), *columns, *(table.name for table in TABLES)})
    took_ms = 1000 * (time.perf_counter() - begun)
    return rendered_page(
        request, "sql.html", library, "/sql", status,
        query=query, took_ms=took_ms, words=words, tables=TABLES, examples=_EXAMPLES, **found,
    )  # fmt: skip


async def library_page(request: Request) -> Response:
    """The state of a library: what it holds, what failed, and charts."""
    library = library_of(request)
    return await context_of(request).in_thread(lambda: _library(request, library))


def _library(request: Request, library: ServedLibrary) -> Response:
    return rendered_page(
        request,
        "library.html",
        library,
        "/library",
        status=library.status(),
        charts=charts(library),
        running=library.running_ingest(),
        snapshots=library.history()[:_SHOWN_SNAPSHOTS],
        change_text=change_text,
    )


def problem_page(request: Request, problem: Problem) -> Response:
    """A problem as a page."""
    title = title_of(problem.status) or f"Error {problem.status}"
    library = context_of(request).libraries.named(None)
    return rendered_page(request, "problem.html", library, "/", problem.status, title=title, detail=problem.detail)


ROUTES = [
    Route("/", search, methods=["GET"]),
    Route("/find-by-file", search_by_file, methods=["POST"]),
    Route("/moment/{clip_id}", moment, methods=["GET"]),
    Route("/sql", sql, methods=["GET"]),
    Route("/library", library_page, methods=["GET"]),
]


def _marked(library: ServedLibrary, marks: Marks) -> Callable[[Moment], list[int]]:
    """Tells which clips that were called right a moment shows at least half of; its own best clip may be another one."""
    right = [library.clip_row(clip_id) for clip_id in marks.right]

    def of(moment: Moment) -> list[int]:
        return [
            clip["clip_id"]
            for clip in right
            if clip["video_id"] == moment.video_id
            and shows_half_of(Span(clip["start_s"], clip["end_s"]), moment.start_s, moment.end_s)
        ]

    return of
