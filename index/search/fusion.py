"""What several channels found, as one list; and what one channel has that was found in several ways.

Each channel ranks what it found. The score of what is found at one place is the sum of 1 / (60 + rank) over the channels
that found something there (reciprocal rank fusion: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms
Condorcet and individual Rank Learning Methods", SIGIR 2009).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from index.search.passages import Passage
from schemas.records import Span
from schemas.search import Channel, Moment, Reason

_RANK_CONSTANT = 60
"""From the paper: so that the first ranks of one channel do not outweigh two channels together."""

# What follows may begin so many seconds before the first has ended: neither is exact.
_SLACK_S = 2.0

_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in one channel, or in several at one place.

    Attributes:
        score: the sum that the module says.
        moment: what the pictures' search found there; None if nothing.
    """

    video_id: str
    span: Span
    score: float
    confidence: float
    reasons: tuple[Reason, ...]
    moment: Moment | None = None


def found_moment(moment: Moment) -> Found:
    """What pictures found; its score is not set yet."""
    span = Span(moment.start_s, moment.end_s)
    return Found(moment.video_id, span, 0.0, moment.confidence, (Reason("pictures", None, *span),), moment)


def found_passage(passage: Passage, channel: Channel) -> Found:
    """What is said or can be read; its score is not set yet."""
    span = Span(passage.start_s, passage.end_s)
    reason = Reason(channel, passage.text, *span, (passage.found_by,))
    return Found(passage.video_id, span, 0.0, passage.confidence, (reason,))


def of_one_channel(by_words: Sequence[Found], by_meaning: Sequence[Found]) -> list[Found]:
    """What one channel has that was found by its words and by its meaning, as one list, best first.

    Where both found something at one place, it is what has the words, whose seconds are more exact.
    """
    joined = _fused([by_words, by_meaning], lambda reason: reason.found_by)
    with_words: dict[str, list[Span]] = defaultdict(list)
    for one in joined:
        if "words" in one.reasons[0].found_by:
            with_words[one.video_id].append(one.span)
    return [
        replace(one, reasons=(replace(one.reasons[0], found_by=tuple(way for of in one.reasons for way in of.found_by)),))
        for one in joined
        if "words" in one.reasons[0].found_by or not any(_share_seconds(one.span, span) for span in with_words[one.video_id])
    ]


def fused(ranked: Sequence[Sequence[Found]]) -> list[Found]:
    """What several channels found as one list, best first: at one place, at most one of each channel comes together.

    The seconds are those of what is said, or else read, which are more exact than those of pictures.
    """
    return _fused(ranked, lambda reason: reason.channel)


def _fused(ranked: Sequence[Sequence[Found]], kind: Callable[[Reason], object]) -> list[Found]:
    """Several lists as one; at one place, at most one of each ``kind`` of reason comes together."""
    groups: list[list[Found]] = []
    of_video: dict[str, list[list[Found]]] = defaultdict(list)
    for of_channel in sorted(ranked, key=lambda of: bool(of) and of[0].moment is not None):  # pictures come last
        new = []
        for rank, one in enumerate(of_channel, start=1):
            scored = replace(one, score=1 / (_RANK_CONSTANT + rank))
            joined = next((group for group in of_video[one.video_id] if _join(group, scored, kind)), None)
            if joined is None:
                new.append([scored])
        for group in new:
            groups.append(group)
            of_video[group[0].video_id].append(group)
    answers = [
        replace(
            group[0],
            score=sum(one.score for one in group),
            confidence=max(one.confidence for one in group),
            reasons=tuple(reason for one in group for reason in one.reasons),
            moment=next((one.moment for one in group if one.moment is not None), None),
        )
        for group in groups
    ]
    return sorted(answers, key=lambda one: (-one.score, -one.confidence, one.video_id, one.span))


def _join(group: list[Found], one: Found, kind: Callable[[Reason], object]) -> bool:
    """Add what was found to a group that it shares seconds with, unless that has something of its kind already."""
    kinds = {kind(reason) for member in group for reason in member.reasons}
    if kind(one.reasons[0]) in kinds or not _share_seconds(group[0].span, one.span):
        return False
    group.append(one)
    return True


def _share_seconds(first: Span, second: Span) -> bool:
    return min(first.end_s, second.end_s) > max(first.start_s, second.start_s)


def pairs(found: Sequence[Found], followers: Sequence[Found], within_s: float) -> Iterator[tuple[Found, tuple[Found, ...]]]:
    """Each of ``found`` with the best that follows it in time, the best pairs first; a pair scores as its worse half."""
    of_video: dict[str, list[Found]] = defaultdict(list)
    for one in followers:
        of_video[one.video_id].append(one)
    paired = []
    for first in found:
        begin_s = first.span.end_s - min(_SLACK_S, (first.span.end_s - first.span.start_s) / 2)
        following = [one for one in of_video[first.video_id] if begin_s <= one.span.start_s <= first.span.end_s + within_s]
        if following:
            second = following[0]
            scores = sorted((first.score, second.score))
            span = Span(first.span.start_s, max(first.span.end_s, second.span.end_s))
            pair = replace(
                first,
                span=span,
                score=scores[0] + _TIE * scores[1],
                confidence=min(first.confidence, second.confidence),
                reasons=first.reasons + second.reasons,
            )
            paired.append((pair, (first, second)))
    return iter(sorted(paired, key=lambda pair: -pair[0].score))
