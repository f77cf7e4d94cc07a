"""The pages: HTML made on the server, by Jinja's templates in ``web/templates``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from index.history import change_text
from index.search.confidence import MIN_CONFIDENCE
from index.search.marks import Marks
from index.sql.formats import cell_rows
from schemas.errors import UsageError
from schemas.search import Moment
from schemas.sql import TABLES
from schemas.text import clock
from server.chips import chip_groups, label_counts
from server.context import context_of, library_of, plays
from server.libraries import ServedLibrary
from server.media.playable import Play
from server.parameters import SEARCH_PARAMETERS, clip_ids, marks_of, number, search_options, text, texts
from server.problems import Problem, problem_of
from server.uploads import received

_SHOWN_ROWS = 1_000
_SHOWN_SNAPSHOTS = 50
_DEFAULT_K = 24

# Clips before and after a moment that its page shows.
_NEIGHBOURS = 4

_EXAMPLES = (
    ("labels by clips", "select label, count(*) as clips from labels where rank = 1 group by label order by clips desc"),
    ("surest clips of each label", "select label, clip_id, path, start_s, score from labels where rank = 1 "
     "qualify row_number() over (partition by label order by score desc) = 1 order by label"),
    ("videos by codec", "select codec, container, count(*) as videos, sum(duration_s) / 3600 as hours "
     "from videos group by all"),
    ("what failed", "select path, error_stage, error from videos where status <> 'indexed'"),
)  # fmt: skip


def rendering_address(clip_id: int, start_s: float, end_s: float, library: ServedLibrary, kind: str) -> str:
    """The address of a moment's picture (jpg), strip (webp) or clip (mp4)."""
    span = {"start": f"{start_s:.3f}", "end": f"{end_s:.3f}", "library": library.name}
    return f"/api/moments/{clip_id}.{kind}?{urlencode(span)}"


def file_name(path: str) -> str:
    """The last part of a path."""
    return PurePath(path).name


_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "web" / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["clock"] = clock
_TEMPLATES.filters["file_name"] = file_name
_TEMPLATES.globals["rendering_address"] = rendering_address


async def search(request: Request) -> Response:
    """The search page: a form, and the moments that answer it."""
    library, context = library_of(request), context_of(request)
    return await context.in_thread(lambda: _search(request, library, context.may_write))


async def search_by_file(request: Request) -> Response:
    """The search page for a picture or a clip that was sent as the form's ``file``."""
    library, context = library_of(request), context_of(request)
    async with received(request) as (form, file):
        given = QueryParams([(name, value) for name, value in form.multi_items() if isinstance(value, str)])
        example = () if file is None else (str(file),)
        return await context.in_thread(lambda: _search(request, library, context.may_write, given, example))


def _search(
    request: Request,
    library: ServedLibrary,
    may_write: bool,
    given: QueryParams | None = None,
    example: tuple[str, ...] = (),
) -> Response:
    given, begun = given or request.query_params, time.perf_counter()
    answer, error, status, marks = None, None, HTTPStatus.OK, Marks()
    try:
        marks = marks_of(given)
        if texts(given, "text") or texts(given, "like") or example:
            asked = given if text(given, "k") else QueryParams([*given.multi_items(), ("k", str(_DEFAULT_K))])
            options = search_options(asked, also_like=example)
            answer = library.search(options, marks)
    except UsageError as exc:
        problem = problem_of(exc)
        error, status = problem.detail, HTTPStatus(problem.status)
    took_ms = 1000 * (time.perf_counter() - begun)
    names = ("then", "within", "not", "by", "where", "k")
    counts = library.rows("select (select count(*) from clips) as clips, (select count(*) from videos) as videos")[0]
    return _page(
        request,
        "search.html",
        library,
        "/",
        status,
        given={name: text(given, name) for name in names},
        texts=texts(given, "text"),
        asked=", ".join(texts(given, "text")),
        like=_ids(given),
        marks=marks,
        k=number(given, "k", int, _DEFAULT_K) if error is None else _DEFAULT_K,
        answer=answer,
        marked=_marked(library, marks if error is None else Marks()),
        error=error,
        took_ms=took_ms,
        snapshot=library.snapshot,
        chips=chip_groups(library, text(given, "where"), lambda where: _address("/", given, where=where)),
        suggestions=[] if answer else [name for name, _ in label_counts(library, 12)],
        may_write=may_write,
        moment_address=lambda moment: _moment_address(moment.clip_id, given, moment.start_s, moment.end_s),
        address_with=lambda name, value: _address("/", given, **{name: str(value)}),
        address_without=lambda *left_out: _address("/", given, **dict.fromkeys(left_out, "")),
        **counts,
    )


