"""Passages that mean what a question asks for, found by the library's sentence encoder whatever their words.

Cosines of sentences mean nothing by themselves: one encoder gives .05 to texts that have nothing to do with each other,
another .75. What an encoder gives such texts is measured once (`jobs.annotate.embed`), as a mean and a standard deviation;
the evidence of a passage is its cosine in these units, and its confidence ``1 / (1 + exp(-SLOPE * (evidence - MIDDLE)))``.

Measured on 200 sentences with all-MiniLM-L6-v2 (`benchmarks.sentences`): the area under the ROC curve between the right
answers of 60 questions and the best answers of 40 that nothing answers is .91. A question's own background in the library
(the median of all cosines, in robust standard deviations) gives .80.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from index.search.passages import Passage
from index.search.text_query import meaning_of
from index.snapshot.channel_vectors import PassageVectors
from index.snapshot.snapshot import Snapshot
from index.storage.config import TextEmbedder
from pipeline.models.checkpoint import locate
from pipeline.models.sentence_format import ARGUMENT
from schemas.channels import TEXT_TABLES
from schemas.errors import LibraryError, ModelError

if TYPE_CHECKING:
    from pipeline.models.embedders.sentences import SentenceEncoder

SLOPE = 1.2
"""How fast confidence rises with evidence; fitted on the measurement above by logistic regression, both cases alike."""

MIDDLE = 5.6
"""The evidence at which the confidence is 0.5; fitted likewise."""

MIN_EVIDENCE = 5.0
"""Passages with less, a confidence of .33, are no answers. In the measurement above, .9 of the right answers have as much,
and the best answers of .28 of the questions that nothing answers."""


class _Part(NamedTuple):
    """The passages of a channel that a snapshot shows of a part.

    Attributes:
        passing: uint8, a bit for each passage of the part, the lowest first: whether it is one of them.
        videos: the video of each annotation of the part, by number.
    """

    passages: PassageVectors
    passing: NDArray[np.uint8]
    videos: dict[int, str]

    def nearest(self, vector: NDArray[np.float32], most: int, floor: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows of the passages that are nearest to a vector, at least by a cosine of ``floor``, and their cosines.

        FAISS scans all rows ten times as fast as it asks of each whether it passes. So it is asked for the nearest of all
        first, which are enough unless too many of them do not pass.
        """
        vectors = self.passages.vectors
        count = min(most, len(vectors))
        (rows,), (cosines,) = vectors.search(vector[None], count)
        passes = (self.passing[rows >> 3] >> (rows & 7).astype(np.uint8)) & 1 > 0
        if count < len(vectors) and not passes.all() and cosines[-1] >= floor:
            (rows,), (cosines,) = vectors.search(vector[None], count, passing=self.passing)
            passes = rows >= 0
        kept = passes & (cosines >= floor)
        return rows[kept], cosines[kept]


class MeaningSearch:
    """Searches the passages of a snapshot by meaning. What it needs is opened and loaded with the first question."""

    def __init__(
        self,
        snapshot: Snapshot,
        embedder: TextEmbedder,
        say: Callable[[str], None],
        load: Callable[[TextEmbedder], SentenceEncoder] | None = None,
    ) -> None:
        """Make one.

        Args:
            snapshot: whose passages.
            embedder: the library's.
            say: told, once, why the encoder cannot be used; questions are then answered by their words alone.
            load: gives the encoder, instead of looking for it.
        """
        self._snapshot, self._embedder, self._say, self._load = snapshot, embedder, say, load or load_encoder
        self._encoder: SentenceEncoder | None = None
        self._is_lacking = False
        self._parts: dict[str, list[_Part]] = {}
        self._last: tuple[str, NDArray[np.float32]] | None = None

    def find(self, texts: Sequence[str], channel: str, most: int, *, also_weak: bool = False) -> list[Passage]:
        """The passages of a channel that mean what all ``texts`` say together, best first.

        Nothing for a question of phrases and beginnings of words alone, which asks for just these.

        Args:
            texts: of the question.
            channel: the table, one of `TEXT_TABLES`.
            most: how many.
            also_weak: whether to give those too that have too little evidence.

        Raises:
            LibraryError: a file of the snapshot is missing or damaged.
        """
        question = meaning_of(texts)
        parts = self._open(channel)
        vector = self._vector(question) if question and parts else None
        if vector is None:
            return []
        spread = max(self._embedder.spread, 1e-6)
        floor = self._embedder.mean + MIN_EVIDENCE * spread
        found: list[Passage] = []
        for part in parts:
            if part.passages.vectors.dim != len(vector):
                raise LibraryError("the passages' vectors are of another model; run vidsift annotate on the library again")
            rows, cosines = part.nearest(vector, most, -np.inf if also_weak else floor)
            evidence = (cosines - self._embedder.mean) / spread
            for row, one, of in zip(rows.tolist(), evidence, part.passages.texts(rows).to_pylist(), strict=True):
                video_id = part.videos[int(part.passages.annotations[row])]
                found.append(Passage(channel, video_id, of["start_s"], of["end_s"], of["text"], _confidence(one), "meaning"))
        found.sort(key=lambda of: (-of.confidence, of.video_id, of.start_s))
        return found[:most]

    def _open(self, channel: str) -> list[_Part]:
        """The passages of a channel that the snapshot shows, by part."""
        if channel not in self._parts:
            self._parts[channel] = []
            for number, part in enumerate(self._snapshot.parts):
                if part.passages is None:
                    continue
                live = self._snapshot.live_annotations(number, self._embedder.version)
                passes = np.isin(part.passages.annotations, np.array(list(live), np.int32))
                passes &= part.passages.channels == TEXT_TABLES.index(channel)
                if passes.any():
                    self._parts[channel].append(_Part(part.passages, np.packbits(passes, bitorder="little"), live))
        return self._parts[channel]

    def _vector(self, question: str) -> NDArray[np.float32] | None:
        """The question's, float32 [dim]; None where the encoder cannot be used."""
        if self._last is not None and self._last[0] == question:
            return self._last[1]
        if self._is_lacking:
            return None
        if self._encoder is None:
            try:
                self._encoder = self._load(self._embedder)
            except ModelError as exc:
                self._is_lacking = True
                self._say(f"speech and text are searched by their words alone: {exc}")
                return None
        self._last = question, self._encoder.embed_queries([question])[0]
        return self._last[1]


@lru_cache(maxsize=2)  # a server opens a library anew with every snapshot
def load_encoder(embedder: TextEmbedder) -> SentenceEncoder:
    """The library's sentence encoder, kept for those that search the same library later.

    Raises:
        ModelError: it is not where it was, or is not what it was.
    """
    checkpoint = locate(embedder.checkpoint, ARGUMENT)
    from pipeline.models.embedders.sentences import SentenceEncoder

    return SentenceEncoder(checkpoint)


def _confidence(evidence: float) -> float:
    """The confidence in [0, 1] of a passage with this evidence."""
    x = SLOPE * (float(evidence) - MIDDLE)
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0
