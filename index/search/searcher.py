"""Search: from a question to moments.

Where a library knows what is said in its videos or can be read in them, `channels` asks these too and fuses the answers.
Of answers that show the same footage, `distinct` leaves the best, where that is asked for.
What can be seen is `Searcher.search_pictures`; read it first. It goes through these stages:

1. Question: texts and examples become vectors (`question`).
2. Candidates: which clips may answer (`candidates`); of those, which meet ``where``.
3. Scores: the dot product for every candidate, then the rerank score for the best of them (`scoring`, `rerank`).
   Where one thing has to follow another, each clip is paired with its best follower (`sequence`).
4. Moments: the best clips and neighbours that score nearly as well are merged (`ranking`, `moments`).
5. Answer: confidence, from a sample of the library (`confidence`), and what the library knows of the clips (`answers`).

Clips are known by their position in a `ClipTimeline` (`timeline`), and all scores are arrays over it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.search.answers import describe
from index.search.candidates import Candidates, CandidateStage, find_candidates, stage_for
from index.search.channels import search_channels
from index.search.confidence import confidence, stands_out
from index.search.distinct import distinct_answer
from index.search.marks import Marks, passing_marks, shift_by_marks
from index.search.meaning import MeaningSearch
from index.search.question import EncodedQuestion, Question
from index.search.ranking import best_segments, clips_to_rerank, rank
from index.search.scoring import ClipScores, Scorer
from index.search.shots import SnapshotShots, has_shots
from index.search.text_encoder import find_embedder
from index.search.timeline import timeline_of
from index.snapshot.snapshot import Snapshot
from index.sql.catalog import several_tracks
from index.sql.filters import TIMEOUT_S, passing_mask
from index.sql.remembered import remembered
from index.storage.config import existing_library_config
from index.storage.paths import Library
from pipeline.models.base import Embedder
from schemas.search import Answer, SearchOptions

if TYPE_CHECKING:
    from index.search.examples import ExampleDecoder


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
        say: told notes for the user, one sentence each.

    Raises:
        UsageError: an example or the condition cannot be used.
        LibraryError: no library, or nothing published in it.
        ModelError: the embedder is not where it was, or is not what it was.
    """
    return Searcher(folder, embedder=embedder, say=say).search(options)


