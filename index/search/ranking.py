"""Ranks clips as answers, and merges the best of them into moments: of one question, or of one thing followed by another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from index.search.confidence import background_of
from index.search.moments import MomentBuilder, Segment, clip_as_segment, disjoint
from index.search.scoring import ClipScores, ranked
from index.search.sequence import best_followers, pair_maker, pair_scores
from index.search.shots import ShotsOfClips
from index.search.timeline import ClipTimeline
from schemas.search import By, SearchOptions

_MAX_DEPTH = 4
"""At most this many times ``rerank`` clips get a rerank score, so that the best clips of ``k`` moments have one."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Scores of clips as answers, before they are merged into moments.

    A pair counts for the clip that shows its first half.

    Attributes:
        timeline: the n clips.
        passing: bool [n], which of them may be part of an answer.
        parts: the scores for the question; for one thing followed by another, the scores for the two.
        followers: int64 [n], the position of each clip's best follower, -1 for none; None where nothing has to follow.
        score: float64 [n], printed; see `ClipScores`.
        calibrated: float64 [n], to compare clips by.
        before_rerank: float64 [n], what confidence goes by.
        reranked: bool [n], where ``score`` is a rerank score.
        spread: of ``calibrated``: over the library's sample; of pairs over all that were scored.
        shots: of the clips, whose ends no moment crosses; None lets moments cross them.
    """

    timeline: ClipTimeline
    passing: NDArray[np.bool_]
    parts: tuple[ClipScores, ...]
    followers: NDArray[np.int64] | None
    score: Floats
    calibrated: Floats
    before_rerank: Floats
    reranked: NDArray[np.bool_]
    spread: float
    shots: ShotsOfClips | None = None


def rank(
    scores: Sequence[ClipScores], passing: NDArray[np.bool_], gap_s: float, shots: ShotsOfClips | None = None
) -> Ranking:
    """Rank clips by the scores for one question, or for two of which the second follows within ``gap_s``."""
    first, *rest = scores
    if not rest:
        return Ranking(
            first.timeline, passing, (first,), None, first.score, first.calibrated, first.before_rerank, first.reranked,
            first.background.spread, shots,
        )  # fmt: skip
    (second,) = rest
    followers = best_followers(first.timeline, np.where(passing, second.calibrated, -np.inf), gap_s)
    calibrated = pair_scores(first.calibrated, second.calibrated, followers)
    of_pairs = calibrated[np.isfinite(calibrated)]
    return Ranking(
        first.timeline,
        passing,
        (first, second),
        followers,
        pair_scores(first.score, second.score, followers),
        calibrated,
        pair_scores(first.before_rerank, second.before_rerank, followers),
        first.reranked & second.reranked[followers],
        background_of(of_pairs).spread if len(of_pairs) else 0.0,
        shots,
    )


def clips_to_rerank(ranking: Ranking, options: SearchOptions) -> NDArray[np.int64]:
    """int64 [any]: positions of the best clips, as many as it takes for the best clip of each answer to be among them.

    At least ``rerank`` or ``k``, whichever is more; for moments and videos, those down to the best clip of the k-th, but at
    most `_MAX_DEPTH` times ``rerank``. Of pairs, the best ``rerank / 2`` or ``k``, both halves.
    """
    scores, passing = ranking.calibrated, ranking.passing
    if ranking.followers is not None:
        pairs = _best_positions(scores, passing & np.isfinite(scores), max(options.rerank // 2, options.k))
        return np.union1d(pairs, ranking.followers[pairs])
    depth = max(options.rerank, options.k)
    lowest = _lowest_answer(ranking, options)
    needed = int((scores[passing] >= lowest).sum())
    return _best_positions(scores, passing, max(depth, min(needed, _MAX_DEPTH * options.rerank)))


def _lowest_answer(ranking: Ranking, options: SearchOptions) -> float:
    """The score of the best clip of the k-th answer, or of the last one where there are fewer; infinity for clips."""
    order = np.where(ranking.passing, ranking.calibrated, -np.inf)
    if options.by == "video":
        first_of_video = np.flatnonzero(np.diff(ranking.timeline.video, prepend=-1))
        best_of_video = np.maximum.reduceat(order, first_of_video)
        best_of_video = np.sort(best_of_video[np.isfinite(best_of_video)])[::-1]
        return float(best_of_video[: options.k][-1])
    if options.by == "moment":
        free = ranking.passing.copy()
        grow = _segment_maker(ranking, options.by, free)
        seeds = [segment.best for segment in islice(disjoint(ranking.timeline, order, free, grow), options.k)]
        return float(ranking.calibrated[seeds[-1]])
    return float("inf")


def best_segments(ranking: Ranking, options: SearchOptions) -> Iterator[tuple[Segment, int]]:
    """The best ``k`` answers, best first: each a segment, and how many moments of its video answer as well."""
    free = ranking.passing.copy()
    make = _segment_maker(ranking, options.by, free)
    order = ranked(ranking.score, ranking.reranked, ranking.passing)
    if options.by == "video":
        yield from islice(_best_of_videos(ranking, order, free, make), options.k)
    elif options.by == "moment":
        yield from ((segment, 1) for segment in islice(disjoint(ranking.timeline, order, free, make), options.k))
    else:
        best = _best_positions(order, np.isfinite(order), options.k)
        yield from ((make(int(position)), 1) for position in best)


def _segment_maker(ranking: Ranking, by: By, free: NDArray[np.bool_]) -> Callable[[int], Segment]:
    """Makes the segment around the clip at a position; ``free`` are the clips that no segment has taken yet."""
    timeline, (first, *rest) = ranking.timeline, ranking.parts

    def maker(scores: ClipScores, free: NDArray[np.bool_]) -> Callable[[int], Segment]:
        if by == "clip":
            return lambda position: clip_as_segment(timeline, position)
        return MomentBuilder(timeline, scores.calibrated, free, scores.background.spread, ranking.shots).grow

    if ranking.followers is None:
        return maker(first, free)
    return pair_maker(timeline, ranking.followers, maker(first, free), maker(rest[0], ranking.passing))


def _best_of_videos(
    ranking: Ranking, order: Floats, free: NDArray[np.bool_], make: Callable[[int], Segment]
) -> Iterator[tuple[Segment, int]]:
    """The best moment of each video, and how many moments of the video answer as well as that one."""
    timeline, order = ranking.timeline, order.copy()
    floor = MomentBuilder(timeline, ranking.calibrated, free, ranking.spread).floor
    while len(order) and np.isfinite(order[best := int(np.argmax(order))]):
        video = timeline.of_video(best)
        order_in_video = np.full(len(order), -np.inf)
        order_in_video[video], order[video] = order[video], -np.inf
        lowest = floor(best)
        segments = disjoint(timeline, order_in_video, free, make)
        yield next(segments), 1 + _count_until_below(segments, ranking.calibrated, lowest)


def _count_until_below(segments: Iterator[Segment], scores: Floats, lowest: float) -> int:
    """How many segments come before the first whose best clip scores less than ``lowest``."""
    count = 0
    for segment in segments:
        if scores[segment.best] < lowest:
            break
        count += 1
    return count


def _best_positions(scores: Floats, passing: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Positions of the ``count`` highest scores among those ``passing``, best first; of equal ones the earlier first."""
    positions = np.flatnonzero(passing)
    if len(positions) > count:
        lowest = np.partition(scores[positions], -count)[-count]
        positions = positions[scores[positions] >= lowest]
    return positions[np.argsort(-scores[positions], kind="stable")][:count]
