"""Ask a library: words and examples become vectors, every window gets a score, and the best become moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from index.search.confidence import background_of, confidence, stands_out
from index.search.moments import MomentBuilder, Segment, clip_as_segment, disjoint
from index.search.scoring import Question, Scored, Scorer, ranked
from index.search.sequence import best_followers, pair_maker, pair_scores
from index.search.text_encoder import find_embedder
from index.search.timeline import ClipTimeline
from index.snapshot.snapshot import Snapshot
from index.sql.catalog import several_tracks
from index.sql.filters import passing_clips
from index.storage.config import read_library_config
from index.storage.paths import Library
from pipeline.models.base import Embedder
from schemas.models import Label
from schemas.search import Answer, Moment, Part, SearchOptions

_MAX_DEPTH = 4
"""The model's own score is computed for at most this many times ``rerank`` clips, so that ``k`` moments have one."""


def search(
    folder: Path,
    options: SearchOptions,
    *,
    embedder: str | None = None,
    say: Callable[[str], None] = lambda note: None,
) -> Answer:
    """The best answers of the library in ``folder`` to one question; see `Searcher` for several.

    Args:
        folder: the library's.
        options: the question.
        embedder: where the library's embedder is now, if not where it was at ingest.
        say: told what a user should know besides, a sentence each.

    Raises:
        UsageError: an example or the condition cannot be used.
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    return Searcher(folder, embedder=embedder, say=say).search(options)


@dataclass(frozen=True, slots=True, eq=False)
class _Ranking:
    """What answers a question, before anything grows.

    Attributes:
        shown: float64 [n], the score printed for a window.
        level: float64 [n], windows compared with each other, on one scale.
        dot: float64 [n], the same by dot products alone, which confidence goes by: the model's own scores are computed
            for the best only, and those of the best of anything are high.
        exact: bool [n], where ``shown`` is the model's own score.
        spread: of ``level`` over the library, robustly.
        make: what grows from a window, given which windows are free.
        parts: the scores of what follows each other, or of the one thing.
    """

    shown: NDArray[np.float64]
    level: NDArray[np.float64]
    dot: NDArray[np.float64]
    exact: NDArray[np.bool_]
    spread: float
    make: Callable[[NDArray[np.bool_]], Callable[[int], Segment]]
    parts: tuple[Scored, ...]


class Searcher:
    """A library opened for many questions: its vectors, its windows and its embedder are read once, when first needed."""

    def __init__(
        self,
        folder: Path,
        *,
        embedder: str | None = None,
        say: Callable[[str], None] = lambda note: None,
        memory_mb: int = 4096,
        load: Callable[[], Embedder] | None = None,
    ) -> None:
        """Open the library's current snapshot.

        Args:
            folder: as in `search`.
            embedder: as in `search`.
            say: as in `search`.
            memory_mb: what its catalog's queries may take.
            load: gives the library's embedder, instead of looking for it; for those who have it already.

        Raises:
            LibraryError: no library, or nothing published in it.
        """
        library = Library(folder)
        self.snapshot = Snapshot(library, memory_mb=memory_mb)
        identity = read_library_config(library)
        assert identity is not None, "a library with a snapshot has its library.json"

        def find() -> Embedder:
            return find_embedder(identity, embedder)

        self._scorer = Scorer(self.snapshot, load or find, identity.sampling, say)

    @property
    def scorer(self) -> Scorer:
        """What scores its windows."""
        return self._scorer

    @cached_property
    def _tracks(self) -> dict[str, int]:
        """Of videos with several video tracks, which one was taken, by path."""
        return {row["path"]: row["track"] for row in several_tracks(self.snapshot.catalog)}

    def search(self, options: SearchOptions) -> Answer:
        """The best answers to one question; raises as `search` does."""
        windows = self._scorer.windows
        free = np.ones(len(windows), bool)
        if options.where is not None:
            free = windows.among(passing_clips(self.snapshot.catalog, options.where))
        passed = int(free.sum())
        if not passed:
            return Answer((), len(windows), passed, 0.0, False)
        ranking = self._pairs(options, free) if options.then_text is not None else self._single(options, free)
        found = list(_answers(windows, ranking, options, free))
        reference = self._scorer.reference(of_texts=bool(options.texts) or options.then_text is not None)
        sure = [confidence(float(ranking.dot[stretch.best]), reference) for stretch, _ in found]
        best = max(sure, default=0.0)
        clear = bool(found) and stands_out(best, len(windows))
        if not clear and not options.show_all:
            found = []
        return Answer(tuple(self._describe(ranking, found, sure)), len(windows), passed, best, clear)

    def _single(self, options: SearchOptions, free: NDArray[np.bool_]) -> _Ranking:
        """One question."""
        windows = self._scorer.windows
        scored = self._scorer.score(Question(options.texts, options.like, options.without))
        ranking = _one(windows, scored, options)
        if options.rerank:
            depth = max(options.rerank, options.k)
            if options.by != "clip":
                seeds = [stretch.best for stretch, _ in _answers(windows, ranking, options, free)]
                worst = min((scored.level[seed] for seed in seeds), default=np.inf)
                depth = max(depth, min(int((scored.level[free] >= worst).sum()), _MAX_DEPTH * options.rerank))
            ranking = _one(windows, self._scorer.refine(scored, _best(scored.level, free, depth)), options)
        return ranking

    def _pairs(self, options: SearchOptions, free: NDArray[np.bool_]) -> _Ranking:
        """One thing followed by another."""
        windows, then = self._scorer.windows, options.then_text
        assert then is not None, "asked for by the caller"
        first = self._scorer.score(Question(options.texts, options.like, options.without), also=(then,))
        second = self._scorer.score(Question((then,)))
        if not options.texts:
            first = first.on_scale_of(second)
        ranking = _pair(windows, first, second, options, free)
        if options.rerank:
            seeds = _best(ranking.level, free & np.isfinite(ranking.level), max(options.rerank // 2, options.k))
            followers = best_followers(windows, np.where(free, second.level, -np.inf), options.gap_s)
            both = np.union1d(seeds, followers[seeds])
            first, second = self._scorer.refine(first, both), self._scorer.refine(second, both)
            ranking = _pair(windows, first, second, options, free)
        return ranking

    def _describe(self, ranking: _Ranking, found: list[tuple[Segment, int]], sure: list[float]) -> Iterator[Moment]:
        """Look up what the catalog knows."""
        ids = self._scorer.windows.ids
        wanted = sorted({position for stretch, _ in found for position in (stretch.best, *stretch.windows)})
        rows = self.snapshot.catalog.sql(
            "select clip_id, video_id, path, start_s, end_s, label, label_score from clips "
            "where clip_id in (select unnest($ids))",
            {"ids": ids[wanted].tolist()},
        )
        by_id = {row["clip_id"]: row for row in rows.to_pylist()}
        for rank, ((stretch, count), certain) in enumerate(zip(found, sure, strict=False), start=1):
            best: dict[str, Any] = by_id[int(ids[stretch.best])]
            yield Moment(
                rank=rank,
                score=float(ranking.shown[stretch.best]),
                path=best["path"],
                video_id=best["video_id"],
                clip_id=best["clip_id"],
                start_s=stretch.start_s,
                end_s=stretch.end_s,
                label=best["label"],
                label_score=best["label_score"],
                confidence=certain,
                best_start_s=best["start_s"],
                best_end_s=best["end_s"],
                windows=len(stretch.windows),
                labels=_labels(by_id[int(ids[position])] for position in stretch.windows),
                moments=count,
                parts=tuple(
                    Part(int(ids[part.best]), float(scored.shown[part.best]), part.start_s, part.end_s)
                    for part, scored in zip(stretch.parts, ranking.parts, strict=False)
                ),
                track=self._tracks.get(best["path"]),
            )


def _one(windows: ClipTimeline, scored: Scored, options: SearchOptions) -> _Ranking:
    def make(free: NDArray[np.bool_]) -> Callable[[int], Segment]:
        return _maker(windows, scored, options, free)

    return _Ranking(scored.shown, scored.level, scored.dot, scored.exact, scored.spread, make, (scored,))


def _pair(windows: ClipTimeline, first: Scored, second: Scored, options: SearchOptions, free: NDArray[np.bool_]) -> _Ranking:
    followers = best_followers(windows, np.where(free, second.level, -np.inf), options.gap_s)

    def make(left: NDArray[np.bool_]) -> Callable[[int], Segment]:
        return pair_maker(windows, followers, _maker(windows, first, options, left), _maker(windows, second, options, free))

    level = pair_scores(first.level, second.level, followers)
    known = level[np.isfinite(level)]
    return _Ranking(
        pair_scores(first.shown, second.shown, followers),
        level,
        pair_scores(first.dot, second.dot, followers),
        first.exact & second.exact[followers],
        background_of(known).spread if len(known) else 0.0,
        make,
        (first, second),
    )


def _maker(
    windows: ClipTimeline, scored: Scored, options: SearchOptions, free: NDArray[np.bool_]
) -> Callable[[int], Segment]:
    """What grows from a window: a moment, or nothing more with ``--by clip``."""
    if options.by == "clip":
        return lambda position: clip_as_segment(windows, position)
    return MomentBuilder(windows, scored.level, free, scored.spread).grow


def _answers(
    windows: ClipTimeline, ranking: _Ranking, options: SearchOptions, free: NDArray[np.bool_]
) -> Iterator[tuple[Segment, int]]:
    """The best ``k`` stretches, each with how many moments it stands for."""
    left = free.copy()
    make, order = ranking.make(left), ranked(ranking.shown, ranking.exact, free)
    if options.by == "clip":
        best = _best(order, np.isfinite(order), options.k)
        yield from ((make(int(position)), 1) for position in best)
    elif options.by == "moment":
        yield from ((stretch, 1) for stretch in islice(disjoint(windows, order, left, make), options.k))
    else:
        yield from islice(_videos(windows, ranking, order, left, make), options.k)


def _videos(
    windows: ClipTimeline,
    ranking: _Ranking,
    order: NDArray[np.float64],
    left: NDArray[np.bool_],
    make: Callable[[int], Segment],
) -> Iterator[tuple[Segment, int]]:
    """The best moment of each video, and how many of its moments answer as well as that."""
    order = order.copy()
    floor = MomentBuilder(windows, ranking.level, left, ranking.spread).floor
    while len(order) and np.isfinite(order[best := int(np.argmax(order))]):
        here = np.full(len(order), -np.inf)
        video = windows.of_video(best)
        here[video], order[video] = order[video], -np.inf
        least = floor(best)
        found = disjoint(windows, here, left, make)
        first = next(found)
        yield first, 1 + sum(1 for _ in _while_above(found, ranking.level, least))


def _while_above(found: Iterator[Segment], level: NDArray[np.float64], least: float) -> Iterator[Segment]:
    for stretch in found:
        if level[stretch.best] < least:
            return
        yield stretch


def _best(scores: NDArray[np.float64], free: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Positions of the ``count`` highest scores among the free, best first; of equal ones the earlier first."""
    positions = np.flatnonzero(free)
    if len(positions) > count:
        least = np.partition(scores[positions], -count)[-count]
        positions = positions[scores[positions] >= least]
    return positions[np.argsort(-scores[positions], kind="stable")][:count]


def _labels(rows: Iterator[dict[str, Any]]) -> tuple[Label, ...]:
    """The labels of some clips, each once with its highest probability, best first."""
    best: dict[str, float] = {}
    for row in rows:
        if row["label"] is not None:
            best[row["label"]] = max(row["label_score"], best.get(row["label"], 0.0))
    return tuple(Label(label, score) for label, score in sorted(best.items(), key=lambda item: -item[1]))