async def moment(request: Request) -> Response:
    """A moment's page: the player, the timeline of its video, and what lies around it."""
    library, context = library_of(request), context_of(request)
    clip = await context.in_thread(lambda: library.clip_row(request.path_params["clip_id"]))
    how = await plays(request, library, clip["video_id"])
    return await context.in_thread(lambda: _moment(request, library, clip, how))


def _moment(request: Request, library: ServedLibrary, clip: dict[str, Any], how: Play) -> Response:
    given = request.query_params
    start_s = number(given, "start", float, clip["start_s"])
    end_s = number(given, "end", float, clip["end_s"])
    _, span = library.moment(clip["clip_id"], start_s, end_s)
    video = library.video_row(clip["video_id"])
    question = [(name, value) for name, value in given.multi_items() if name not in ("start", "end")]
    asked = given.__class__(question)
    options = search_options(asked) if texts(asked, "text") or texts(asked, "like") else None
    clips = library.clips_of_video(video["video_id"], options).to_pylist()
    hits = library.search(options, marks_of(asked)).moments if options else ()
    own_hits = sorted((hit for hit in hits if _is_hit(hit, video["video_id"])), key=lambda hit: hit.start_s)
    media = f"/media/{video['video_id']}?{urlencode({'library': library.name})}"
    moment_file = rendering_address(clip["clip_id"], span.start_s, span.end_s, library, "mp4")
    return _page(
        request,
        "moment.html",
        library,
        "/",
        clip=clip,
        video=video,
        start_s=span.start_s,
        end_s=span.end_s,
        plays=how,
        source=media if how == "file" else moment_file,
        moment_file=moment_file,
        bars=_bars(clips, own_hits, clip["clip_id"], float(video["duration_s"] or 1), asked),
        labels=_common_labels(clips),
        before=_hit_address([hit for hit in own_hits if hit.end_s <= span.start_s][-1:], asked),
        after=_hit_address([hit for hit in own_hits if hit.start_s >= span.end_s][:1], asked),
        neighbours=_neighbours(clips, span.start_s, span.end_s, video["path"], asked),
    )


async def sql(request: Request) -> Response:
    """The page for queries."""
    library = library_of(request)
    return await context_of(request).in_thread(lambda: _sql(request, library))


def _sql(request: Request, library: ServedLibrary) -> Response:
    query, begun = text(request.query_params, "query"), time.perf_counter()
    found: dict[str, Any] = {"columns": None, "rows": [], "clip_ids": None, "num_rows": 0, "error": None}
    status = HTTPStatus.OK
    if query:
        try:
            table = library.sql(query)
            shown = table.slice(0, _SHOWN_ROWS)
            ids = shown["clip_id"].to_pylist() if "clip_id" in shown.column_names else None
            found |= {"columns": table.column_names, "rows": cell_rows(shown), "clip_ids": ids, "num_rows": table.num_rows}
        except UsageError as exc:
            problem = problem_of(exc)
            found["error"], status = problem.detail, HTTPStatus(problem.status)
    columns = {column.name for table in TABLES for column in table.columns}
    words = sorted({*library.keywords(), *columns, *(table.name for table in TABLES)})
    took_ms = 1000 * (time.perf_counter() - begun)
    return _page(
        request, "sql.html", library, "/sql", status,
        query=query, took_ms=took_ms, words=words, tables=TABLES, examples=_EXAMPLES, **found,
    )  # fmt: skip


