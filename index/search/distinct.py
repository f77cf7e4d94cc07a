"""Of answers that show the same footage, the best alone: by the table ``duplicates``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from index.snapshot.snapshot import DUPLICATES_FILE, Snapshot
from schemas.duplicates import SharedSpan
from schemas.errors import UsageError
from schemas.records import Span
from schemas.search import MOST, Answer, Moment, SearchOptions

# An answer shows what another shows where so much of the shorter one is the same footage.
_SAME = 0.5

_DEEPER = 3

Shared = dict[str, list[tuple[str, SharedSpan]]]
"""By video id: the spans that it shares, each with the other video's id."""


def knows_duplicates(snapshot: Snapshot) -> bool:
    """Whether duplicates were looked for in the library."""
    return DUPLICATES_FILE in snapshot.info.sha256


def distinct_answer(snapshot: Snapshot, ask: Callable[[SearchOptions], Answer], options: SearchOptions) -> Answer:
    """The answer without moments that show what a better one shows, filled up to ``options.k`` from those that follow.

    Args:
        snapshot: of the library.
        ask: answers a question.
        options: the question.

    Raises:
        UsageError: duplicates were never looked for in this library.
    """
    if not knows_duplicates(snapshot):
        raise UsageError(
            "nobody has looked for duplicates in this library; run first: vidsift duplicates --library DIR",
            argument="distinct",
        )
    shared = _shared(snapshot)
    k = options.k
    while True:
        answer = ask(replace(options, k=k))
        kept = list(distinct(answer.moments, shared))[: options.k]
        if len(kept) == options.k or len(answer.moments) < k or k >= MOST:
            moments = tuple(replace(moment, rank=rank) for rank, moment in enumerate(kept, 1))
            return replace(answer, moments=moments)
        k = min(k * _DEEPER, MOST)


def distinct(moments: Iterable[Moment], shared: Shared) -> Iterator[Moment]:
    """The moments but for those that show what one before them shows; what is left out counts too."""
    shown: dict[str, list[Span]] = defaultdict(list)
    for moment in moments:
        span = Span(moment.start_s, moment.end_s)
        is_shown = any(
            _overlap(span, other) >= _SAME * min(_length(span), _length(other)) for other in shown[moment.video_id]
        )
        for video_id, same in shared.get(moment.video_id, ()):
            low, high = max(span.start_s, same.span.start_s), min(span.end_s, same.span.end_s)
            if high > low:
                to_other = [same.other.start_s + same.speed * (time_s - same.span.start_s) for time_s in (low, high)]
                shown[video_id].append(Span(*to_other))
        if not is_shown:
            yield moment


def _overlap(one: Span, other: Span) -> float:
    return min(one.end_s, other.end_s) - max(one.start_s, other.start_s)


def _length(span: Span) -> float:
    return max(span.end_s - span.start_s, 1e-6)


def _shared(snapshot: Snapshot) -> Shared:
    shared: Shared = defaultdict(list)
    for row in snapshot.catalog.sql("from duplicates").to_pylist():
        span, other = Span(row["start_s"], row["end_s"]), Span(row["other_start_s"], row["other_end_s"])
        same = SharedSpan(span, other, row["speed"], row["mirrored"], row["confidence"])
        shared[row["video_id"]].append((row["other_video_id"], same))
    return shared
