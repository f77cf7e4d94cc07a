"""Scores of clips: the dot product for every candidate, and the rerank score for the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.search.combine import align, combine
from index.search.confidence import GENERIC_TEXTS, Background, Reference, background_of, reference_of
from index.search.question import EncodedQuestion, Question, QuestionEncoder
from index.search.timeline import ClipTimeline, timeline_of
from index.snapshot.flat_vectors import FlatVectors
from index.snapshot.snapshot import Snapshot
from pipeline.models.base import Embedder
from schemas.options import Sampling

if TYPE_CHECKING:
    from index.search.examples import ExampleDecoder

_EXAMPLES = 32
"""Clips, evenly spaced over the library, that stand for any example."""
_NO_FEATURES = "this library has no features for the rerank score; answers are in the order of the dot product"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class ClipScores:
    """Per-clip scores for one question, before clips are merged into moments.

    Attributes:
        question: the question.
        timeline: the n clips that are scored, in the order of all arrays here.
        cosines: float64 [things, n], with the texts, the examples (beside a text, on the first text's scale) and the texts
            of ``without``, in this order.
        unwanted_medians: for each text of ``without``, the median of its cosines over the library's sample.
        calibrated: float64 [n], the clips on one scale, to be compared with each other: combined cosines, or rerank scores
            that are aligned with them.
        before_rerank: float64 [n], ``calibrated`` as it was by cosines alone. Confidence goes by it, since rerank scores
            are computed for the best clips only, and the best of anything score high.
        score: float64 [n], the printed score: the rerank score as a cosine where there is one, else ``before_rerank``.
        reranked: bool [n], where there is a rerank score.
        background: of ``before_rerank`` over the library's sample.
    """

    question: Question
    timeline: ClipTimeline
    cosines: Floats
    unwanted_medians: tuple[float, ...]
    calibrated: Floats
    before_rerank: Floats
    score: Floats
    reranked: NDArray[np.bool_]
    background: Background

    def moved(self, shift: Floats | None) -> ClipScores:
        """The same scores, each higher by ``shift``, float64 [n]; confidence does not change."""
        if shift is None:
            return self
        return replace(self, calibrated=self.calibrated + shift, score=self.score + shift)

    def on_scale_of(self, other: ClipScores) -> ClipScores:
        """The same scores before reranking, with the background of ``other``: clips are more like clips than like texts."""
        scores = align(self.before_rerank, self.background, other.background)
        return replace(self, calibrated=scores, before_rerank=scores, score=scores, background=other.background)


def ranked(scores: Floats, reranked: NDArray[np.bool_], passing: NDArray[np.bool_]) -> Floats:
    """float64 [n], to be sorted by: first those ``reranked``, then the others; minus infinity where not ``passing``."""
    order = np.where(passing, scores, -np.inf)
    scored = np.isfinite(order)
    first, rest = scored & reranked, scored & ~reranked
    if first.any() and rest.any():
        order[rest] -= max(0.0, float(order[rest].max() - order[first].min())) + 1.0
    return order


class Scorer:
    """Scores questions against one snapshot, and keeps what several questions need."""

    def __init__(
        self,
        snapshot: Snapshot,
        load: Callable[[], Embedder],
        sampling: Sampling,
        say: Callable[[str], None],
        decode: ExampleDecoder | None = None,
    ) -> None:
        """``load`` gives the library's embedder when a text or a file is first to be embedded; ``say`` is told notes.

        ``decode`` is that of `index.search.question.QuestionEncoder`.
        """
        self._say = say
        self.clips = snapshot.clips()
        self.encoder = QuestionEncoder(self.clips, load, sampling, say, decode)
        self._references: dict[bool, Reference] = {}
        self._last_in_sample: list[tuple[EncodedQuestion, Floats]] = []
        self._has_features = True

    @cached_property
    def timeline(self) -> ClipTimeline:
        """All clips of the library."""
        return timeline_of(self.clips, np.flatnonzero(self.clips.live))

    @cached_property
    def _sample(self) -> ClipTimeline:
        """The clips that stand for all in backgrounds and confidence."""
        return timeline_of(self.clips, self.clips.sample())

    @cached_property
    def _sample_vectors(self) -> FlatVectors:
        """The vectors of the sample, by position in it."""
        return FlatVectors.of(self.clips.vectors_at(self._sample.rows))

    def score(self, encoded: EncodedQuestion, timeline: ClipTimeline | None = None) -> ClipScores:
        """Scores by dot product of the clips of ``timeline``; of all clips of the library without one."""
        timeline = self.timeline if timeline is None else timeline
        vectors = np.concatenate([encoded.wanted, encoded.unwanted])
        in_sample = self._question_in_sample(encoded).copy()
        if len(timeline) == len(self._sample) == len(self.clips):
            cosines = in_sample.copy()
        elif len(timeline) == len(self.clips):
            cosines = self.clips.scores(vectors)[:, timeline.rows].astype(np.float64)
        else:
            cosines = self.clips.scores_at(timeline.rows, vectors).astype(np.float64)
        count, texts = len(encoded.wanted), len(encoded.question.texts)
        if 0 < texts < count:
            first_text = background_of(in_sample[0])
            for row in range(texts, count):
                example = background_of(in_sample[row])
                cosines[row] = align(cosines[row], example, first_text)
                in_sample[row] = align(in_sample[row], example, first_text)
        medians = tuple(float(np.median(row)) for row in in_sample[count:])
        scores = combine(cosines[:count], cosines[count:], medians)
        background = background_of(combine(in_sample[:count], in_sample[count:], medians))
        unranked = np.zeros(len(timeline), bool)
        return ClipScores(encoded.question, timeline, cosines, medians, scores, scores, scores, unranked, background)

    def rerank(self, scores: ClipScores, positions: NDArray[np.int64]) -> ClipScores:
        """The same with rerank scores for the clips at ``positions``; unchanged where there are no such scores.

        The rerank scores of a text are moved and stretched to the mean and the spread of its cosines with the same clips,
        so that clips with and without one can be compared.
        """
        question, texts = scores.question, [*scores.question.texts, *scores.question.without]
        if not texts or not len(positions):
            return scores
        rerank_cosines = self._rerank_cosines(texts, scores.timeline.rows[positions])
        if rerank_cosines is None:
            return scores
        count = len(question.texts)
        first_unwanted = len(scores.cosines) - len(question.without)
        cosines = scores.cosines[:, positions].copy()
        text_rows = (*range(count), *range(first_unwanted, len(cosines)))
        cosine_scales = [_mean_and_spread(cosines[row]) for row in text_rows]
        rerank_scales = [_mean_and_spread(row) for row in rerank_cosines]
        for number, row in enumerate(text_rows):
            cosines[row] = align(rerank_cosines[number], rerank_scales[number], cosine_scales[number])
        calibrated = combine(cosines[:first_unwanted], cosines[first_unwanted:], scores.unwanted_medians)
        if question.like:
            printed = calibrated
        else:
            medians = [
                float(
                    align(
                        np.array(scores.unwanted_medians[number]),
                        cosine_scales[count + number],
                        rerank_scales[count + number],
                    )
                )
                for number in range(len(question.without))
            ]
            printed = combine(rerank_cosines[:count], rerank_cosines[count:], medians)
        reranked = replace(
            scores, calibrated=scores.calibrated.copy(), score=scores.score.copy(), reranked=scores.reranked.copy()
        )
        reranked.calibrated[positions], reranked.score[positions] = calibrated, printed
        reranked.reranked[positions] = True
        return reranked

    def reference(self, *, of_texts: bool) -> Reference:
        """The scores of questions that fit anything here: generic texts, or clips of the library among other videos."""
        if of_texts not in self._references:
            scores = self._generic_text_scores() if of_texts else self._example_scores()
            self._references[of_texts] = reference_of(scores, clips=len(self.clips))
        return self._references[of_texts]

    def _generic_text_scores(self) -> Floats:
        """float64 [texts, sample], cosines of texts that fit anything."""
        return self._sample_cosines(self.encoder.text_vectors(GENERIC_TEXTS))

    def _example_scores(self) -> Floats:
        """float64 [clips, sample], cosines of some clips with the sample.

        NaN for clips of the same video; in a library of one video, for those that show some of the same seconds.
        """
        sample = self._sample
        examples = np.unique(np.linspace(0, len(sample) - 1, min(_EXAMPLES, len(sample))).astype(np.int64))
        scores = self._sample_cosines(self._sample_vectors.vectors_at(examples))
        several_videos = sample.video[0] != sample.video[-1]
        for row, position in zip(scores, examples, strict=True):
            if several_videos:
                row[sample.video == sample.video[position]] = np.nan
            else:
                row[sample.overlapping(int(position), sample.start_s[position], sample.end_s[position])] = np.nan
        comparable = scores[~np.isnan(scores).all(axis=1)]
        return comparable if len(comparable) else np.ones((1, 1))

    def _question_in_sample(self, encoded: EncodedQuestion) -> Floats:
        """float64 [vectors, sample], of a question; kept, since it is scored over candidates and then over their videos."""
        known = next((cosines for question, cosines in self._last_in_sample if question is encoded), None)
        if known is None:
            known = self._sample_cosines(np.concatenate([encoded.wanted, encoded.unwanted]))
            self._last_in_sample = [(encoded, known), *self._last_in_sample[:1]]
        return known

    def _sample_cosines(self, vectors: NDArray[np.float32]) -> Floats:
        """float64 [vectors, sample]."""
        if len(self._sample) == len(self.clips):
            return self.clips.scores(vectors)[:, self._sample.rows].astype(np.float64)
        return self._sample_vectors.scores(vectors).astype(np.float64)

    def _rerank_cosines(self, texts: Sequence[str], rows: NDArray[np.int64]) -> Floats | None:
        """float64 [texts, clips], rerank scores as cosines; None where the library or the embedder has none."""
        from index.search.rerank import rerank_scores

        if not self._has_features:
            return None
        embedder = self.encoder.embedder
        logits = rerank_scores(self.clips, embedder, texts, rows)
        if logits is None:
            self._has_features = False
            if hasattr(embedder, "rerank_scores"):  # others have no score but the dot product, and lack nothing
                self._say(_NO_FEATURES)
            return None
        return np.asarray(logits, np.float64) / float(getattr(embedder, "logit_scale", 1.0))


def _mean_and_spread(scores: Floats) -> Background:
    return Background(float(np.mean(scores)), max(float(np.std(scores)), 1e-9))
