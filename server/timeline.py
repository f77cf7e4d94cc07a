"""What a moment's page shows of its video in the order of time: bars, shots, labels, and the clips around the moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.records import Span
from schemas.search import Moment
from schemas.times import SAME_MOMENT_S
from server.addresses import moment_address

WIDTH = 1000
"""How wide a timeline is, in its own units."""

_BAR_HEIGHT = 52  # of the highest score, above the lowest's
_LEAST_HEIGHT = 4

_COMMON_LABELS = 5

# Clips before and after a moment that its page shows.
_NEIGHBOURS = 4


def bars(
    clips: Sequence[dict[str, Any]], hits: Sequence[Moment], here: int, duration_s: float, given: Any
) -> list[dict[str, Any]]:
    """The bars of a timeline that is 60 high: one for each clip, as high as its score among the video's.

    Args:
        clips: of the video, in the order of time, with their ``score``, which may be None.
        hits: the moments of the video that answer the question.
        here: the id of the clip that the page shows.
        duration_s: of the video.
        given: the parameters of the page.
    """
    scores = [clip["score"] for clip in clips if clip["score"] is not None]
    lowest, highest = (min(scores), max(scores)) if scores else (0.0, 1.0)
    shown = []
    for clip, following in zip(clips, [*clips[1:], None], strict=True):
        next_s = clip["end_s"] if following is None else following["start_s"]
        share = 0.5 if clip["score"] is None else (clip["score"] - lowest) / max(highest - lowest, 1e-9)
        middle_s = (clip["start_s"] + clip["end_s"]) / 2
        shown.append(
            clip
            | {
                "x": _x(clip["start_s"], duration_s),
                "width": max(_x(min(next_s, clip["end_s"]) - clip["start_s"], duration_s), 1),
                "height": round(_LEAST_HEIGHT + _BAR_HEIGHT * share, 1),
                "is_hit": any(hit.start_s <= middle_s < hit.end_s for hit in hits),
                "is_here": clip["clip_id"] == here,
                "address": moment_address(clip["clip_id"], given, clip["start_s"], clip["end_s"]),
            }
        )
    return shown


def shot_marks(shots: Iterable[dict[str, Any]], duration_s: float) -> list[dict[str, Any]]:
    """Where shots begin on the timeline: ``x``, ``start_s`` and ``transition``; that of the first is none."""
    return [shot | {"x": _x(shot["start_s"], duration_s)} for shot in shots if shot["transition"] != "start"]


def _x(seconds: float, duration_s: float) -> float:
    return round(WIDTH * seconds / duration_s, 2)


def common_labels(clips: Iterable[dict[str, Any]]) -> list[str]:
    """The labels of a video's clips, those of the most clips first."""
    counts = Counter(clip["label"] for clip in clips if clip["label"] is not None)
    return [label for label, _ in counts.most_common(_COMMON_LABELS)]


def neighbours(clips: Sequence[dict[str, Any]], span: Span, path: str, given: Any) -> list[dict[str, Any]]:
    """Clips before and after a moment that do not overlap it or each other, as the page's cards show them.

    Args:
        clips: of the video, in the order of time.
        span: the moment's.
        path: of the video.
        given: the parameters of the page.
    """
    before, after = list[dict[str, Any]](), list[dict[str, Any]]()
    for clip in reversed(clips):
        first_s = before[-1]["start_s"] if before else span.start_s
        if clip["end_s"] <= first_s + SAME_MOMENT_S and len(before) < _NEIGHBOURS:
            before.append(clip)
    for clip in clips:
        last_s = after[-1]["end_s"] if after else span.end_s
        if clip["start_s"] >= last_s - SAME_MOMENT_S and len(after) < _NEIGHBOURS:
            after.append(clip)
    return [
        clip
        | {
            "path": path,
            "confidence": None,
            "parts": (),
            "reasons": (),
            "moments": 1,
            "labels": [{"label": clip["label"], "score": clip["label_score"]}] if clip["label"] is not None else [],
            "address": moment_address(clip["clip_id"], given, clip["start_s"], clip["end_s"]),
        }
        for clip in (*reversed(before), *after)
    ]