async def library_page(request: Request) -> Response:
    """The state of a library: what it holds, what failed, and charts."""
    library = library_of(request)
    return await context_of(request).in_thread(lambda: _library(request, library))


def _library(request: Request, library: ServedLibrary) -> Response:
    by_day = (
        "select strftime(modified_at, '%Y-%m-%d') as name, sum(clip_count)::bigint as count "
        "from videos group by 1 order by 1 desc limit 31"
    )
    by_folder = (
        "select regexp_extract(path, '^(.*)/', 1) as name, sum(clip_count)::bigint as count "
        "from videos group by 1 order by 2 desc limit 20"
    )
    charts = [
        _chart("label", label_counts(library, 20), "label = {}", library),
        _chart("day", _counted(library, by_day), "strftime(modified_at, '%Y-%m-%d') = {}", library),
        _chart("folder", _counted(library, by_folder), "regexp_extract(path, '^(.*)/', 1) = {}", library),
    ]
    return _page(
        request,
        "library.html",
        library,
        "/library",
        status=library.status(),
        charts=charts,
        running=library.running_ingest(),
        snapshots=library.history()[:_SHOWN_SNAPSHOTS],
        change_text=change_text,
    )


def problem_page(request: Request, problem: Problem) -> Response:
    """A problem as a page."""
    context = context_of(request)
    title = HTTPStatus(problem.status).phrase
    library = context.libraries.named(None)
    return _page(request, "problem.html", library, "/", HTTPStatus(problem.status), title=title, detail=problem.detail)


ROUTES = [
    Route("/", search, methods=["GET"]),
    Route("/find-by-file", search_by_file, methods=["POST"]),
    Route("/moment/{clip_id:int}", moment, methods=["GET"]),
    Route("/sql", sql, methods=["GET"]),
    Route("/library", library_page, methods=["GET"]),
]


def _page(
    request: Request,
    template: str,
    library: ServedLibrary,
    page: str,
    status_code: HTTPStatus = HTTPStatus.OK,
    **values: Any,
) -> Response:
    libraries = context_of(request).libraries.names
    html = _TEMPLATES.get_template(template).render(library=library, libraries=libraries, page=page, **values)
    return HTMLResponse(html, status_code, {"cache-control": "no-store"})


def _address(path: str, given: Any, **changed: str) -> str:
    """The address of a page with the parameters of this one, but for those that are ``changed``; empty ones are left out."""
    kept = [(name, value) for name, value in given.multi_items() if name not in changed and value]
    return f"{path}?{urlencode([*kept, *((name, value) for name, value in changed.items() if value)])}"


def _moment_address(clip_id: int, given: Any, start_s: float, end_s: float) -> str:
    question = [(name, value) for name, value in given.multi_items() if name in SEARCH_PARAMETERS and value]
    return f"/moment/{clip_id}?{urlencode([('start', f'{start_s:.3f}'), ('end', f'{end_s:.3f}'), *question])}"


def _is_hit(hit: Moment, video_id: str) -> bool:
    """Whether an answer is of this video, and sure enough to be called a hit."""
    return hit.video_id == video_id and hit.confidence >= MIN_CONFIDENCE


def _hit_address(hits: Sequence[Moment], given: Any) -> str | None:
    return next((_moment_address(hit.clip_id, given, hit.start_s, hit.end_s) for hit in hits), None)


def _marked(library: ServedLibrary, marks: Marks) -> Callable[[Moment], list[int]]:
    """Tells which clips that were called right a moment shows at least half of; its own best clip may be another one."""
    right = [library.clip_row(clip_id) for clip_id in marks.right]

    def of(moment: Moment) -> list[int]:
        return [
            clip["clip_id"]
            for clip in right
            if clip["video_id"] == moment.video_id
            and min(clip["end_s"], moment.end_s) - max(clip["start_s"], moment.start_s)
            >= 0.5 * (clip["end_s"] - clip["start_s"])
        ]

    return of


