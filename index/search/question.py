"""Questions as vectors: texts and examples go through the library's embedder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from index.search.confidence import GENERIC_TEXTS
from index.snapshot.clips import SnapshotClips
from pipeline.models.base import Embedder
from pipeline.models.cut_texts import cut_note
from schemas.errors import LibraryError, UsageError
from schemas.options import Sampling

if TYPE_CHECKING:
    from index.search.examples import ExampleDecoder

_MAX_TEXTS = 10_000  # whose vectors are kept


@dataclass(frozen=True, slots=True)
class Question:
    """The texts and examples that a clip has to show, and the texts that it must not (`schemas.search.SearchOptions`)."""

    texts: tuple[str, ...]
    like: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EncodedQuestion:
    """A question and its vectors.

    Attributes:
        question: in words.
        wanted: float32 [things, dim], L2-normalised: of the texts, then of the examples.
        unwanted: float32 [texts, dim], L2-normalised: of ``without``.
    """

    question: Question
    wanted: NDArray[np.float32]
    unwanted: NDArray[np.float32]


class QuestionEncoder:
    """Embeds questions, and keeps the vectors of their texts. The embedder is loaded when it is first needed."""

    def __init__(
        self,
        clips: SnapshotClips,
        load: Callable[[], Embedder],
        sampling: Sampling,
        say: Callable[[str], None],
        decode: ExampleDecoder | None = None,
    ) -> None:
        """Make an encoder.

        Args:
            clips: of the snapshot; a clip id as an example stands for its vector there.
            load: gives the library's embedder.
            sampling: how the library's videos were cut into clips, as examples are.
            say: told which texts are longer than the embedder reads.
            decode: gives the frames of files that are examples; None decodes them in this process.
        """
        self._clips, self._load, self._sampling, self._say = clips, load, sampling, say
        self._decode = decode
        self._embedder: Embedder | None = None
        self._text_vectors: dict[str, NDArray[np.float32]] = {}
        self._checked_for_length: set[str] = set()

    @property
    def embedder(self) -> Embedder:
        """The library's embedder."""
        if self._embedder is None:
            self._embedder = self._load()
        return self._embedder

    def encode(self, question: Question, *, also: Iterable[str] = ()) -> EncodedQuestion:
        """The vectors of a question; ``also`` are texts that will be needed next, embedded in the same batch.

        Raises:
            UsageError: there is no such clip or file, or it cannot be used as an example.
            LibraryError: the embedder's vectors have another dimension than the library's.
        """
        texts = [*question.texts, *question.without]
        if texts:
            self.note_cut_texts([*texts, *also], "query")
            self._embed([*texts, *also, *GENERIC_TEXTS])  # confidence needs the last; one batch is faster than two
        wanted = [self._text_vectors[text] for text in question.texts] + [self._example(like) for like in question.like]
        unwanted = [self._text_vectors[text] for text in question.without]
        dim = self._clips.dim
        return EncodedQuestion(
            question, np.stack(wanted), np.stack(unwanted) if unwanted else np.zeros((0, dim), np.float32)
        )

    def text_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [texts, dim], L2-normalised; those that are not known yet are embedded in one batch."""
        self._embed(texts)
        return np.stack([self._text_vectors[text] for text in texts])

    def note_cut_texts(self, texts: Iterable[str], what: str) -> None:
        """Say once which of ``texts``, each of them a ``what``, have more tokens than the embedder reads."""
        new = [text for text in dict.fromkeys(texts) if text not in self._checked_for_length]
        self._checked_for_length.update(new)
        if note := cut_note(self.embedder, new, what):
            self._say(note)

    def _embed(self, texts: Iterable[str]) -> None:
        """Embed those of ``texts`` whose vectors are not known yet, in one batch."""
        if len(self._text_vectors) > _MAX_TEXTS:
            self._text_vectors.clear()
            self._checked_for_length.clear()
        new = [text for text in dict.fromkeys(texts) if text not in self._text_vectors]
        if new:
            vectors = self.embedder.embed_texts(new)
            self._check_dim(vectors.shape[1])
            self._text_vectors.update(zip(new, vectors, strict=True))

    def _example(self, like: str) -> NDArray[np.float32]:
        """float32 [dim]: the vector of a clip of the library, or of a file."""
        from index.search.examples import clip_id_in, embed_example

        clip_id = clip_id_in(like)
        if clip_id is None:
            vector = embed_example(like, self.embedder, self._sampling, self._decode)
            self._check_dim(len(vector))
            return vector
        (row,) = self._clips.rows_of(np.array([clip_id])) if clip_id < 2**63 else (-1,)
        if row < 0:
            raise UsageError(
                f"the library has no clip {clip_id}; vidsift search --json prints clip_id; "
                f"a file of that name is ./{clip_id}",
                argument="like",
            )
        return np.asarray(self._clips.vectors_at(np.array([row]))[0], np.float32)

    def _check_dim(self, dim: int) -> None:
        if dim != self._clips.dim:
            raise LibraryError(
                f"got a model of {dim} dimensions, the library holds {self._clips.dim}; give the embedder it was made with",
                argument="embedder",
            )
