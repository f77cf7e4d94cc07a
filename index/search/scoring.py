"""How well every window of a library answers a question: by dot product, and for the best ones by the model's own score."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index.search.combine import align, combine
from index.search.confidence import GENERIC_TEXTS, Background, Reference, background_of, reference_of
from index.search.timeline import read_timeline
from index.snapshot.snapshot import Snapshot
from pipeline.models.base import Embedder
from pipeline.models.cut_texts import cut_note
from schemas.errors import LibraryError, UsageError
from schemas.options import Sampling

_EXAMPLES = 32
"""Clips, evenly spaced over the library, that stand for any example."""
_MAX_TEXTS = 10_000
_NO_FEATURES = "this library has no features for the model's own score; answers are in the order of the dot product"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Question:
    """What a window is to show, and what not."""

    texts: tuple[str, ...]
    like: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """How well each window answers a question.

    Attributes:
        question: the question.
        plain: float64 [things, n], cosines with the texts, the examples (beside a text, on the first text's scale) and the
            texts not wanted, in this order.
        level: float64 [n], all windows on one scale, to be compared with each other.
        dot: float64 [n], the same by dot products alone: what is known of all windows, and so says what is unusual.
        shown: float64 [n], what is printed: the model's own score where it was computed, as a cosine.
        exact: bool [n], where it was.
        spread: of ``dot`` over the library (`index.search.confidence.Background`).
    """

    question: Question
    plain: Floats
    level: Floats
    dot: Floats
    shown: Floats
    exact: NDArray[np.bool_]
    spread: float

    def on_scale_of(self, other: Scored) -> Scored:
        """The same, its background as that of ``other``: clips are more like clips than like texts."""
        theirs = background_of(other.level)
        level = align(self.level, background_of(self.level), theirs)
        return replace(self, level=level, dot=level, shown=level, spread=theirs.spread)


def ranked(shown: Floats, exact: NDArray[np.bool_], free: NDArray[np.bool_]) -> Floats:
    """Scores by which windows are ranked: those where ``exact``, then the others, and minus infinity where not ``free``."""
    order = np.where(free, shown, -np.inf)
    known = np.isfinite(order)
    first, rest = known & exact, known & ~exact
    if first.any() and rest.any():
        order[rest] -= max(0.0, float(order[rest].max() - order[first].min())) + 1.0
    return order


def _mean_and_spread(scores: Floats) -> Background:
    return Background(float(np.mean(scores)), max(float(np.std(scores)), 1e-9))


class Scorer:
    """Scores questions against one snapshot; keeps what several questions need."""

    def __init__(
        self, snapshot: Snapshot, load: Callable[[], Embedder], sampling: Sampling, say: Callable[[str], None]
    ) -> None:
        """``load`` gives the library's embedder when a text or a file is first to be embedded; ``say`` is told notes."""
        self._snapshot, self._load, self._sampling, self._say = snapshot, load, sampling, say
        self._vectors = snapshot.vectors()
        self.windows = read_timeline(snapshot.catalog, self._vectors)
        self._embedder: Embedder | None = None
        self._known: dict[str, NDArray[np.float32]] = {}
        self._measured: set[str] = set()
        self._references: dict[bool, Reference] = {}
        self._features = True

    def score(self, question: Question, *, also: Iterable[str] = ()) -> Scored:
        """Every window's score by dot product; ``also`` are texts that will be asked for next, embedded on the way."""
        texts = [*question.texts, *question.without]
        if texts:
            self.tell_cut([*texts, *also], "query")
            self._learn([*texts, *also, *GENERIC_TEXTS])
        wanted = [self._known[text] for text in question.texts] + [self._example(like) for like in question.like]
        plain = self._scores([*wanted, *(self._known[text] for text in question.without)])
        if question.texts and question.like:
            own = background_of(plain[0])
            for row in range(len(question.texts), len(wanted)):
                plain[row] = align(plain[row], background_of(plain[row]), own)
        split = len(wanted)
        level = combine(plain[:split], plain[split:], [float(np.median(row)) for row in plain[split:]])
        spread = background_of(level).spread
        return Scored(question, plain, level, level, level, np.zeros(len(level), bool), spread)

    def refine(self, scored: Scored, positions: NDArray[np.int64]) -> Scored:
        """The same with the model's own score for the windows at ``positions``; unchanged where there is no such score.

        The model's own scores of a text are moved and stretched to the mean and the spread that its dot products have over
        the same windows, so that windows with and without one can be compared.
        """
        question, count = scored.question, len(scored.question.texts)
        texts = [*question.texts, *question.without]
        if not texts or not len(positions):
            return scored
        found = self._exact(texts, positions)
        if found is None:
            return scored
        split = len(scored.plain) - len(question.without)
        level, medians = scored.plain[:, positions].copy(), [float(np.median(row)) for row in scored.plain[split:]]
        own = [_mean_and_spread(exact) for exact in found]
        dots = [_mean_and_spread(level[row]) for row in (*range(count), *range(split, len(level)))]
        for row, exact, one, other in zip((*range(count), *range(split, len(level))), found, own, dots, strict=True):
            level[row] = align(exact, one, other)
        levels = combine(level[:split], level[split:], medians)
        centres = [
            float(align(np.array(median), other, one))
            for median, one, other in zip(medians, own[count:], dots[count:], strict=True)
        ]
        shown = levels if question.like else combine(found[:count], found[count:], centres)
        refined = replace(scored, level=scored.level.copy(), shown=scored.shown.copy(), exact=scored.exact.copy())
        refined.level[positions], refined.shown[positions] = levels, shown
        refined.exact[positions] = True
        return refined

    def text_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dim]: what the embedder makes of them; those that are not known yet in one batch."""
        self._learn(texts)
        return np.stack([self._known[text] for text in texts])

    def tell_cut(self, texts: Iterable[str], what: str) -> None:
        """Say once which of ``texts``, each of them a ``what``, have more tokens than the embedder reads."""
        new = [text for text in dict.fromkeys(texts) if text not in self._measured]
        self._measured.update(new)
        if note := cut_note(self._model(), new, what):
            self._say(note)

    def reference(self, *, of_texts: bool) -> Reference:
        """What queries that fit anything reach here: generic texts, or clips of the library among other videos."""
        if of_texts not in self._references:
            if of_texts:
                self._learn(GENERIC_TEXTS)
                scores = self._scores([self._known[text] for text in GENERIC_TEXTS])
            else:
                scores = self._example_scores()
            self._references[of_texts] = reference_of(scores)
        return self._references[of_texts]

    def _example_scores(self) -> Floats:
        """Scores of some clips with all clips of other videos; of one video alone, with all that show another time."""
        windows = self.windows
        chosen = np.unique(np.linspace(0, len(windows) - 1, min(_EXAMPLES, len(windows))).astype(np.int64))
        scores = self._scores(list(self._vectors.vectors_at(windows.rows[chosen])))
        several = windows.video[0] != windows.video[-1]
        for row, position in zip(scores, chosen, strict=True):
            near = windows.overlapping(int(position), windows.start_s[position], windows.end_s[position])
            row[windows.of_video(int(position)) if several else near] = np.nan
        kept = scores[~np.isnan(scores).all(axis=1)]
        return kept if len(kept) else np.ones((1, 1))

    def _scores(self, queries: Sequence[NDArray[np.float32]]) -> Floats:
        """float64 [queries, n], in the order of the windows."""
        return self._vectors.scores(np.stack(queries))[:, self.windows.rows].astype(np.float64)

    def _learn(self, texts: Iterable[str]) -> None:
        """Embed those of ``texts`` that are not known yet, in one batch."""
        if len(self._known) > _MAX_TEXTS:
            self._known.clear()
            self._measured.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            vectors = self._model().embed_texts(new)
            self._check(vectors.shape[1])
            self._known.update(zip(new, vectors, strict=True))

    def _example(self, like: str) -> NDArray[np.float32]:
        from index.search.examples import clip_id_in, embed_example

        clip_id = clip_id_in(like)
        if clip_id is None:
            vector = embed_example(like, self._model(), self._sampling)
            self._check(len(vector))
            return vector
        (row,) = self._vectors.rows_of(np.array([clip_id])) if clip_id < 2**63 else (-1,)
        if row < 0:
            raise UsageError(
                f"--like: the library has no clip {clip_id}, and there is no file of that name; "
                "vidsift search --json prints clip_id"
            )
        return np.asarray(self._vectors.vectors_at(np.array([row]))[0], np.float32)

    def _model(self) -> Embedder:
        if self._embedder is None:
            self._embedder = self._load()
        return self._embedder

    def _check(self, dim: int) -> None:
        if dim != self._vectors.dim:
            raise LibraryError(
                f"--embedder: got a model of {dim} dimensions, the library holds {self._vectors.dim}; "
                "give the embedder it was made with"
            )

    def _exact(self, texts: Sequence[str], positions: NDArray[np.int64]) -> Floats | None:
        """float64 [texts, positions], the model's own scores as cosines; None where the library or the model has none."""
        from index.search.rerank import exact_scores

        if not self._features:
            return None
        model = self._model()
        found = exact_scores(self._snapshot, model, texts, self.windows.ids[positions].tolist())
        if found is None:
            self._features = False
            self._say(_NO_FEATURES)
            return None
        return np.asarray(found, np.float64) / float(getattr(model, "logit_scale", 1.0))