def _ids(given: Any) -> tuple[int, ...]:
    try:
        return clip_ids(given, "like")
    except UsageError:
        return ()


def _bars(
    clips: Sequence[dict[str, Any]], hits: Sequence[Moment], here: int, duration_s: float, given: Any
) -> list[dict[str, Any]]:
    """The bars of a timeline that is 1000 wide and 60 high: one for each clip, as high as its score among the video's."""
    scores = [clip["score"] for clip in clips if clip["score"] is not None]
    lowest, highest = (min(scores), max(scores)) if scores else (0.0, 1.0)
    bars = []
    for clip, following in zip(clips, [*clips[1:], None], strict=True):
        next_s = clip["end_s"] if following is None else following["start_s"]
        share = 0.5 if clip["score"] is None else (clip["score"] - lowest) / max(highest - lowest, 1e-9)
        middle_s = (clip["start_s"] + clip["end_s"]) / 2
        bars.append(
            clip
            | {
                "x": round(1000 * clip["start_s"] / duration_s, 2),
                "width": round(max(1000 * (min(next_s, clip["end_s"]) - clip["start_s"]) / duration_s, 1), 2),
                "height": round(4 + 52 * share, 1),
                "is_hit": any(hit.start_s <= middle_s < hit.end_s for hit in hits),
                "is_here": clip["clip_id"] == here,
                "address": _moment_address(clip["clip_id"], given, clip["start_s"], clip["end_s"]),
            }
        )
    return bars


def _common_labels(clips: Iterable[dict[str, Any]]) -> list[str]:
    """The labels of a video's clips, those of the most clips first."""
    counts: dict[str, int] = {}
    for clip in clips:
        if clip["label"] is not None:
            counts[clip["label"]] = counts.get(clip["label"], 0) + 1
    return sorted(counts, key=lambda label: -counts[label])[:5]


def _neighbours(
    clips: Sequence[dict[str, Any]], start_s: float, end_s: float, path: str, given: Any
) -> list[dict[str, Any]]:
    """Clips before and after a moment that do not overlap it or each other."""
    before, after = list[dict[str, Any]](), list[dict[str, Any]]()
    for clip in reversed(clips):
        if clip["end_s"] <= (before[-1]["start_s"] if before else start_s) + 1e-3 and len(before) < _NEIGHBOURS:
            before.append(clip)
    for clip in clips:
        if clip["start_s"] >= (after[-1]["end_s"] if after else end_s) - 1e-3 and len(after) < _NEIGHBOURS:
            after.append(clip)
    return [
        clip
        | {
            "path": path,
            "confidence": None,
            "parts": (),
            "moments": 1,
            "labels": [{"label": clip["label"], "score": clip["label_score"]}] if clip["label"] is not None else [],
            "address": _moment_address(clip["clip_id"], given, clip["start_s"], clip["end_s"]),
        }
        for clip in (*reversed(before), *after)
    ]


def _counted(library: ServedLibrary, query: str) -> list[tuple[str, int]]:
    return [(row["name"], row["count"]) for row in library.rows(query) if row["name"] is not None]


def _chart(name: str, counts: Sequence[tuple[str, int]], condition: str, library: ServedLibrary) -> dict[str, Any]:
    """A bar chart whose bars lead to a search under a condition."""
    most = max((count or 0 for _, count in counts), default=0) or 1
    rows = []
    for value, count in counts:
        quoted = "'" + value.replace("'", "''") + "'"
        query = (
            "select clip_id, path, start_s, label, label_score from clips join videos using (video_id, path) "
            f"where {condition.format(quoted)} limit 200"
        )
        rows.append(
            {
                "name": value,
                "count": count or 0,
                "width": round(300 * (count or 0) / most, 1),
                "address": f"/sql?{urlencode({'library': library.name, 'query': query})}",
            }
        )
    return {"name": f"Clips by {name}", "rows": rows}
