"""A moment's page: the player, the timeline of its video, what is said and can be read in it, and what lies around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from index.search.confidence import MIN_CONFIDENCE
from schemas.search import Moment, SearchOptions
from server.addresses import moment_address, rendering_address
from server.context import clip_of, context_of, library_of, plays
from server.libraries import ServedLibrary
from server.media.playable import Play
from server.parameters import marks_of, number
from server.question import question_of
from server.rendered_page import rendered_page
from server.rows import moment_span
from server.timeline import bars, common_labels, neighbours, shot_marks
from server.transcript import highlighter, transcripts

Row = dict[str, Any]


async def moment(request: Request) -> Response:
    """The page of a moment of a clip, or of the seconds that the address names."""
    library, context, clip_id = library_of(request), context_of(request), clip_of(request)

    def read() -> tuple[Row, Row]:
        clip = library.clip_row(clip_id)
        return clip, library.video_row(clip["video_id"])

    clip, video = await context.in_thread(read)
    how = await plays(request, video)
    return await context.in_thread(lambda: _moment(request, library, clip, video, how))


def _moment(request: Request, library: ServedLibrary, clip: Row, video: Row, how: Play) -> Response:
    given = request.query_params
    span = moment_span(clip, video, number(given, "start", float, None), number(given, "end", float, None))
    options, duration_s = question_of(given), float(video["duration_s"] or 1)
    clips = library.clips_of_video(video["video_id"], _seen(options)).to_pylist()
    hits = [] if options is None else _hits(library.last_answer(options, marks_of(given)).moments, video["video_id"])
    channels = library.channels_of_video(video["video_id"])
    media = f"/media/{video['video_id']}?{urlencode({'library': library.name})}"
    moment_file = rendering_address(clip["clip_id"], *span, library, "mp4")
    return rendered_page(
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
        bars=bars(clips, hits, clip["clip_id"], duration_s, given),
        shots=shot_marks(channels["shots"], duration_s),
        labels=common_labels(clips),
        before=_address([hit for hit in hits if hit.end_s <= span.start_s][-1:], given),
        after=_address([hit for hit in hits if hit.start_s >= span.end_s][:1], given),
        transcripts=transcripts(
            channels,
            highlighter(library, options),
            lambda start_s, end_s: moment_address(clip["clip_id"], given, start_s, end_s),
        ),
        neighbours=neighbours(clips, span, video["path"], given),
    )


def _seen(options: SearchOptions | None) -> SearchOptions | None:
    """The question, if it is to be looked for in pictures: only then clips have scores for it."""
    return options if options is None or not options.channels or "pictures" in options.channels else None


def _hits(moments: Sequence[Moment], video_id: str) -> list[Moment]:
    """The answers of a video that are sure enough to be called hits, in the order of time."""
    own = (moment for moment in moments if moment.video_id == video_id and moment.confidence >= MIN_CONFIDENCE)
    return sorted(own, key=lambda hit: hit.start_s)


def _address(hits: Sequence[Moment], given: Any) -> str | None:
    return next((moment_address(hit.clip_id, given, hit.start_s, hit.end_s) for hit in hits), None)