class Searcher:
    """A library opened for many questions: its vectors, timeline and embedder are read once, when first needed."""

    def __init__(
        self,
        folder: Path,
        *,
        embedder: str | None = None,
        say: Callable[[str], None] = lambda note: None,
        memory_mb: int = 4096,
        load: Callable[[], Embedder] | None = None,
        candidates: CandidateStage | None = None,
        where_timeout_s: float = TIMEOUT_S,
        decode: ExampleDecoder | None = None,
    ) -> None:
        """Open the library's current snapshot.

        Args:
            folder: as in `search`.
            embedder: as in `search`.
            say: as in `search`.
            memory_mb: how much memory the catalog's queries may take.
            load: gives the library's embedder, instead of looking for it; for callers who have it already.
            candidates: finds the clips that may answer a question; without one, all clips of a library of up to
                `index.search.candidates.SCANNED_CLIPS` may, and those that FAISS finds of a larger one.
            where_timeout_s: seconds that a condition may take.
            decode: gives the frames of files that are examples; None decodes them in this process.

        Raises:
            LibraryError: no library, or nothing published in it.
        """
        library = Library(folder)
        self.snapshot = Snapshot(library, memory_mb=memory_mb)
        config = existing_library_config(library)

        def find() -> Embedder:
            return find_embedder(config, embedder)

        self._meaning = MeaningSearch(self.snapshot, config.text_embedder, say) if config.text_embedder else None
        self.scorer = Scorer(self.snapshot, load or find, config.sampling, say, decode)
        self._stage, self._where_timeout_s = candidates, where_timeout_s
        self._last_passing: tuple[str | None, NDArray[np.bool_] | None] = None, None  # the last condition, what meets it

    def search(self, options: SearchOptions, marks: Marks | None = None) -> Answer:
        """The best answers to one question, in the light of ``marks`` on earlier ones; raises as `search` does."""
        by_pictures = partial(self.search_pictures, marks=marks)

        def ask(question: SearchOptions) -> Answer:
            return search_channels(self.snapshot, self._passing, by_pictures, self._tracks, question, self._meaning)

        return distinct_answer(self.snapshot, ask, options) if options.distinct else ask(options)

    def search_pictures(self, options: SearchOptions, marks: Marks | None = None) -> Answer:
        """The best answers to one question by what can be seen."""
        clips, passing = len(self.scorer.clips), self._passing(options.where)
        passed = clips if passing is None else int(np.count_nonzero(passing))
        nothing = Answer((), clips, passed, 0.0, False)
        if not passed:
            return nothing

        # 1. Question
        questions = self._encode(options)

        # 2. Candidates
        candidates = self.candidates(questions, passing, options)
        if not candidates.passing.any():
            return nothing

        # 3. Scores
        scores = self._scores(questions, candidates)
        shots = None if self._shots is None else self._shots.of(candidates.timeline)
        shown = candidates.passing if shots is None else candidates.passing & ~shots.is_black
        passing, shift = self._marked(scores[0], shown, marks)
        shots = None if options.across_cuts else shots
        ranking = rank([scores[0].moved(shift), *scores[1:]], passing, options.gap_s, shots)
        if options.rerank and passing.any():
            positions = clips_to_rerank(ranking, options)
            first, *rest = [self.scorer.rerank(of_question, positions) for of_question in scores]
            ranking = rank([first.moved(shift), *rest], passing, options.gap_s, shots)

        # 4. Moments
        segments = list(best_segments(ranking, options))

        # 5. Answer
        reference = self.scorer.reference(of_texts=bool(options.texts) or options.then_text is not None)
        confidences = [confidence(float(ranking.before_rerank[segment.best]), reference) for segment, _ in segments]
        best = max(confidences, default=0.0)
        is_answer = bool(segments) and stands_out(best, clips)
        if not is_answer and not options.show_all:
            segments, confidences = [], []
        moments = describe(self.scorer.clips, ranking, segments, confidences, self._tracks)
        return Answer(moments, clips, passed, best, is_answer)

    def candidates(
        self, questions: Sequence[EncodedQuestion], passing: NDArray[np.bool_] | None, options: SearchOptions
    ) -> Candidates:
        """The clips that are scored for ``questions``.

        Args:
            questions: one, or two of which the second follows the first.
            passing: bool [rows of the snapshot], which clips meet the condition; None where there is none.
            options: of the search.
        """
        clips = self.scorer.clips
        stage = self._stage or stage_for(clips, options)
        found = find_candidates(
            stage, questions, clips, passing, options, lambda question, of: self.scorer.score(question, of).calibrated
        )
        if found is not None:
            return found
        timeline = self.scorer.timeline
        return Candidates(timeline, np.ones(len(timeline), np.bool_) if passing is None else passing[timeline.rows])

    def scores_in_video(self, options: SearchOptions, clip_ids: NDArray[np.int64]) -> NDArray[np.float64]:
        """The score by dot product of each of these clips for a question, float64 [n]; NaN for one that is not there."""
        rows = self.scorer.clips.rows_of(clip_ids)
        timeline = timeline_of(self.scorer.clips, np.sort(rows[rows >= 0]))
        scores = np.full(len(clip_ids), np.nan)
        if len(timeline):
            (first, *_) = self._scores(self._encode(options), Candidates(timeline, np.ones(len(timeline), np.bool_)))
            place = {int(row): number for number, row in enumerate(timeline.rows)}
            there = np.flatnonzero(rows >= 0)
            scores[there] = first.score[[place[int(row)] for row in rows[there]]]
        return scores

    def _marked(
        self, scores: ClipScores, passing: NDArray[np.bool_], marks: Marks | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.float64] | None]:
        """Which clips may answer after ``marks``, bool [n], and how much each clip's score moves, float64 [n]."""
        if not marks:
            return passing, None
        shift = shift_by_marks(self.scorer.clips, scores.timeline, scores.calibrated, scores.background.spread, marks)
        return passing_marks(scores.timeline, passing, marks), shift

    def _passing(self, where: str | None) -> NDArray[np.bool_] | None:
        """Bool [rows of the snapshot], which clips meet the condition; None for all."""
        if where is None:
            return None
        catalog, (condition, passing) = self.snapshot.catalog, self._last_passing
        if where != condition or not remembered(catalog).is_repeatable(where):
            passing = passing_mask(catalog, where, self._where_timeout_s)
            self._last_passing = where, passing
        return passing

    def _encode(self, options: SearchOptions) -> list[EncodedQuestion]:
        """The question; the second of the two is what has to follow."""
        encoder, question = self.scorer.encoder, Question(options.texts, options.like, options.without)
        if options.then_text is None:
            return [encoder.encode(question)]
        return [encoder.encode(question, also=(options.then_text,)), encoder.encode(Question((options.then_text,)))]

    def _scores(self, questions: Sequence[EncodedQuestion], candidates: Candidates) -> list[ClipScores]:
        """By dot product, for each of the questions, on a scale that they share."""
        first, *rest = [self.scorer.score(question, candidates.timeline) for question in questions]
        if rest and not first.question.texts:
            first = first.on_scale_of(rest[0])
        return [first, *rest]

    @cached_property
    def _shots(self) -> SnapshotShots | None:
        """The library's shots; None where it knows none."""
        return SnapshotShots(self.snapshot) if has_shots(self.snapshot) else None

    @cached_property
    def _tracks(self) -> dict[str, int]:
        """By path, the video track that was indexed of videos that have several."""
        return {row["path"]: row["track"] for row in several_tracks(self.snapshot.catalog)}
